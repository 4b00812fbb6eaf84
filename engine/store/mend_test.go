package store

import (
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
	"headgate/engine/record"
)

// recordOf encodes definitions and rows of one measurement, one value each.
func recordOf(defs record.Definitions, of point.MeasurementID, field point.FieldID, series ...point.SeriesID) []byte {
	b := new(point.Batch)
	if of != 0 {
		t := &point.Table{ID: of}
		c := &point.Column{Field: field, Type: point.Integer}
		for i, s := range series {
			t.AppendRow(point.SeriesRef(s), int64(100+i), 0)
			c.AppendNum(i, uint64(i))
		}
		t.Columns = []*point.Column{c}
		b.Tables = []*point.Table{t}
	}
	return record.Encode(nil, b, &defs)
}

func defsOf(m point.MeasurementID, name string, first point.SeriesID, keys ...string) record.Definitions {
	d := record.Definitions{
		Measurements: []record.MeasurementDef{{ID: m, Name: name}},
		Fields:       []record.FieldDef{{Measurement: m, ID: 1, Type: point.Integer, Name: "f"}},
	}
	for i, k := range keys {
		d.Series = append(d.Series, record.SeriesDef{ID: first + point.SeriesID(i), Measurement: m, Key: []byte(k)})
	}
	return d
}

// What is mended can be replayed; what need not be is left as it is.
func TestMend(t *testing.T) {
	one := recordOf(defsOf(1, "a", 1, "a,k=1", "a,k=2"), 1, 1, 1, 2)
	more := recordOf(record.Definitions{Series: []record.SeriesDef{{ID: 3, Measurement: 1, Key: []byte("a,k=3")}}}, 1, 1, 2, 3, 3)
	free := record.EncodeFree(nil, record.Free{Measurements: []point.MeasurementID{1}, Series: roaring.BitmapOf(1, 2, 3)})
	again := recordOf(defsOf(2, "a", 4, "a,k=1"), 2, 1, 4, 4)
	gone := record.EncodeDelete(nil, record.Delete{Min: 1, Max: 2, Series: roaring.BitmapOf(1)})
	all := [][]byte{one, more, gone, free, again}
	for lost := -1; lost < len(all); lost++ {
		b := NewBucket(1, Options{})
		var kept [][]byte
		mended, rows := 0, 0
		for i, rec := range all {
			if i == lost {
				continue
			}
			m := b.Mend(rec, nil)
			if m == nil {
				kept = append(kept, rec)
				continue
			}
			mended++
			rows += m.Rows
			kept = append(kept, m.Before...)
			if m.Record != nil {
				kept = append(kept, m.Record)
			}
		}
		r := NewBucket(1, Options{})
		c := NewBucket(1, Options{})
		for i, rec := range kept {
			if kind, _ := record.KindOf(rec); kind == record.KindDelete {
				continue // needs a data store
			}
			if err := r.Replay(uint64(i+1), rec); err != nil {
				t.Errorf("without record %d: replay record %d: %v", lost, i, err)
			}
			if err := c.CheckRecord(rec, nil); err != nil {
				t.Errorf("without record %d: check record %d: %v", lost, i, err)
			}
		}
		want := []struct{ mended, rows int }{{0, 0}, {1, 3}, {0, 0}, {0, 0}, {1, 0}, {0, 0}}[lost+1]
		if mended != want.mended || rows != want.rows {
			t.Errorf("without record %d: %d mended, %d rows lost, want %+v", lost, mended, rows, want)
		}
		if lost < 4 {
			if names := r.Measurements(); len(names) != 1 || names[0].ID != 2 || names[0].Series != 1 {
				t.Errorf("without record %d: %+v", lost, names)
			}
		}
	}
}

// Whoever checks or mends a record is told of the points that it keeps.
func TestRecordTellsItsPoints(t *testing.T) {
	rec := recordOf(defsOf(1, "a", 1, "a,k=1", "a,k=2"), 1, 1, 1, 2, 2)
	lost := recordOf(record.Definitions{}, 1, 1, 2, 3) // 3 is not defined
	for what, see := range map[string]func(b *Bucket, rec []byte, seen func(*point.Table)){
		"check": func(b *Bucket, rec []byte, seen func(*point.Table)) {
			if err := b.CheckRecord(rec, seen); (err == nil) == (&rec[0] == &lost[0]) {
				t.Error(err)
			}
		},
		"mend": func(b *Bucket, rec []byte, seen func(*point.Table)) { b.Mend(rec, seen) },
	} {
		b, rows := NewBucket(1, Options{}), 0
		count := func(t *point.Table) { rows += t.Rows() }
		see(b, rec, count)
		if rows != 3 {
			t.Errorf("%s: %d of 3 points", what, rows)
		}
		rows = 0
		if see(b, lost, count); what == "mend" && rows != 1 {
			t.Errorf("%s: %d points, one can be kept", what, rows)
		}
	}
}

// One is not "1 fields are".
func TestUndefinedText(t *testing.T) {
	for _, tt := range []struct {
		err  Undefined
		want string
	}{
		{Undefined{Measurement: 3}, "measurement 3 is not defined"},
		{Undefined{Series: []point.SeriesID{7}}, "series 7 is not defined"},
		{Undefined{Series: []point.SeriesID{7, 9}}, "2 series are not defined, the first is 7"},
		{Undefined{Fields: []point.FieldID{7}}, "field 7 is not defined so"},
		{Undefined{Fields: []point.FieldID{7, 9}}, "2 fields are not defined so, the first is 7"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestCheckRecordTellsDamage(t *testing.T) {
	rec := recordOf(defsOf(1, "a", 1, "a,k=1"), 1, 1, 1)
	for at := range rec {
		bad := slices.Clone(rec)
		bad[at] ^= 4
		if err := NewBucket(1, Options{}).CheckRecord(bad, nil); err == nil {
			t.Errorf("byte %d of %d: not told", at, len(rec))
		}
		if m := NewBucket(1, Options{}).Mend(bad, nil); m == nil || m.Err == nil || m.Record != nil {
			t.Errorf("byte %d of %d: mended to %+v", at, len(rec), m)
		}
	}
}
