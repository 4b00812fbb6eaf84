package httpfront

import (
	"maps"
	"slices"
	"strings"
	"time"

	"headgate/engine"
	"headgate/engine/point"
)

// format writes the results of one query. It is used by one goroutine.
type format interface {
	// result appends r, which may carry on the result before it.
	result(dst []byte, r *engine.Result) []byte
	// end appends what follows the last result.
	end(dst []byte) []byte
	// held is how many bytes of results the format keeps back, about.
	held() int64
}

// newFormat chooses the format by the exact value of the Accept header.
func newFormat(q *queryRequest) (f format, contentType string) {
	switch q.accept {
	case "text/csv", "application/csv":
		return &csvFormat{epoch: q.epoch, statement: -1}, q.accept
	case "application/x-msgpack":
		return &msgpackFormat{epoch: q.epoch, chunked: q.chunked}, q.accept
	}
	plain := jsonFormat{epoch: q.epoch, chunked: q.chunked}
	if q.pretty {
		return &prettyFormat{json: plain}, "application/json"
	}
	return &plain, "application/json"
}

// epoch is the unit in which times are written, or 0 for RFC 3339.
type epoch time.Duration

// parseEpoch reads the epoch parameter; what it does not know is nanoseconds.
func parseEpoch(s string) epoch {
	switch s {
	case "":
		return 0
	case "u":
		return epoch(time.Microsecond)
	case "ms":
		return epoch(time.Millisecond)
	case "s":
		return epoch(time.Second)
	case "m":
		return epoch(time.Minute)
	case "h":
		return epoch(time.Hour)
	}
	return epoch(time.Nanosecond)
}

// of is t in units of e, cut off. e is not 0.
func (e epoch) of(t time.Time) int64 { return t.UnixNano() / int64(e) }

// continues reports whether next carries on the series of prev, which was said to
// be incomplete.
func continues(prev, next *engine.Row) bool {
	return prev != nil && prev.Partial && prev.Name == next.Name && slices.Equal(prev.Columns, next.Columns) && sameTags(prev, next)
}

// sortedTags is row's tags by key.
func sortedTags(row *engine.Row) []point.Tag {
	tags := make([]point.Tag, 0, len(row.Tags))
	for k, v := range row.Tags {
		tags = append(tags, point.Tag{Key: k, Value: v})
	}
	slices.SortFunc(tags, func(a, b point.Tag) int { return strings.Compare(a.Key, b.Key) })
	return tags
}

func sameTags(a, b *engine.Row) bool { return maps.Equal(a.Tags, b.Tags) }
