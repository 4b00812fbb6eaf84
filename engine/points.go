package engine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/engine/point"
)

// Tag is one key and value of a point's tag set.
type Tag = point.Tag

// Points collects typed points for [Engine.WritePoints]. The zero value is
// empty and ready. It is kept as line protocol, so that typed points and text go
// the same way and obey the same rules. Not for concurrent use.
//
//	var ps engine.Points
//	ps.Add("room", engine.Tag{Key: "name", Value: "kitchen"}).Float("celsius", 21.5).Integer("people", 2).At(t)
type Points struct {
	lines []byte
	n     int
	err   error
	last  PointBuilder
}

// PointBuilder adds fields and a time to the point that [Points.Add] began. It
// is good until the next Add.
type PointBuilder struct {
	ps     *Points
	fields int
	timed  bool
}

// Add begins a point. Tags may come in any order; one with an empty value is
// left out. A point needs at least one field; without At it gets the time at
// which it is written. What cannot be written at all (an empty name, a line
// break in one, NaN) is reported by WritePoints.
func (p *Points) Add(measurement string, tags ...Tag) *PointBuilder {
	p.finish()
	p.n++
	switch {
	case measurement == "":
		p.fail("measurement is empty")
	case strings.ContainsAny(measurement[:1], "#\t\x00"):
		p.fail("measurement %q begins with %q", measurement, measurement[:1])
	}
	p.lines = p.appendName(p.lines, "measurement", measurement, ", ")
	tags = slices.Clone(tags)
	slices.SortStableFunc(tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	for _, t := range tags {
		if t.Value == "" {
			continue
		}
		p.lines = append(p.lines, ',')
		p.lines = p.appendName(p.lines, "tag key", t.Key, ",= ")
		p.lines = append(p.lines, '=')
		p.lines = p.appendName(p.lines, "tag value", t.Value, ",= ")
	}
	p.last = PointBuilder{ps: p}
	return &p.last
}

// Len is the number of points.
func (p *Points) Len() int { return p.n }

// Reset empties p and keeps its memory.
func (p *Points) Reset() { *p = Points{lines: p.lines[:0]} }

// finish ends the line of the point at hand.
func (p *Points) finish() {
	if p.n == 0 || p.last.ps == nil {
		return
	}
	if p.last.fields == 0 {
		p.fail("it has no fields")
	}
	p.lines = append(p.lines, '\n')
	p.last = PointBuilder{}
}

func (p *Points) fail(format string, args ...any) {
	if p.err == nil {
		p.err = Errorf(Invalid, "point %d cannot be written: %s", p.n, fmt.Sprintf(format, args...))
	}
}

// appendName escapes a measurement, key or tag value. Line protocol has no way
// to write a line break in one, nor a backslash at its end.
func (p *Points) appendName(dst []byte, what, s, special string) []byte {
	switch {
	case s == "":
		p.fail("%s is empty", what)
	case strings.ContainsRune(s, '\n'):
		p.fail("%s %q has a line break", what, s)
	case strings.HasSuffix(s, `\`):
		p.fail("%s %q ends in a backslash", what, s)
	}
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

func (b *PointBuilder) field(key string) {
	sep := byte(' ')
	if b.fields > 0 {
		sep = ','
	}
	b.fields++
	b.ps.lines = append(b.ps.lines, sep)
	b.ps.lines = b.ps.appendName(b.ps.lines, "field key", key, ",= ")
	b.ps.lines = append(b.ps.lines, '=')
}

// Float adds a float field. NaN and infinities cannot be stored.
func (b *PointBuilder) Float(key string, v float64) *PointBuilder {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		b.ps.fail("field %q is %v", key, v)
	}
	b.field(key)
	b.ps.lines = strconv.AppendFloat(b.ps.lines, v, 'g', -1, 64)
	return b
}

// Integer adds an integer field.
func (b *PointBuilder) Integer(key string, v int64) *PointBuilder {
	b.field(key)
	b.ps.lines = append(strconv.AppendInt(b.ps.lines, v, 10), 'i')
	return b
}

// Unsigned adds an unsigned field.
func (b *PointBuilder) Unsigned(key string, v uint64) *PointBuilder {
	b.field(key)
	b.ps.lines = append(strconv.AppendUint(b.ps.lines, v, 10), 'u')
	return b
}

// Boolean adds a boolean field.
func (b *PointBuilder) Boolean(key string, v bool) *PointBuilder {
	b.field(key)
	b.ps.lines = strconv.AppendBool(b.ps.lines, v)
	return b
}

// String adds a string field of at most 1 MiB.
func (b *PointBuilder) String(key, v string) *PointBuilder {
	b.field(key)
	b.ps.lines = append(b.ps.lines, '"')
	for i := range len(v) {
		if v[i] == '"' || v[i] == '\\' {
			b.ps.lines = append(b.ps.lines, '\\')
		}
		b.ps.lines = append(b.ps.lines, v[i])
	}
	b.ps.lines = append(b.ps.lines, '"')
	return b
}

// At sets the point's time, which must lie between 1677-09-21 and 2262-04-11.
// It ends the point.
func (b *PointBuilder) At(t time.Time) {
	if b.fields == 0 {
		b.ps.fail("it has no fields before At")
		return
	}
	if b.timed {
		b.ps.fail("it has two times")
		return
	}
	b.timed = true
	if t.Before(time.Unix(0, point.TimeMin)) || t.After(time.Unix(0, point.TimeMax)) {
		b.ps.fail("time %s is out of range", t.UTC().Format(time.RFC3339Nano))
		return
	}
	b.ps.lines = append(b.ps.lines, ' ')
	b.ps.lines = strconv.AppendInt(b.ps.lines, t.UnixNano(), 10)
}

// WritePoints writes typed points as one batch, with the outcomes of
// [Engine.Write]; lines in errors count points. On success and failure alike p
// stays as it is, so that it can be written again; Reset empties it.
func (e *Engine) WritePoints(ctx context.Context, id BucketID, p *Points) error {
	p.finish()
	if p.err != nil {
		return p.err
	}
	return e.Write(ctx, id, p.lines, Nanosecond)
}
