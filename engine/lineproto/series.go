package lineproto

import (
	"bytes"
	"hash/maphash"

	"headgate/engine/point"
)

// series finds the series of the line that starts with b: a prefix and the space behind
// it. off is where b is in the body. s is nil if the prefix is malformed or not plain.
func (p *Parser) series(b []byte, off int) (ref point.SeriesRef, s *shape) {
	prefix := b[:len(b)-1]
	hash := maphash.Bytes(p.seed, prefix)
	if ref, s = p.known(prefix, hash, off); s != nil {
		return ref, s
	}
	if !isPlain(prefix) {
		return 0, nil
	}
	measurement, end, tags, reason := scanPrefix(b, p.tags)
	p.tags = tags
	if reason != "" || end != len(prefix) {
		return 0, nil
	}
	return p.resolve(prefix, measurement, hash, off, true)
}

// known finds a prefix that has been seen before, here or by others.
func (p *Parser) known(prefix []byte, hash uint64, off int) (ref point.SeriesRef, s *shape) {
	if g := p.young; g != nil {
		if n := g.find(hash, prefix); n >= 0 {
			p.follow(n)
			e := &g.entries[n]
			return point.SeriesRef(e.series), p.shapeOf(e.measurement, prefix)
		}
	}
	if len(p.fresh.entries) > 0 {
		if f := p.fresh.find(hash, prefix, p); f != nil {
			return f.ref, p.current[f.table]
		}
	}
	if g := p.old; g != nil {
		if n := g.find(hash, prefix); n >= 0 {
			e := g.entries[n]
			p.remember(prefix, hash, e.series, e.measurement)
			return point.SeriesRef(e.series), p.shapeOf(e.measurement, prefix)
		}
	}
	return 0, nil
}

// remember puts a plain prefix into the index.
func (p *Parser) remember(prefix []byte, hash uint64, series point.SeriesID, measurement point.MeasurementID) {
	x := p.o.Index
	if x == nil {
		return
	}
	g, n := x.insert(p.o.Epoch, hash, prefix, series, measurement)
	if n < 0 {
		return
	}
	if g != p.young {
		p.young, p.old = x.generations(p.o.Epoch)
		p.last = -1
	}
	if g == p.young {
		p.follow(n)
	}
}

// resolve finds the series of a prefix that scanPrefix has taken apart into p.tags,
// or makes it a new series of the batch.
func (p *Parser) resolve(prefix []byte, measurement int, hash uint64, off int, plain bool) (point.SeriesRef, *shape) {
	var same bool
	p.key, same = appendCanonical(p.key[:0], prefix, measurement, p.tags)
	keyHash := hash
	if !same {
		keyHash = maphash.Bytes(p.seed, p.key)
	}
	if !same || !plain { // otherwise known has looked
		if f := p.fresh.find(keyHash, p.key, p); f != nil {
			if plain && !same {
				p.fresh.add(freshEntry{hash: hash, off: uint32(off), len: uint32(len(prefix)), ref: f.ref, table: f.table})
				p.charge(freshBytes)
			}
			return f.ref, p.current[f.table]
		}
	}
	if p.o.Series != nil {
		if id, m, ok := p.o.Series.LookupSeries(p.key); ok {
			if plain {
				p.remember(prefix, hash, id, m)
			}
			return point.SeriesRef(id), p.shapeOf(m, prefix)
		}
	}
	s := p.shapeNamed(prefix[:measurement], 0)
	ref := point.NewSeriesBit | point.SeriesRef(len(p.batch.NewSeries))
	p.batch.NewSeries = append(p.batch.NewSeries, point.NewSeries{Key: p.keep(p.key), Table: s.index})
	p.fresh.add(freshEntry{hash: keyHash, ref: ref, table: int32(s.index)})
	p.charge(int64(newSeriesBytes + freshBytes + len(p.key)))
	if !same && plain {
		p.fresh.add(freshEntry{hash: hash, off: uint32(off), len: uint32(len(prefix)), ref: ref, table: int32(s.index)})
		p.charge(freshBytes)
	}
	return ref, s
}

