package disk

import "time"

// Stats are what operators and tests look at. Bytes are on disk unless they say
// otherwise.
type Stats struct {
	// DiskBytes is all that the store takes, garbage and Pebble's log included.
	DiskBytes int64
	// Buckets, Parts, Blocks, BlockBytes and DirectoryBytes are of the current
	// versions of the buckets that have been loaded. DirectoryBytes are in memory.
	Buckets        int
	Parts          int64
	Blocks         int64
	BlockBytes     int64
	DirectoryBytes int64
	// GarbageParts and GarbageBytes are removed parts that wait for a Version to be
	// released or for the sweeper. The bytes are about.
	GarbageParts int64
	GarbageBytes int64
	// DamagedFiles is how many files are known to be damaged, see Damaged.
	DamagedFiles int
	// Cache counts reads of sstable blocks since the store was opened.
	CacheBytes, CacheHits, CacheMisses int64
	// IngestedBytes are of blocks committed since Open, RewrittenBytes of blocks
	// written again to give back the space of trimmed ones.
	IngestedBytes  int64
	RewrittenBytes int64
	// LogBytes, FlushedBytes and CompactedBytes are what Pebble has written since
	// the store was opened, or opened again: its own log, flushes of its memtable
	// and compactions. Blocks are in none of them.
	LogBytes, FlushedBytes, CompactedBytes int64
}

// Stats returns what the store has and has done. It is zero once the store is
// closing.
func (s *Store) Stats() Stats {
	var st Stats
	in, err := s.enter()
	if err != nil {
		return st
	}
	defer s.exit(in)
	_ = in.protect(func() error {
		m := in.db.Metrics()
		st.DiskBytes = int64(m.DiskSpaceUsage())
		st.CacheBytes, st.CacheHits, st.CacheMisses = m.BlockCache.Size, m.BlockCache.Hits, m.BlockCache.Misses
		st.LogBytes = int64(m.WAL.BytesWritten)
		for i := range m.Levels {
			st.FlushedBytes += int64(m.Levels[i].TableBytesFlushed)
			st.CompactedBytes += int64(m.Levels[i].TableBytesCompacted)
		}
		return nil
	})
	st.DamagedFiles = len(s.Damaged())
	st.IngestedBytes, st.RewrittenBytes = s.ingested.Load(), s.squeezed.Load()
	s.mu.Lock()
	buckets := make([]*Bucket, 0, len(s.buckets))
	for _, b := range s.buckets {
		buckets = append(buckets, b)
	}
	for _, g := range s.garbage {
		if !g.trim {
			st.GarbageParts++
			st.GarbageBytes += g.bytes
		}
	}
	s.mu.Unlock()
	for _, b := range buckets {
		b.mu.Lock()
		if n := len(b.versions); n > 0 && b.err == nil {
			st.Buckets++
			for _, p := range b.versions[n-1].parts {
				st.Parts++
				st.Blocks += int64(p.blocks)
				st.BlockBytes += p.Bytes
				st.DirectoryBytes += p.memory
			}
		}
		b.mu.Unlock()
	}
	return st
}

// progressed notes that something has been written, n bytes of it to a part.
func (s *Store) progressed(n int) {
	s.written.Store(time.Now().UnixNano())
	if fn := s.onWrite.Load(); fn != nil {
		(*fn)(n)
	}
}

// OnWrite has fn called whenever a block has been written to a part that is not in the
// store yet, with its size, by any goroutine. fn must be quick and must not call the
// store.
func (s *Store) OnWrite(fn func(n int)) { s.onWrite.Store(&fn) }

// LastWrite is when a block was last written or an edit committed: whether a job that
// takes long gets on with it. The zero time if nothing has been written since Open.
func (s *Store) LastWrite() time.Time {
	if n := s.written.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}
