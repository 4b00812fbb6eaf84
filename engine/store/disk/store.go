package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"headgate/engine/point"
)

// Store is the data of a shard: the parts and definitions of its buckets. Its
// methods may be called from any goroutine.
type Store struct {
	o     Options
	cache *pebble.Cache
	// chunks compresses definitions.
	chunks zstdCodec

	// commits is held for reading by whoever writes through Pebble, and for writing
	// by whoever replaces or closes it.
	commits sync.RWMutex
	// batchMu makes batches of metadata one at a time, so that each batch's mark
	// can say that the ones before it are synced.
	batchMu sync.Mutex

	// squeezing is held for writing while the sstable of a part is replaced by a
	// smaller one. Pebble shows readers the new sstable before the sequence number
	// of its keys, so that for a moment they find neither the old blocks nor the new
	// ones. Whoever finds nothing looks again with squeezing held.
	squeezing sync.RWMutex

	mu   sync.Mutex
	wake sync.Cond // of mu: users have changed
	// All guarded by mu.
	in        *instance // never nil
	failure   error     // ErrFailed and its cause
	stopping  bool      // Close has been called
	closing   bool      // nothing is let in any more
	buckets   map[point.BucketID]*Bucket
	extents   map[point.BucketID][]extent // of the buckets that have not been loaded
	garbage   []*garbage
	reopening chan struct{} // closed at the end of the Reopen that is under way
	reopenErr error         // of the last Reopen
	tearing   int           // instances that are being closed
	stagedSeq uint64

	ingested, squeezed atomic.Int64 // bytes of blocks
	written            atomic.Int64 // when something was, in nanoseconds since 1970
	onWrite            atomic.Pointer[func(int)]

	sweep chan struct{} // has room for one signal
	swept chan struct{} // closed when the sweeper has ended
	stop  chan struct{} // closed to end sweeper and survey

	damaged  damaged
	surveyed chan struct{} // closed when the survey has ended
}

const stagingDir = "staging"

// Open opens the store in Options.Dir, and creates it if there is none. A directory
// that is open, in this or another process, is refused, and so is one with damage
// that cannot be confined to a bucket: ErrCorrupt.
func Open(o Options) (*Store, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	start := time.Now()
	s := &Store{
		o:       o,
		cache:   pebble.NewCache(o.CacheBytes),
		buckets: make(map[point.BucketID]*Bucket),
		sweep:   make(chan struct{}, 1),
		swept:   make(chan struct{}),
		stop:    make(chan struct{}),

		surveyed: make(chan struct{}),
	}
	s.wake.L = &s.mu
	if err := s.open(); err != nil {
		s.cache.Unref()
		return nil, fmt.Errorf("disk: open store %s: %w", o.Dir, err)
	}
	// From now on there has been one: Reopen must not make another in its place.
	s.o.MustExist = true
	if o.ReadOnly { // for tools, which read what they need to know of
		close(s.swept)
		close(s.surveyed)
	} else {
		go s.sweeper()
		go s.survey()
	}
	s.signal()
	s.o.Logger.Info("store opened", slog.String("dir", o.Dir), slog.Int64("diskBytes", s.Stats().DiskBytes), slog.Duration("took", time.Since(start)))
	return s, nil
}

func (s *Store) open() error {
	in, err := s.openInstance()
	if err != nil {
		return err
	}
	if !s.o.ReadOnly {
		err = s.clearStaging()
	}
	if err == nil {
		err = s.adopt(in)
	}
	if err == nil {
		s.mu.Lock()
		if err = in.failure(); err == nil {
			s.in = in
		}
		s.mu.Unlock()
	}
	if err != nil {
		in.fence.Fail(err)
		in.fence.Drain()
		_ = in.protect(in.db.Close)
		return errors.Join(err, in.fence.Unlock())
	}
	return nil
}