// appendCanonical appends the canonical key of the series of a prefix: tags sorted, and
// backslashes exactly where point.AppendSeriesKey writes them. same reports that the
// prefix is its own canonical key.
//
// Tags need no change but for a value that starts with =, the only delimiter that is allowed
// without a backslash. In a measurement InfluxDB also takes \= and \" for = and ".
func appendCanonical(dst, prefix []byte, measurement int, tags []tagSpan) (_ []byte, same bool) {
	start := len(dst)
	name := prefix[:measurement]
	for i, c := range name {
		if c == '\\' && i+1 < len(name) && (name[i+1] == '=' || name[i+1] == '"') {
			continue
		}
		dst = append(dst, c)
	}
	for _, t := range tags {
		dst = append(dst, ',')
		dst = append(dst, prefix[t.key:t.eq]...)
		dst = append(dst, '=')
		if prefix[t.eq+1] == '=' {
			dst = append(dst, '\\')
		}
		dst = append(dst, prefix[t.eq+1:t.end]...)
	}
	return dst, bytes.Equal(dst[start:], prefix)
}

// freshSeries finds the batch's new series by prefix and by canonical key.
type freshSeries struct {
	slots   []uint32 // entry number + 1; 0 is empty
	entries []freshEntry
}

// freshEntry is a prefix at body[off:][:len], or, if len is 0, a canonical key.
type freshEntry struct {
	hash     uint64
	off, len uint32
	ref      point.SeriesRef
	table    int32
}

const (
	freshBytes     = 24 + 2*4
	newSeriesBytes = 40
)

func (f *freshSeries) find(hash uint64, key []byte, p *Parser) *freshEntry {
	if len(f.slots) == 0 {
		return nil
	}
	mask := uint64(len(f.slots) - 1)
	for i := hash & mask; f.slots[i] != 0; i = (i + 1) & mask {
		e := &f.entries[f.slots[i]-1]
		if e.hash != hash {
			continue
		}
		have := p.body[e.off:][:e.len]
		if e.len == 0 {
			have = p.batch.NewSeries[e.ref.NewIndex()].Key
		}
		if bytes.Equal(have, key) {
			return e
		}
	}
	return nil
}

func (f *freshSeries) add(e freshEntry) {
	if 2*len(f.entries) >= len(f.slots) {
		f.slots = make([]uint32, max(64, 2*len(f.slots)))
		for i := range f.entries {
			f.link(i)
		}
	}
	f.entries = append(f.entries, e)
	f.link(len(f.entries) - 1)
}

func (f *freshSeries) link(n int) {
	mask := uint64(len(f.slots) - 1)
	i := f.entries[n].hash & mask
	for f.slots[i] != 0 {
		i = (i + 1) & mask
	}
	f.slots[i] = uint32(n + 1)
}

func (f *freshSeries) reset() {
	if len(f.entries) == 0 {
		return
	}
	if cap(f.entries) > scratchMax {
		*f = freshSeries{}
		return
	}
	clear(f.slots)
	f.entries = f.entries[:0]
}

// chunkBytes is how much room for names and keys is made at a time.
const chunkBytes = 4 << 10

// keep copies b into memory of the batch.
func (p *Parser) keep(b []byte) []byte {
	if len(b) > cap(p.chunk)-len(p.chunk) {
		if len(b) > chunkBytes/4 || len(p.body) < chunkBytes {
			return bytes.Clone(b)
		}
		p.chunk = make([]byte, 0, chunkBytes)
	}
	n := len(p.chunk)
	p.chunk = append(p.chunk, b...)
	return p.chunk[n:len(p.chunk):len(p.chunk)]
}

// charge adds to the estimate of what the batch occupies.
func (p *Parser) charge(n int64) {
	p.memory += n
	if limit := p.o.MemoryBytesMax; limit > 0 && p.memory > limit {
		p.overLimit = true
	}
}
