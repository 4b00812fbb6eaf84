package disk

import (
	"cmp"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"headgate/engine/point"
)

// Version is the parts that a bucket had after a Commit. It does not change, and as
// long as it is held, neither do its parts' blocks.
type Version struct {
	b       *Bucket
	number  uint64
	parts   []*Part // ascending by SeqMax, then ID
	flushed uint64
	// refs is how often the version is held, once for being current. Guarded by
	// Bucket.mu.
	refs int
}

// advance makes a new version the current one. The caller holds mu.
func (b *Bucket) advance(parts []*Part, flushed uint64) {
	slices.SortFunc(parts, func(p, q *Part) int {
		return cmp.Or(cmp.Compare(p.SeqMax, q.SeqMax), cmp.Compare(p.ID, q.ID))
	})
	b.number++
	for _, p := range parts {
		if p.addedAt == 0 {
			p.addedAt = b.number
		}
	}
	b.versions = append(b.versions, &Version{b: b, number: b.number, parts: parts, flushed: flushed, refs: 1})
	if n := len(b.versions); n > 1 {
		b.unref(b.versions[n-2])
	}
}

// unref reports whether the version was held for the last time. The caller holds mu.
func (b *Bucket) unref(v *Version) bool {
	v.refs--
	if v.refs > 0 {
		return false
	}
	if i := slices.Index(b.versions, v); i >= 0 {
		b.versions = slices.Delete(b.versions, i, i+1)
	}
	return true
}

// Acquire returns the current version, held for the caller, who must Release it.
// A bucket that was dropped has no parts.
func (b *Bucket) Acquire() *Version {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.versions) == 0 { // never loaded
		b.advance(nil, 0)
	}
	v := b.versions[len(b.versions)-1]
	v.refs++
	return v
}

// Retain holds the version once more. The caller must hold it already.
func (v *Version) Retain() *Version {
	v.b.mu.Lock()
	defer v.b.mu.Unlock()
	if v.refs <= 0 {
		panic("disk: Retain of a version that nobody holds")
	}
	v.refs++
	return v
}

// Release ends a hold. It never waits for the disk.
func (v *Version) Release() {
	b := v.b
	b.mu.Lock()
	if v.refs <= 0 {
		b.mu.Unlock()
		panic("disk: Release of a version that nobody holds")
	}
	last := b.unref(v)
	b.mu.Unlock()
	if last {
		b.s.signal()
	}
}

// Parts returns the parts in ascending order of SeqMax, then ID. Read-only.
func (v *Version) Parts() []*Part { return v.parts }

// Flushed returns the highest sequence number of the log whose effects are in the
// version.
func (v *Version) Flushed() uint64 { return v.flushed }

// Bucket returns the bucket's id.
func (v *Version) Bucket() point.BucketID { return v.b.id }

// Overlapping appends to dst the parts that have times between min and max, both
// inclusive, in the order of Parts.
func (v *Version) Overlapping(min, max int64, dst []*Part) []*Part {
	for _, p := range v.parts {
		if p.TimeMin <= max && p.TimeMax >= min {
			dst = append(dst, p)
		}
	}
	return dst
}

var errNoBlock = errors.New("disk: the part has no such block")

// ReadBlock appends a block of one of the version's parts to dst. The caller owns the
// result. Damage is a *CorruptError that names the block. Reading goes on when the
// store has failed; a block that cannot be read then is ErrFailed.
func (v *Version) ReadBlock(p *Part, number uint32, dst []byte) ([]byte, error) {
	meta := p.block(number)
	if meta == nil {
		return dst, errNoBlock
	}
	in, err := v.b.s.enter()
	if err != nil {
		return dst, err
	}
	defer v.b.s.exit(in)
	return in.readBlock(v.b.id, p.ID, meta, dst)
}

func (in *instance) readBlock(id point.BucketID, part uint64, meta *BlockMeta, dst []byte) ([]byte, error) {
	var key [blockKeyBytes]byte
	putBlockKey(key[:], id, part, meta.Number)
	start := len(dst)
	dst, err := in.get(key[:], slices.Grow(dst, int(meta.Bytes)))
	if errors.Is(err, pebble.ErrNotFound) {
		// The part may be about to be replaced: see squeezing.
		in.s.squeezing.RLock()
		dst, err = in.get(key[:], dst)
		in.s.squeezing.RUnlock()
	}
	if err == nil && len(dst)-start != int(meta.Bytes) {
		err = &CorruptError{Bucket: id, Part: part, Reason: "size is not what the directory says"}
	} else if err != nil {
		err = in.readError(id, part, err)
	}
	if damage := (*CorruptError)(nil); errors.As(err, &damage) {
		damage.Block, damage.InBlock = meta.Number, true
	}
	if err != nil {
		return dst[:start], err
	}
	return dst, nil
}

func isCorrupt(err error) bool { return errors.Is(err, ErrCorrupt) }

// blocked reports whether a version that has what was added and removed at some
// versions is held.
func (b *Bucket) blocked(addedAt, removedAt uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.versions {
		if addedAt <= v.number && v.number < removedAt {
			return true
		}
	}
	return false
}
