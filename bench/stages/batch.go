package stages

import (
	"testing"

	"headgate/bench"
	"headgate/engine/lineproto"
	"headgate/engine/point"
)

// Bodies makes bodies, by default those that all stages share.
func Bodies(tb testing.TB, o bench.BodiesOptions) *bench.Ring {
	tb.Helper()
	r, err := bench.NewBodies(o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// Schema hands out ids as a bucket does, from 1 on and in order of appearance, and knows
// them from then on. The zero value is ready. It must not be used concurrently.
type Schema struct {
	Index *lineproto.Index

	parser       lineproto.Parser
	series       map[string]point.SeriesID
	of           []point.MeasurementID // of each series
	measurements map[string]point.MeasurementID
	fields       map[field]point.FieldID
}

type field struct {
	measurement point.MeasurementID
	name        string
}

// LookupSeries implements lineproto.SeriesLookup.
func (s *Schema) LookupSeries(key []byte) (point.SeriesID, point.MeasurementID, bool) {
	id, ok := s.series[string(key)]
	if !ok {
		return 0, 0, false
	}
	return id, s.of[id-1], true
}

// Batch parses a body and defines what is new in it: every row and column has its id.
func (s *Schema) Batch(tb testing.TB, body *bench.Body) *point.Batch {
	tb.Helper()
	batch := s.Parse(tb, body)
	s.Define(batch)
	return batch
}

// Parse parses a body.
func (s *Schema) Parse(tb testing.TB, body *bench.Body) *point.Batch {
	tb.Helper()
	if s.Index == nil {
		s.Index = lineproto.NewIndex(64 << 20)
		s.series = make(map[string]point.SeriesID)
		s.measurements = make(map[string]point.MeasurementID)
		s.fields = make(map[field]point.FieldID)
	}
	batch := new(point.Batch)
	if err := s.parser.Parse(batch, body.Text(), lineproto.Options{Index: s.Index, Series: s}); err != nil {
		tb.Fatal(err)
	}
	return batch
}

// Define gives what is new in a batch that Parse has made an id.
func (s *Schema) Define(batch *point.Batch) {
	for _, t := range batch.Tables {
		t.ID = id(s.measurements, string(t.Name))
		for _, c := range t.Columns {
			c.Field = id(s.fields, field{t.ID, string(c.Name)})
		}
	}
	for i := range batch.NewSeries {
		n := &batch.NewSeries[i]
		n.ID = id(s.series, string(n.Key))
		s.of = append(s.of, batch.Tables[n.Table].ID)
	}
	Settle(batch)
}

func id[K comparable, ID ~uint32 | ~uint64](of map[K]ID, name K) ID {
	if _, ok := of[name]; !ok {
		of[name] = ID(len(of) + 1)
	}
	return of[name]
}

// Settle has the rows of series that have just been defined name them by their ids.
func Settle(batch *point.Batch) {
	for _, t := range batch.Tables {
		for i, ref := range t.Series {
			if ref.IsNew() {
				t.Series[i] = point.SeriesRef(batch.NewSeries[ref.NewIndex()].ID)
			}
		}
	}
}
