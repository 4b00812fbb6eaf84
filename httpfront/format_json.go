package httpfront

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"headgate/engine"
)

// jsonFormat writes results as InfluxDB's JSON, member for member. Chunked, each
// result is a document of its own on one line. Otherwise there is one document,
// and the parts of a result and of a series are put together again: their
// objects are left open until something else comes.
type jsonFormat struct {
	epoch   epoch
	chunked bool

	// open says that a result's object is open, and last is the result; row is the
	// series whose object is open in it, or nil.
	open     bool
	last     engine.Result
	messages []engine.Message
	row      *engine.Row
	// wrote says that row has values; any that there was a result at all.
	wrote, any bool
}

func (f *jsonFormat) result(dst []byte, r *engine.Result) []byte {
	if f.chunked {
		dst = append(dst, `{"results":[`...)
		dst = f.begin(dst, r)
		dst = f.finish(dst)
		f.any = true
		return append(dst, "]}\n"...)
	}
	if f.open && f.last.StatementID == r.StatementID {
		return f.add(dst, r)
	}
	if f.open {
		dst = append(f.finish(dst), ',')
	} else {
		dst = append(dst, `{"results":[`...)
	}
	f.any = true
	return f.begin(dst, r)
}

func (f *jsonFormat) end(dst []byte) []byte {
	switch {
	case f.open:
		return append(f.finish(dst), "]}\n"...)
	case !f.any:
		return append(dst, "{}\n"...)
	}
	return dst
}

func (f *jsonFormat) held() int64 { return 0 }

func (f *jsonFormat) begin(dst []byte, r *engine.Result) []byte {
	dst = append(dst, `{"statement_id":`...)
	dst = strconv.AppendInt(dst, int64(r.StatementID), 10)
	f.open, f.row, f.last, f.messages = true, nil, engine.Result{}, nil
	return f.add(dst, r)
}

// add appends the series of r to the open result.
func (f *jsonFormat) add(dst []byte, r *engine.Result) []byte {
	for _, row := range r.Series {
		if f.row != nil && continues(f.row, row) {
			dst = f.values(dst, row)
			f.row = row
			continue
		}
		if f.row == nil {
			dst = append(dst, `,"series":[`...)
		} else {
			dst = append(f.closeRow(dst), ',')
		}
		dst = f.openRow(dst, row)
	}
	f.messages = append(f.messages, r.Messages...)
	f.last = engine.Result{StatementID: r.StatementID, Partial: r.Partial, Err: r.Err}
	return dst
}

func (f *jsonFormat) finish(dst []byte) []byte {
	if f.row != nil {
		dst = append(f.closeRow(dst), ']')
	}
	if len(f.messages) > 0 {
		dst = append(dst, `,"messages":[`...)
		for i, m := range f.messages {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"level":`...)
			dst = appendJSONString(dst, m.Level)
			dst = append(dst, `,"text":`...)
			dst = appendJSONString(dst, m.Text)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	if f.last.Partial {
		dst = append(dst, `,"partial":true`...)
	}
	if f.last.Err != nil {
		dst = append(dst, `,"error":`...)
		dst = appendJSONString(dst, f.last.Err.Error())
	}
	f.open, f.row = false, nil
	return append(dst, '}')
}

// openRow appends a series up to its values, and those that it has. The object
// and the array of values stay open.
func (f *jsonFormat) openRow(dst []byte, row *engine.Row) []byte {
	dst = append(dst, '{')
	if row.Name != "" {
		dst = append(dst, `"name":`...)
		dst = appendJSONString(dst, row.Name)
		dst = append(dst, ',')
	}
	if len(row.Tags) > 0 {
		dst = append(dst, `"tags":{`...)
		for i, t := range sortedTags(row) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, t.Key)
			dst = append(dst, ':')
			dst = appendJSONString(dst, t.Value)
		}
		dst = append(dst, "},"...)
	}
	dst = append(dst, `"columns":[`...)
	for i, c := range row.Columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, c)
	}
	dst = append(dst, ']')
	f.row = row
	f.wrote = false
	return f.values(dst, row)
}

// values appends rows to the open series; the member comes with the first of them.
func (f *jsonFormat) values(dst []byte, row *engine.Row) []byte {
	for _, v := range row.Values {
		if f.wrote {
			dst = append(dst, ",["...)
		} else {
			dst = append(dst, `,"values":[[`...)
			f.wrote = true
		}
		for i, x := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = f.value(dst, x)
		}
		dst = append(dst, ']')
	}
	return dst
}

func (f *jsonFormat) closeRow(dst []byte) []byte {
	if f.wrote {
		dst = append(dst, ']')
	}
	if f.row.Partial {
		dst = append(dst, `,"partial":true`...)
	}
	return append(dst, '}')
}

func (f *jsonFormat) value(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(dst, "null"...)
		}
		return appendJSONFloat(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case string:
		return appendJSONString(dst, v)
	case bool:
		return strconv.AppendBool(dst, v)
	case time.Time:
		if f.epoch != 0 {
			return strconv.AppendInt(dst, f.epoch.of(v), 10)
		}
		dst = append(dst, '"')
		dst = v.AppendFormat(dst, time.RFC3339Nano)
		return append(dst, '"')
	}
	b, err := json.Marshal(v)
	if err != nil {
		return append(dst, "null"...)
	}
	return append(dst, b...)
}
