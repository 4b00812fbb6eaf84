package datadir

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"headgate/engine/point"
)

// Place is the part of a data directory that a problem is in.
type Place string

// The places.
const (
	InCatalog Place = "catalog"
	InLog     Place = "log"
	InData    Place = "data"
)

// Problem is something that is not as it should be. What does not apply is zero.
type Problem struct {
	Place Place `json:"place"`
	// Bucket and Name are the bucket that is affected.
	Bucket point.BucketID `json:"bucket,omitzero"`
	Name   string         `json:"name,omitempty"`
	// Part and Block are the block of the data store. Block is nil if it is all of the
	// part.
	Part  uint64  `json:"part,omitempty"`
	Block *uint32 `json:"block,omitempty"`
	// RecordFirst and RecordLast are records of the bucket's log, both inclusive.
	RecordFirst uint64 `json:"record_first,omitempty"`
	RecordLast  uint64 `json:"record_last,omitempty"`
	// What is wrong.
	What string `json:"what"`
	// Lost is what goes when the problem is cut out, in a sentence.
	Lost string `json:"lost"`
	// Measurement and Series, canonical keys, are what loses points. If Possible is
	// set, these are all that may: what they have in common is damaged, and which of
	// them had points in it cannot be told.
	Measurement string   `json:"measurement,omitempty"`
	Series      []string `json:"series,omitempty"`
	Possible    bool     `json:"possible,omitempty"`
	// Rows lose Values at times from TimeMin to TimeMax, nanoseconds, both inclusive.
	Rows    int64 `json:"rows,omitempty"`
	Values  int64 `json:"values,omitempty"`
	TimeMin int64 `json:"time_min,omitempty"`
	TimeMax int64 `json:"time_max,omitempty"`
}

// seriesShown is how many series a problem's text has.
const seriesShown = 20

// String describes the problem in some lines, without an end of line.
func (p Problem) String() string { return p.text(seriesShown) }

func (p *Problem) text(series int) string {
	var s strings.Builder
	s.WriteString(string(p.Place))
	if p.Bucket != 0 {
		fmt.Fprintf(&s, ": bucket %s (%s)", quoted(p.Name), p.Bucket)
	}
	if p.Part != 0 {
		fmt.Fprintf(&s, ", part %d", p.Part)
	}
	if p.Block != nil {
		fmt.Fprintf(&s, ", block %d", *p.Block)
	}
	switch {
	case p.RecordFirst == 0:
	case p.RecordFirst == p.RecordLast:
		fmt.Fprintf(&s, ", record %d", p.RecordFirst)
	default:
		fmt.Fprintf(&s, ", records %d to %d", p.RecordFirst, p.RecordLast)
	}
	fmt.Fprintf(&s, ": %s\n    lost if it is cut out: %s", p.What, p.Lost)
	if p.TimeMin != 0 || p.TimeMax != 0 {
		fmt.Fprintf(&s, "\n    times: %s to %s", timeText(p.TimeMin), timeText(p.TimeMax))
	}
	if len(p.Series) == 0 {
		return s.String()
	}
	word := "series"
	if p.Possible {
		word = "series, at most"
	}
	fmt.Fprintf(&s, "\n    %s:", word)
	for i, key := range p.Series {
		if i == series {
			fmt.Fprintf(&s, "\n        and %d more, to %s", len(p.Series)-i, p.Series[len(p.Series)-1])
			break
		}
		fmt.Fprintf(&s, "\n        %s", key)
	}
	return s.String()
}

func quoted(name string) string {
	if name == "" {
		return "without a name"
	}
	return fmt.Sprintf("%q", name)
}

// count is a number of things, with their name in the singular or the plural.
func count[N int | int64](n N, noun string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(int(n), noun, ""))
}

func timeText(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// Report is what a check has found.
type Report struct {
	Dir string `json:"dir"`
	// Problems are in the order catalog, log, data store, then by bucket.
	Problems []Problem `json:"problems"`
	// Notes are worth knowing and harm nobody.
	Notes []string `json:"notes,omitempty"`
	// What was read.
	Buckets  int   `json:"buckets"`
	Records  int64 `json:"log_records"`
	LogBytes int64 `json:"log_bytes"`
	// LogRows and LogValues are in the log and not in the data store yet, Rows and Values
	// in the data store: all that were written, also if others overwrite or delete them.
	LogRows    int64 `json:"log_rows"`
	LogValues  int64 `json:"log_values"`
	Parts      int64 `json:"parts"`
	Blocks     int64 `json:"blocks"`
	BlockBytes int64 `json:"block_bytes"`
	Rows       int64 `json:"rows"`
	Values     int64 `json:"values"`
	// Kept is the folder with what a repair has cut out, empty if it has not.
	Kept string `json:"kept,omitempty"`
}

// Sound reports whether there are no problems.
func (r *Report) Sound() bool { return len(r.Problems) == 0 }

// WriteText writes the report for people. all writes every series of every problem.
func (r *Report) WriteText(w io.Writer, all bool) {
	n := seriesShown
	if all {
		n = math.MaxInt
	}
	for i := range r.Problems {
		fmt.Fprintln(w, r.Problems[i].text(n))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	only := ""
	if r.LogRows > 0 {
		only = fmt.Sprintf(", with %s, %s that are not in the data store yet", count(r.LogRows, "point"), count(r.LogValues, "value"))
	}
	fmt.Fprintf(w, "%s: %s; log: %s, %s%s; data store: %s, %s, %s, %s, %s\n", r.Dir, count(r.Buckets, "bucket"),
		count(r.Records, "record"), count(r.LogBytes, "byte"), only, count(r.Parts, "part"), count(r.Blocks, "block"),
		count(r.BlockBytes, "byte"), count(r.Rows, "point"), count(r.Values, "value"))
	if r.Sound() {
		fmt.Fprintln(w, "no problems")
		return
	}
	fmt.Fprintln(w, count(len(r.Problems), "problem"))
}
