package lineproto_test

import (
	"testing"

	"headgate/bench"
	"headgate/bench/stages"
	"headgate/engine/lineproto"
	"headgate/engine/point"
)

// BenchmarkStageScan finds the lines of a body, their prefixes and their series in the
// index; the fields are not read. Each prefix is hashed: the parser first compares with
// the one that followed last time, and rarely has to.
func BenchmarkStageScan(b *testing.B) {
	body := stages.Bodies(b, bench.BodiesOptions{Bodies: 2}).Next()
	var s stages.Schema
	s.Batch(b, body)
	s.Batch(b, body) // the index learns from what it is asked
	p, batch := new(lineproto.Parser), new(point.Batch)
	m := stages.Start(b, stages.WorkOf(body))
	for b.Loop() {
		if n := p.ScanSeries(batch, body.Text(), lineproto.Options{Index: s.Index, Series: &s}); n != body.Points {
			b.Fatalf("%d series of %d lines", n, body.Points)
		}
	}
	m.Stop()
}

// BenchmarkStageParse makes batches of bodies whose series are known.
func BenchmarkStageParse(b *testing.B) {
	for _, o := range []struct {
		name string
		bench.BodiesOptions
	}{
		{"cpu/points=5000", bench.BodiesOptions{}},
		{"cpu/points=1", bench.BodiesOptions{Lines: 1, Hosts: 1}},
		{"devops/points=5000", bench.BodiesOptions{Workload: bench.Devops, Hosts: 1000}},
		{"wide/points=500", bench.BodiesOptions{Workload: bench.Wide, Hosts: 100, Lines: 500, Bodies: 2}},
	} {
		b.Run(o.name, func(b *testing.B) {
			ring := stages.Bodies(b, o.BodiesOptions)
			var s stages.Schema
			var bodies []*bench.Body
			for range max(o.Bodies, 16) {
				body := ring.Next()
				bodies = append(bodies, body)
				s.Batch(b, body)
			}
			p, batch := new(lineproto.Parser), new(point.Batch)
			m := stages.Start(b, stages.WorkOf(bodies[0]))
			for i := 0; b.Loop(); i++ {
				if err := p.Parse(batch, bodies[i%len(bodies)].Text(), lineproto.Options{Index: s.Index, Series: &s}); err != nil {
					b.Fatal(err)
				}
				batch.Reset()
			}
			m.Stop()
		})
	}
}

// BenchmarkStageParseNew makes batches of bodies whose every line is a new series.
func BenchmarkStageParseNew(b *testing.B) {
	body := stages.Bodies(b, bench.BodiesOptions{Workload: bench.HighCard, Bodies: 2}).Next()
	var s stages.Schema
	s.Parse(b, body) // without Define: they stay new
	p, batch := new(lineproto.Parser), new(point.Batch)
	m := stages.Start(b, stages.WorkOf(body))
	for b.Loop() {
		if err := p.Parse(batch, body.Text(), lineproto.Options{Index: s.Index, Series: &s}); err != nil {
			b.Fatal(err)
		}
		batch.Reset()
	}
	m.Stop()
}
