package record_test

import (
	"testing"

	"headgate/bench"
	"headgate/bench/stages"
	"headgate/engine/point"
	"headgate/engine/record"
)

// stageBatches is the batches of some bodies, and the work of each.
func stageBatches(b *testing.B, o bench.BodiesOptions) ([]*point.Batch, stages.Work) {
	ring := stages.Bodies(b, o)
	var s stages.Schema
	var batches []*point.Batch
	var work stages.Work
	for range 16 {
		body := ring.Next()
		batches = append(batches, s.Batch(b, body))
		work = stages.WorkOf(body)
	}
	return batches, work
}

// BenchmarkStageRecord encodes the records of batches that define nothing.
func BenchmarkStageRecord(b *testing.B) {
	for _, o := range []struct {
		name string
		bench.BodiesOptions
	}{
		{"encode/cpu/points=5000", bench.BodiesOptions{}},
		{"encode/cpu/points=1", bench.BodiesOptions{Lines: 1, Hosts: 1}},
		{"encode/devops/points=5000", bench.BodiesOptions{Workload: bench.Devops, Hosts: 1000}},
	} {
		b.Run(o.name, func(b *testing.B) {
			batches, work := stageBatches(b, o.BodiesOptions)
			var rec []byte
			m := stages.Start(b, work)
			for i := 0; b.Loop(); i++ {
				rec = record.Encode(rec[:0], batches[i%len(batches)], nil)
			}
			m.Stop()
			b.ReportMetric(float64(len(rec))/float64(work.Lines), "B/line")
		})
	}
	b.Run("decode/cpu/points=5000", func(b *testing.B) {
		batches, work := stageBatches(b, bench.BodiesOptions{})
		var recs [][]byte
		for _, batch := range batches {
			recs = append(recs, record.Encode(nil, batch, nil))
		}
		m := stages.Start(b, work)
		for i := 0; b.Loop(); i++ {
			var batch point.Batch
			if err := record.Decode(recs[i%len(recs)], &batch, new(record.Definitions)); err != nil {
				b.Fatal(err)
			}
		}
		m.Stop()
	})
}