// clearStaging removes what an earlier run has left there.
func (s *Store) clearStaging() error {
	fs := s.o.FS
	dir := fs.PathJoin(s.o.Dir, stagingDir)
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes note of what an instance has on disk. Blocks of buckets that are no
// more become garbage; those of others wait for their bucket to be loaded.
func (s *Store) adopt(in *instance) error {
	extents, err := in.extents()
	if err != nil {
		return err
	}
	live := make(map[point.BucketID]bool)
	err = in.scan([]byte{kindState}, []byte{kindState + 1}, func(key, _ []byte) error {
		if len(key) == bucketKeyBytes {
			live[keyBucket(key)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, list := range extents {
		if live[id] || s.buckets[id] != nil {
			continue
		}
		for _, e := range list {
			if !s.pending(id, e) {
				s.garbage = append(s.garbage, &garbage{id: id, from: e.from, to: e.to, bytes: e.bytes})
			}
		}
		delete(extents, id)
	}
	s.extents = extents
	return nil
}

// fail is called once by each instance's fence, from any goroutine.
func (s *Store) fail(in *instance, err error) {
	s.mu.Lock()
	current := s.in == in
	if current {
		s.failure = fmt.Errorf("%w: %w", ErrFailed, err)
		err = s.failure
	}
	s.mu.Unlock()
	close(in.failed)
	if current { // otherwise whoever opens the instance notices by itself
		s.o.Logger.Error("store failed", slog.String("dir", s.o.Dir), slog.Any("error", err))
		s.o.OnFailure(err)
	}
}

// Failed says why nothing can be written, nil if it can. Blocks that are on disk
// can be read nevertheless. Reopen ends the failure.
func (s *Store) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// enter must be called before Pebble is used, and exit after it.
func (s *Store) enter() (*instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, ErrClosed
	}
	s.in.users++
	return s.in, nil
}

func (s *Store) exit(in *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.users--
	if in.users == 0 && (s.closing || s.in != in) {
		s.wake.Broadcast()
	}
}

// enterWrite is enter for what changes the store; exitWrite must follow.
func (s *Store) enterWrite() (*instance, error) {
	if s.o.ReadOnly {
		return nil, ErrReadOnly
	}
	if err := s.Failed(); err != nil {
		return nil, err // without waiting for a Reopen
	}
	s.commits.RLock()
	in, err := s.enter()
	if err == nil {
		if err = in.failure(); err == nil {
			return in, nil
		}
		s.exit(in)
	}
	s.commits.RUnlock()
	return nil, err
}

func (s *Store) exitWrite(in *instance) {
	s.exit(in)
	s.commits.RUnlock()
}

// Buckets returns the buckets that have anything, in ascending order.
func (s *Store) Buckets() ([]point.BucketID, error) {
	in, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer s.exit(in)
	var ids []point.BucketID
	err = in.scan([]byte{kindState}, []byte{kindState + 1}, func(key, _ []byte) error {
		if len(key) != bucketKeyBytes {
			return fmt.Errorf("%w: key %x", ErrCorrupt, key)
		}
		ids = append(ids, keyBucket(key))
		return nil
	})
	if err != nil {
		if failure := in.failure(); failure != nil {
			return nil, failure
		}
		if pebble.IsCorruptionError(err) {
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return nil, err
	}
	return ids, nil
}

// Bucket returns a bucket, which may have nothing yet. The first call loads its
// directories; damage to them is an error of this bucket only.
func (s *Store) Bucket(id point.BucketID) (*Bucket, error) {
	s.mu.Lock()
	b := s.buckets[id]
	if b == nil {
		if s.closing {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		b = newBucket(s, id)
		s.buckets[id] = b
	}
	s.mu.Unlock()
	return b, b.load()
}

// DropBucket removes everything of a bucket, durably. The space comes back once no
// Version of it is held; those that are can be read until then. A bucket opened
// under the same id afterwards begins with nothing. Its Definitions are gone at once.
func (s *Store) DropBucket(id point.BucketID) error {
	b, err := s.Bucket(id)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	return b.drop()
}

// Reopen ends a failure: it opens the directory again and takes what is durable for
// the truth. Buckets, Versions, Parts and PartWriters stay valid; the current version
// of each bucket may be another than before the failure. Without a failure it does
// nothing. When ctx ends it returns, but goes on in the background, and the next call
// joins it.
func (s *Store) Reopen(ctx context.Context) error {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return ErrClosed
	}
	if s.failure == nil && s.reopening == nil {
		s.mu.Unlock()
		return nil
	}
	done := s.reopening
	if done == nil {
		done = make(chan struct{})
		s.reopening = done
		go func() {
			err := s.reopen()
			s.mu.Lock()
			s.reopening, s.reopenErr = nil, err
			s.mu.Unlock()
			close(done)
		}()
	}
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reopenErr
}

func (s *Store) reopen() error {
	s.commits.Lock()
	defer s.commits.Unlock()
	s.mu.Lock()
	old, closing := s.in, s.closing
	s.mu.Unlock()
	switch {
	case closing:
		return ErrClosed
	case old.fence.Failed() == nil:
		return nil
	}
	old.fence.Drain()
	if err := old.fence.Unlock(); err != nil {
		return fmt.Errorf("disk: reopen store %s: %w", s.o.Dir, err)
	}
	in, err := s.openInstance()
	if err == nil {
		err = s.takeOver(in)
	}
	if err != nil {
		return fmt.Errorf("disk: reopen store %s: %w: %w", s.o.Dir, ErrFailed, err)
	}
	s.retire(old)
	s.signal()
	s.o.Logger.Info("store opened again", slog.String("dir", s.o.Dir))
	return nil
}

// takeOver makes in the store's instance, with what it has on disk. It owns in: after
// an error in is closed.
func (s *Store) takeOver(in *instance) error {
	err := s.adopt(in)
	s.mu.Lock()
	var loaded []*Bucket
	for _, b := range s.buckets {
		loaded = append(loaded, b)
	}
	s.mu.Unlock()
	for _, b := range loaded {
		if err == nil {
			err = b.reload(in)
		}
	}
	s.mu.Lock()
	if err == nil {
		err = in.failure()
	}
	if err == nil {
		s.in, s.failure = in, nil
	}
	s.mu.Unlock()
	if err != nil {
		in.fence.Fail(err)
		in.fence.Drain()
		_ = in.protect(in.db.Close)
		return errors.Join(err, in.fence.Unlock())
	}
	return nil
}

// retire closes a failed instance once nobody uses it any more. It has nothing to
// write; if it hangs, that is its own affair.
func (s *Store) retire(in *instance) {
	s.mu.Lock()
	s.tearing++
	s.mu.Unlock()
	go func() {
		s.mu.Lock()
		for in.users > 0 {
			s.wake.Wait()
		}
		s.mu.Unlock()
		_ = in.protect(in.db.Close)
		s.mu.Lock()
		s.tearing--
		s.wake.Broadcast()
		s.mu.Unlock()
	}()
}

// Close waits for the calls that are under way and for the removal of what can be
// removed. Versions that are still held can not be read any more: ErrClosed. Of a
// failed store it waits at most Options.CloseTimeout for the disk.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return ErrClosed
	}
	s.stopping = true
	failed := s.in.failed
	s.mu.Unlock()
	close(s.stop)
	done := make(chan error, 1)
	go func() { done <- s.shutdown() }()
	select {
	case err := <-done:
		return err
	case <-failed:
	}
	timeout := time.NewTimer(s.o.CloseTimeout)
	defer timeout.Stop()
	select {
	case err := <-done:
		return err
	case <-timeout.C:
		return fmt.Errorf("disk: close failed store %s: the disk still holds an operation after %s", s.o.Dir, s.o.CloseTimeout)
	}
}

func (s *Store) shutdown() error {
	<-s.swept
	<-s.surveyed
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.commits.Lock() // no Commit and no Reopen is under way
	defer s.commits.Unlock()
	s.mu.Lock()
	in := s.in
	for in.users > 0 || s.tearing > 0 {
		s.wake.Wait()
	}
	s.mu.Unlock()
	var err error
	if !s.o.ReadOnly && in.ordinal > 1 && in.failure() == nil {
		err = in.vouch()
	}
	if in.failure() != nil {
		in.fence.Drain()
		err = in.fence.Unlock() // a failed store has said so already
		_ = in.protect(in.db.Close)
	} else {
		err = errors.Join(err, in.protect(in.db.Close), in.fence.Unlock())
	}
	s.cache.Unref()
	return err
}
