package pebblewal

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/bench"
	"headgate/bench/stages"
	"headgate/engine/record"
)

// BenchmarkStageLog appends the records of bodies to the log of one bucket, a few in
// flight as with as many connections, and truncates it as flushes do. disk=false is what
// the log itself costs.
func BenchmarkStageLog(b *testing.B) {
	for _, bc := range []struct {
		lines, inFlight int
		disk            bool
	}{{5000, 4, false}, {5000, 4, true}, {1, 64, false}, {1, 64, true}} {
		b.Run(fmt.Sprintf("points=%d/inFlight=%d/disk=%v", bc.lines, bc.inFlight, bc.disk), func(b *testing.B) {
			ring := stages.Bodies(b, bench.BodiesOptions{Lines: bc.lines})
			var schema stages.Schema
			var records [][]byte
			var work stages.Work
			for range 16 {
				body := ring.Next()
				work = stages.WorkOf(body)
				records = append(records, record.Encode(nil, schema.Batch(b, body), nil))
			}
			o := Options{Dir: "data/log", FS: vfs.NewMem()}
			if bc.disk {
				o = Options{Dir: b.TempDir() + "/log"}
			}
			l := mustOpen(b, o)
			const truncateBytes = 24 << 20 // as actors.Options.LogBytesMax
			c := &credit{ch: make(chan struct{}, bc.inFlight)}
			m := stages.Start(b, work)
			seq, bytes := uint64(0), 0
			for b.Loop() {
				seq++
				rec := records[seq%uint64(len(records))]
				c.ch <- struct{}{}
				if err := l.Append(1, seq, rec, c); err != nil {
					b.Fatal(err)
				}
				if bytes += len(rec); bytes > truncateBytes {
					bytes = 0
					if err := l.Truncate(1, seq); err != nil {
						b.Fatal(err)
					}
				}
			}
			for range bc.inFlight {
				c.ch <- struct{}{} // all home
			}
			m.Stop()
			if err := c.fail.Load(); err != nil {
				b.Error(*err)
			}
			s := l.Stats()
			b.ReportMetric(float64(s.Records)/float64(s.Groups), "records/group")
			mustClose(b, l)
		})
	}
}
