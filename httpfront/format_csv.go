package httpfront

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/engine"
	"headgate/engine/point"
)

// csvFormat writes results as InfluxDB's CSV: a header for each statement and
// each change of columns, a blank line between such blocks, and nothing for a
// statement without series, failed ones included.
type csvFormat struct {
	epoch     epoch
	statement int
	columns   []string
	line      []byte
}

func (f *csvFormat) result(dst []byte, r *engine.Result) []byte {
	for _, row := range r.Series {
		if f.statement != r.StatementID || !slices.Equal(f.columns, row.Columns) {
			if f.statement >= 0 {
				dst = append(dst, '\n')
			}
			f.statement, f.columns = r.StatementID, row.Columns
			dst = append(dst, "name,tags"...)
			for _, c := range row.Columns {
				dst = append(dst, ',')
				dst = appendCSVField(dst, c)
			}
			dst = append(dst, '\n')
		}
		f.line = appendCSVField(f.line[:0], row.Name)
		f.line = append(f.line, ',')
		f.line = appendCSVField(f.line, tagText(row))
		for _, values := range row.Values {
			dst = append(dst, f.line...)
			for _, v := range values {
				dst = append(dst, ',')
				dst = f.value(dst, v)
			}
			dst = append(dst, '\n')
		}
	}
	return dst
}

func (f *csvFormat) end(dst []byte) []byte { return dst }

func (f *csvFormat) held() int64 { return 0 }

func (f *csvFormat) value(dst []byte, v any) []byte {
	switch v := v.(type) {
	case float64:
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case string:
		return appendCSVField(dst, v)
	case bool:
		return strconv.AppendBool(dst, v)
	case time.Time:
		return strconv.AppendInt(dst, max(f.epoch, 1).of(v), 10)
	}
	return dst // null is nothing
}

// appendCSVField quotes s where RFC 4180 asks for it, and where a reader would
// trim it.
func appendCSVField(dst []byte, s string) []byte {
	if s == "" || !strings.ContainsAny(s, "\",\r\n") && s[0] != ' ' && s[0] != '\t' && s != `\.` {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			break
		}
		dst = append(dst, s[:i]...)
		dst = append(dst, `""`...)
		s = s[i+1:]
	}
	dst = append(dst, s...)
	return append(dst, '"')
}

// tagText is a series' tags as in line protocol.
func tagText(row *engine.Row) string {
	if len(row.Tags) == 0 {
		return ""
	}
	tags := sortedTags(row)
	key := point.AppendSeriesKey(nil, "", tags)
	return string(key[1:]) // without the comma after the measurement
}
