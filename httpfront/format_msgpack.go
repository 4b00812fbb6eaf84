package httpfront

import (
	"fmt"
	"time"

	"github.com/tinylib/msgp/msgp"

	"headgate/engine"
)

// msgpackFormat writes results as InfluxDB's MessagePack: the JSON document's
// members, with times as extension 5 (seconds and nanoseconds) unless an epoch is
// asked for. The format counts before it lists, so an answer that is not chunked
// is written when it is complete; Options.QueryHeldBytesMax bounds it.
type msgpackFormat struct {
	epoch   epoch
	chunked bool
	results []engine.Result
	// bytes is about what results occupy.
	bytes int64
}

// valueBytes is what a value occupies beside its text: an interface and a word.
const valueBytes = 24

func (f *msgpackFormat) result(dst []byte, r *engine.Result) []byte {
	if f.chunked {
		f.results = append(f.results[:0], *r)
		return f.document(dst)
	}
	for _, row := range r.Series {
		f.bytes += valueBytes * int64(len(row.Values)*(1+len(row.Columns)))
		for _, values := range row.Values {
			for _, v := range values {
				if s, ok := v.(string); ok {
					f.bytes += int64(len(s))
				}
			}
		}
	}
	n := len(f.results)
	if n == 0 || f.results[n-1].StatementID != r.StatementID {
		f.results = append(f.results, *r)
		return dst
	}
	last := &f.results[n-1]
	for _, row := range r.Series {
		if k := len(last.Series); k > 0 && continues(last.Series[k-1], row) {
			joined := *last.Series[k-1]
			joined.Values = append(joined.Values, row.Values...)
			joined.Partial = row.Partial
			last.Series[k-1] = &joined
			continue
		}
		last.Series = append(last.Series, row)
	}
	last.Messages = append(last.Messages, r.Messages...)
	last.Partial, last.Err = r.Partial, r.Err
	return dst
}

func (f *msgpackFormat) end(dst []byte) []byte {
	if f.chunked && len(f.results) > 0 {
		return dst
	}
	return f.document(dst)
}

func (f *msgpackFormat) held() int64 { return f.bytes }

func (f *msgpackFormat) document(dst []byte) []byte {
	dst = msgp.AppendMapHeader(dst, 1)
	dst = msgp.AppendString(dst, "results")
	dst = msgp.AppendArrayHeader(dst, uint32(len(f.results)))
	for i := range f.results {
		dst = f.one(dst, &f.results[i])
	}
	return dst
}

func (f *msgpackFormat) one(dst []byte, r *engine.Result) []byte {
	if r.Err != nil {
		dst = msgp.AppendMapHeader(dst, 1)
		return appendMember(dst, "error", r.Err.Error())
	}
	dst = msgp.AppendMapHeader(dst, count(true, len(r.Messages) > 0, true, r.Partial))
	dst = msgp.AppendString(dst, "statement_id")
	dst = msgp.AppendInt(dst, r.StatementID)
	if len(r.Messages) > 0 {
		dst = msgp.AppendString(dst, "messages")
		dst = msgp.AppendArrayHeader(dst, uint32(len(r.Messages)))
		for _, m := range r.Messages {
			dst = msgp.AppendMapHeader(dst, 2)
			dst = appendMember(dst, "level", m.Level)
			dst = appendMember(dst, "text", m.Text)
		}
	}
	dst = msgp.AppendString(dst, "series")
	dst = msgp.AppendArrayHeader(dst, uint32(len(r.Series)))
	for _, row := range r.Series {
		dst = f.row(dst, row)
	}
	return appendPartial(dst, r.Partial)
}

func (f *msgpackFormat) row(dst []byte, row *engine.Row) []byte {
	dst = msgp.AppendMapHeader(dst, count(row.Name != "", len(row.Tags) > 0, true, true, row.Partial))
	if row.Name != "" {
		dst = appendMember(dst, "name", row.Name)
	}
	if len(row.Tags) > 0 {
		dst = msgp.AppendString(dst, "tags")
		dst = msgp.AppendMapHeader(dst, uint32(len(row.Tags)))
		for _, t := range sortedTags(row) {
			dst = appendMember(dst, t.Key, t.Value)
		}
	}
	dst = msgp.AppendString(dst, "columns")
	dst = msgp.AppendArrayHeader(dst, uint32(len(row.Columns)))
	for _, c := range row.Columns {
		dst = msgp.AppendString(dst, c)
	}
	dst = msgp.AppendString(dst, "values")
	dst = msgp.AppendArrayHeader(dst, uint32(len(row.Values)))
	for _, values := range row.Values {
		dst = msgp.AppendArrayHeader(dst, uint32(len(values)))
		for _, v := range values {
			dst = f.value(dst, v)
		}
	}
	return appendPartial(dst, row.Partial)
}

func (f *msgpackFormat) value(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return msgp.AppendNil(dst)
	case float64:
		return msgp.AppendFloat64(dst, v)
	case int64:
		return msgp.AppendInt64(dst, v)
	case uint64:
		return msgp.AppendUint64(dst, v)
	case int:
		return msgp.AppendInt(dst, v)
	case string:
		return msgp.AppendString(dst, v)
	case bool:
		return msgp.AppendBool(dst, v)
	case time.Time:
		if f.epoch != 0 {
			return msgp.AppendInt64(dst, f.epoch.of(v))
		}
		return msgp.AppendTime(dst, v)
	}
	return msgp.AppendString(dst, fmt.Sprint(v))
}

func appendMember(dst []byte, key, value string) []byte {
	return msgp.AppendString(msgp.AppendString(dst, key), value)
}

func appendPartial(dst []byte, partial bool) []byte {
	if !partial {
		return dst
	}
	return msgp.AppendBool(msgp.AppendString(dst, "partial"), true)
}

// count is how many of its arguments are true.
func count(members ...bool) (n uint32) {
	for _, m := range members {
		if m {
			n++
		}
	}
	return n
}
