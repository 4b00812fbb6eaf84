package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"headgate/engine/datadir"
)

const inspectAbout = `Tells what the data directory of a stopped server has: of each bucket the
measurements and fields, windows of time, sizes. Changes nothing. Points that were
written and are in the log still, which a server reads when it starts, are told
apart from those in the data store.`

// runInspect runs `headgate inspect`.
func runInspect(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("inspect", flag.ContinueOnError)
	dir := dataDirFlag(fs)
	var o datadir.InspectOptions
	fs.StringVar(&o.Bucket, "bucket", "", "only the bucket with this `name` or id")
	fs.BoolVar(&o.Parts, "parts", false, "list the parts")
	fs.BoolVar(&o.Blocks, "blocks", false, "list the blocks, and how each column is stored")
	fs.BoolVar(&o.Series, "series", false, "list the series")
	asJSON := fs.Bool("json", false, "write JSON")
	c := toolCommand{name: "inspect", about: inspectAbout}
	if _, status, done := c.parse(fs, args, stdout, stderr); done {
		return status
	}
	o.Dir = *dir
	damaged := false
	o.Damaged = func(what string) {
		damaged = true
		fmt.Fprintf(stderr, "headgate inspect: %s\n", what)
	}
	buckets, err := datadir.Inspect(ctx, o)
	if err != nil {
		fmt.Fprintf(stderr, "headgate inspect: %v\n", err)
		return 2
	}
	if damaged {
		fmt.Fprintln(stderr, "This is what can be read nevertheless; \"headgate check\" says what is lost.")
	}
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(buckets); err != nil {
			fmt.Fprintf(stderr, "headgate inspect: %v\n", err)
			return 2
		}
		return 0
	}
	for i := range buckets {
		if i > 0 {
			fmt.Fprintln(stdout)
		}
		printBucket(stdout, &buckets[i])
	}
	return 0
}

func sizesText(s *datadir.Sizes) string {
	return fmt.Sprintf("%d\t%d\t%d\t%s\t%.3f", s.Blocks, s.Points, s.Values, humanize.IBytes(uint64(s.Bytes)), s.BytesPerValue)
}

const sizesHead = "blocks\tpoints\tvalues\tsize\tbytes/value"

func day(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func printBucket(w io.Writer, b *datadir.BucketInfo) {
	retention := "for ever"
	if b.RetentionPeriod > 0 {
		retention = b.RetentionPeriod.String()
	}
	fmt.Fprintf(w, "bucket %q (%s) of %q, kept %s: %d series, %s\n", b.Name, b.ID, b.Organization, retention, b.Series, count(len(b.Measurements), "measurement"))
	each := ""
	if b.Values > 0 {
		each = fmt.Sprintf(", %.3f bytes/value", b.BytesPerValue)
	}
	fmt.Fprintf(w, "  in the data store: %s, %s, %s%s, up to record %d\n", count(b.Points, "point"), count(b.Values, "value"), humanize.IBytes(uint64(b.Bytes)), each, b.Flushed)
	fmt.Fprintf(w, "  in the log and not in the data store yet: %s, %s in %s, %s\n", count(b.LogPoints, "point"), count(b.LogValues, "value"), count(b.LogRecords, "record"), humanize.IBytes(uint64(b.LogBytes)))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer t.Flush()
	if len(b.Measurements) > 0 {
		fmt.Fprintf(t, "\n  measurement\tseries\t%s\tlog points\tfields\n", sizesHead)
	}
	for i := range b.Measurements {
		m := &b.Measurements[i]
		var fields []string
		for _, f := range m.Fields {
			fields = append(fields, f.Name+" "+f.Type)
		}
		fmt.Fprintf(t, "  %s\t%d\t%s\t%d\t%s\n", m.Name, m.Series, sizesText(&m.Sizes), m.LogPoints, strings.Join(fields, ", "))
	}
	if len(b.Windows) > 0 {
		fmt.Fprintf(t, "\n  window\tto\tparts\t%s\n", sizesHead)
	}
	for i := range b.Windows {
		x := &b.Windows[i]
		fmt.Fprintf(t, "  %s\t%s\t%d\t%s\n", day(x.Min), day(x.Max), x.Parts, sizesText(&x.Sizes))
	}
	if len(b.Parts) > 0 {
		fmt.Fprintf(t, "\n  part\tlevel\tfrom\tto\trecords\tseries\t%s\n", sizesHead)
	}
	for i := range b.Parts {
		p := &b.Parts[i]
		fmt.Fprintf(t, "  %d\t%d\t%s\t%s\t%d-%d\t%d\t%s\n", p.ID, p.Level, day(p.TimeMin), day(p.TimeMax), p.SeqMin, p.SeqMax, p.Series, sizesText(&p.Sizes))
	}
	t.Flush()
	for i := range b.Blocks {
		x := &b.Blocks[i]
		fmt.Fprintf(w, "\n  part %d, block %d: %s, %s to %s, %s to %s, %s, %s\n",
			x.Part, x.Number, x.Measurement, x.SeriesFirst, x.SeriesLast, day(x.TimeMin), day(x.TimeMax), count(x.Points, "point"), count(x.Bytes, "byte"))
		if x.Err != "" {
			fmt.Fprintf(w, "    %s\n", x.Err)
		}
		for _, s := range x.Sections {
			fmt.Fprintf(t, "    %s\t%s\t%s\t%s\t%s\n", s.Name, s.Type, count(s.Values, "value"), count(s.Bytes, "byte"), s.Encoding)
		}
		t.Flush()
	}
	if len(b.SeriesKeys) > 0 {
		fmt.Fprintln(w)
	}
	for _, key := range b.SeriesKeys {
		fmt.Fprintf(w, "  %s\n", key)
	}
}
