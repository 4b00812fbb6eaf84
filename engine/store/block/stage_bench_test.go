package block_test

import (
	"fmt"
	"testing"

	"headgate/bench"
	"headgate/bench/stages"
	"headgate/engine/point"
	"headgate/engine/store/block"
)

// stageRows is one block of cpu lines of so many hosts, as a flush sorts them.
func stageRows(b *testing.B, hosts int) (*block.Rows, stages.Work) {
	body := stages.Bodies(b, bench.BodiesOptions{Hosts: hosts, Lines: block.RowsMax, Bodies: 2}).Next()
	t := new(stages.Schema).Batch(b, body).Tables[0]
	r := &block.Rows{}
	for _, c := range t.Columns {
		r.Columns = append(r.Columns, &point.Column{Field: c.Field, Type: c.Type})
	}
	for host := range hosts { // a row of each in turn
		r.Series = append(r.Series, t.Series[host].ID())
		for row := host; row < t.Rows(); row += hosts {
			r.Times = append(r.Times, t.Times[row])
			for i, c := range t.Columns {
				r.Columns[i].Nums = append(r.Columns[i].Nums, c.Nums[row])
			}
		}
		r.Ends = append(r.Ends, uint32(len(r.Times)))
	}
	return r, stages.WorkOf(body)
}

// BenchmarkStageBlock encodes and decodes a block of ten columns: one of a flush, in which
// each of some thousand hosts has a few dozen rows, and one of a compacted day.
func BenchmarkStageBlock(b *testing.B) {
	levels := []struct {
		name string
		block.Level
	}{{"fast", block.Fast}, {"best", block.Best}}
	for _, hosts := range []int{256, 1} {
		rows, work := stageRows(b, hosts)
		for _, level := range levels {
			name := fmt.Sprintf("%s/series=%d", level.name, hosts)
			var e block.Encoder
			data, err := e.Encode(nil, 1, rows, level.Level)
			if err != nil {
				b.Fatal(err)
			}
			b.Run("encode/"+name, func(b *testing.B) {
				var dst []byte
				m := stages.Start(b, work)
				for b.Loop() {
					if dst, err = e.Encode(dst[:0], 1, rows, level.Level); err != nil {
						b.Fatal(err)
					}
				}
				m.Stop()
				b.ReportMetric(float64(len(data))/float64(work.Values), "B/value")
			})
			b.Run("decode/"+name, func(b *testing.B) {
				var blk block.Block
				var times []int64
				var col point.Column
				m := stages.Start(b, work)
				for b.Loop() {
					if err := blk.Reset(data); err != nil {
						b.Fatal(err)
					}
					if times, err = blk.Times(times); err != nil {
						b.Fatal(err)
					}
					for i := range rows.Columns {
						if err := blk.Column(i, &col); err != nil {
							b.Fatal(err)
						}
					}
				}
				m.Stop()
			})
		}
	}
}
