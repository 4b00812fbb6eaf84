package lineproto

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"headgate/engine/point"
)

// dump writes a batch as text: one line for each point, in line order, with its
// fields in the order of their names. seriesKey answers for known series.
func dump(b *point.Batch, seriesKey func(point.SeriesID) string) string {
	type row struct {
		line uint32
		text string
	}
	var rows []row
	for ti, t := range b.Tables {
		fields := make([][]string, t.Rows())
		for _, c := range t.Columns {
			if c.Len() == 0 {
				panic("empty column " + string(c.Name))
			}
			for i := range c.Len() {
				r := c.Row(i)
				fields[r] = append(fields[r], fmt.Sprintf("%q:%s", c.Name, valueText(c, i)))
			}
		}
		for r, ref := range t.Series {
			var key string
			if ref.IsNew() {
				n := b.NewSeries[ref.NewIndex()]
				if n.Table != ti {
					panic("series in the wrong table")
				}
				key = string(n.Key)
			} else {
				key = seriesKey(ref.ID())
			}
			if m, _ := point.ParseSeriesKey([]byte(key)); m != string(t.Name) {
				panic(fmt.Sprintf("series %q in table %q", key, t.Name))
			}
			sort.Strings(fields[r])
			rows = append(rows, row{t.Lines[r], fmt.Sprintf("%d %q %s %d", t.Lines[r], key, strings.Join(fields[r], ","), t.Times[r])})
		}
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].line < rows[j].line })
	var sb strings.Builder
	for _, r := range rows {
		sb.WriteString(r.text)
		sb.WriteByte('\n')
	}
	fmt.Fprintf(&sb, "long=%v time=%v", b.LongString, b.TimeField)
	return sb.String()
}

func valueText(c *point.Column, i int) string {
	switch c.Type {
	case point.Float:
		return strconv.FormatFloat(math.Float64frombits(c.Nums[i]), 'g', -1, 64)
	case point.Integer:
		return strconv.FormatInt(int64(c.Nums[i]), 10) + "i"
	case point.Unsigned:
		return strconv.FormatUint(c.Nums[i], 10) + "u"
	case point.Boolean:
		return strconv.FormatBool(c.Nums[i] == 1)
	}
	return strconv.Quote(string(c.StringAt(i)))
}

// testStore is a bucket that knows every series once it is defined.
type testStore struct {
	benchStore
	keys []string
}

func (s *testStore) define(b *point.Batch) {
	s.benchStore.define(b)
	for i := range b.NewSeries {
		s.keys = append(s.keys, string(b.NewSeries[i].Key))
	}
}

func (s *testStore) key(id point.SeriesID) string { return s.keys[id-1] }
