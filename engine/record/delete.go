package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// The kinds of records beside KindWrite.
const (
	// KindDelete is a range of time in which some series lose their points.
	KindDelete Kind = 2
	// KindFree is the measurements and series that are no more.
	KindFree Kind = 3
)

// Delete says which points go: those of Series with a time in [Min, Max],
// nanoseconds, both inclusive, that the log's records before this one wrote. What
// the predicate was is not kept: replaying must not ask what it means now.
type Delete struct {
	Min, Max int64
	// Series is never nil when it comes from DecodeDelete; nil is empty.
	Series *roaring.Bitmap
}

// Free names measurements and series that have no points left. Their ids are
// never used again; their names may be defined anew, with other ids and types.
type Free struct {
	// Measurements are ascending when they come from DecodeFree.
	Measurements []point.MeasurementID
	// Series is never nil when it comes from DecodeFree; nil is empty.
	Series *roaring.Bitmap
}

// EncodeDelete appends the record of r to dst and returns the extended slice. It
// panics on ids that no bucket hands out, as Encode does. It only reads r.Series.
func EncodeDelete(dst []byte, r Delete) []byte {
	return encodeKind(dst, KindDelete, func(e *encoder, dst []byte) []byte {
		dst = binary.AppendUvarint(dst, zigzag(uint64(r.Min)))
		dst = binary.AppendUvarint(dst, zigzag(uint64(r.Max)))
		return e.appendSet(dst, r.Series)
	})
}

// EncodeFree appends the record of r to dst and returns the extended slice. It
// panics on ids that no bucket hands out, as Encode does. It only reads r; order
// and repetition of r.Measurements mean nothing.
func EncodeFree(dst []byte, r Free) []byte {
	return encodeKind(dst, KindFree, func(e *encoder, dst []byte) []byte {
		ids := e.scratch2(len(r.Measurements))
		for i, id := range r.Measurements {
			if id == 0 {
				panic(fmt.Sprintf("record: measurement %d of %d to free has no id", i, len(ids)))
			}
			ids[i] = uint64(id)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		e.decodedBytes += measurementBytes * len(ids)
		dst = binary.AppendUvarint(dst, uint64(len(ids)))
		dst = e.appendSequence(dst, ids, true, false)
		return e.appendSet(dst, r.Series)
	})
}

// measurementBytes is charged for each measurement of a Free: its id, and the
// same before it is narrowed.
const measurementBytes = 4 + 8

// encodeKind appends a record whose body is what body appends.
func encodeKind(dst []byte, kind Kind, body func(e *encoder, dst []byte) []byte) []byte {
	e := encoders.Get().(*encoder)
	start := len(dst)
	dst = body(e, append(dst, Version, byte(kind), 0, 0, 0, 0))
	return e.finish(dst, start)
}

// DecodeDelete reads a record of KindDelete. Like Decode it copies everything,
// believes nothing, allocates at most [DecodedBytesMax], and every error is a
// [*CorruptError].
func DecodeDelete(rec []byte) (Delete, error) {
	if err := verify(rec, KindDelete, "not a delete"); err != nil {
		return Delete{}, err
	}
	return decodeDelete(rec)
}

func decodeDelete(rec []byte) (Delete, error) {
	d := decoder{rec: rec, at: headerLen, budget: DecodedBytesMax(len(rec))}
	r := Delete{Min: int64(unzigzag(d.uvarint())), Max: int64(unzigzag(d.uvarint())), Series: d.set()}
	d.padding()
	if d.err != nil {
		return Delete{}, d.err
	}
	return r, nil
}

// DecodeFree reads a record of KindFree, as DecodeDelete does its kind.
func DecodeFree(rec []byte) (Free, error) {
	if err := verify(rec, KindFree, "not a free"); err != nil {
		return Free{}, err
	}
	return decodeFree(rec)
}

func decodeFree(rec []byte) (Free, error) {
	d := decoder{rec: rec, at: headerLen, budget: DecodedBytesMax(len(rec))}
	r := Free{Measurements: d.measurementIDs(), Series: d.set()}
	d.padding()
	if d.err != nil {
		return Free{}, d.err
	}
	return r, nil
}

// measurementIDs reads ascending ids of measurements.
func (d *decoder) measurementIDs() []point.MeasurementID {
	n := d.count(math.MaxInt32, "measurements")
	if n == 0 || !d.charge(measurementBytes*n) {
		return nil
	}
	wide := d.scratch(n)
	d.sequence(wide)
	ids := make([]point.MeasurementID, n)
	prev := uint64(0)
	for i, id := range wide {
		if d.err == nil && (id <= prev || id > math.MaxUint32) {
			d.fail("measurement id out of order or range")
		}
		if d.err != nil {
			return nil
		}
		ids[i], prev = point.MeasurementID(id), id
	}
	return ids
}
