package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/influxdata/influxql"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/tinylib/msgp/msgp"

	"headgate/cmd/headgate/client"
)

type exportFlags struct {
	bucket, bucketID, start, end, output, compression string
	measurements                                      []string
}

func exportCommand() *command {
	return &command{name: "export", args: "[BUCKET]", about: `Writes a bucket of a running server as line protocol, with timestamps in ns, such that "headgate write" of
it makes the same points. They come by measurement and series, those of a series in order of time.`, flags: func(c *call) {
		f := new(exportFlags)
		c.values = f
		c.text(&f.bucket, "bucket", "b", "", "`name` of the bucket, instead of the argument")
		c.text(&f.bucketID, "bucket-id", "", "", "`id` of the bucket, instead of its name")
		c.list(&f.measurements, "measurement", "m", "`measurement` to write instead of all; may be repeated")
		c.text(&f.start, "start", "", "", "first `time`: 2026-01-02T15:04:05Z, 2026-01-02, or how long ago, such as 30d")
		c.text(&f.end, "end", "", "", "`time` before which to end, in the same forms")
		c.text(&f.output, "output", "f", "-", "`file` to make, which must not be there; - is standard output")
		c.text(&f.compression, "compression", "", "auto", "`how` to compress it: none, gzip or zstd; auto tells it by the end of the file's name, .gz or .zst")
	}, run: runExport}
}

func runExport(ctx context.Context, c *call) (err error) {
	f := c.values.(*exportFlags)
	if len(c.args) == 1 && f.bucket == "" {
		f.bucket, c.args = c.args[0], nil
	}
	if len(c.args) > 0 {
		return usagef("unexpected argument %q; export writes one bucket", c.args[0])
	}
	now := time.Now()
	where := ""
	var bounds []time.Time
	for _, bound := range []struct{ text, op string }{{f.start, ">="}, {f.end, "<"}} {
		if bound.text == "" {
			continue
		}
		at, err := timeOf(bound.text, now)
		if err != nil {
			return err
		}
		if bounds = append(bounds, at); len(bounds) == 2 && !bounds[0].Before(at) {
			return usagef("--end is not after --start")
		}
		if where != "" {
			where += " AND "
		}
		where += "time " + bound.op + " '" + at.UTC().Format(time.RFC3339Nano) + "'"
	}
	if where != "" {
		where = " WHERE " + where
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	bucket, err := c.bucketName(ctx, cl, f.bucket, f.bucketID)
	if err != nil {
		return err
	}
	e := &exporter{c: c, client: cl}
	e.db, e.rp, _ = strings.Cut(bucket, "/")
	schema, err := e.schema(ctx)
	if err != nil {
		return err
	}
	for _, m := range f.measurements {
		if !slices.ContainsFunc(schema, func(s measurement) bool { return s.name == m }) {
			return fmt.Errorf("no measurement %q in bucket %q; headgate query -b %s 'SHOW MEASUREMENTS' shows what there is", m, bucket, bucket)
		}
	}
	to := c.Stdout
	if f.output != "-" {
		// A file that is whole or not there: what was cut off must not be taken for a bucket.
		if _, err := os.Lstat(f.output); err == nil {
			return fmt.Errorf("%s exists: remove it, or give --output another name", f.output)
		}
		partial, err2 := os.OpenFile(f.output+".partial", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err2 != nil {
			return err2
		}
		to = partial
		defer func() {
			if err == nil {
				err = partial.Sync()
			}
			if err = errors.Join(err, partial.Close()); err == nil {
				err = os.Rename(partial.Name(), f.output)
			} else {
				err = errors.Join(err, os.Remove(partial.Name()))
			}
		}()
	}
	out := bufio.NewWriterSize(to, 1<<16)
	z, err := deflate(out, f.compression, f.output)
	if err != nil {
		return err
	}
	e.out = bufio.NewWriterSize(z, 1<<16)
	update, end := c.meter()
	for i, m := range schema {
		if len(f.measurements) > 0 && !slices.Contains(f.measurements, m.name) {
			continue
		}
		e.update = func() {
			update(count(e.points, "point")+", measurement "+printable(m.name), int64(i), int64(len(schema)))
		}
		if f.output == "-" {
			e.update = func() {}
		}
		if err := e.export(ctx, m, where); err != nil {
			end()
			return fmt.Errorf("measurement %q: %w", m.name, err)
		}
	}
	end()
	if err := errors.Join(e.out.Flush(), z.Close(), out.Flush()); err != nil {
		return err
	}
	if f.output != "-" {
		fmt.Fprintf(c.Stderr, "%s in %s\n", count(e.points, "point"), f.output)
	}
	return nil
}

type noClose struct{ io.Writer }

func (noClose) Close() error { return nil }

// deflate compresses into w.
func deflate(w io.Writer, compression, name string) (io.WriteCloser, error) {
	if compression == "auto" {
		switch {
		case strings.HasSuffix(name, ".gz"):
			compression = "gzip"
		case strings.HasSuffix(name, ".zst"):
			compression = "zstd"
		default:
			compression = "none"
		}
	}
	switch compression {
	case "gzip":
		return gzip.NewWriter(w), nil
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	case "none":
		return noClose{w}, nil
	}
	return nil, usagef("--compression is auto, none, gzip or zstd, not %q", compression)
}

// measurement is a measurement and its fields.
type measurement struct {
	name   string
	fields []fieldType
}

type fieldType struct{ name, kind string }

// exporter writes what the server answers. Answers are MessagePack, which holds numbers
// and any bytes of a string as they are.
type exporter struct {
	c      *call
	client *client.Client
	db, rp string
	out    *bufio.Writer
	buf    []byte
	points int64
	update func()
}

// ask gives each series of an answer to fn, as it comes.
func (e *exporter) ask(ctx context.Context, q string, fn func(name string, tags map[string]any, values []any) error) error {
	resp, err := e.c.ask(ctx, e.client, q, e.db, e.rp, "ns", "application/x-msgpack")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	r := msgp.NewReader(resp.Body)
	for {
		v, err := r.ReadIntf()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("the answer ended early: %w", err)
		}
		doc, _ := v.(map[string]any)
		results, ok := doc["results"].([]any)
		if !ok {
			return errors.New("the answer makes no sense")
		}
		for _, one := range results {
			result, _ := one.(map[string]any)
			if text, ok := result["error"].(string); ok {
				return errors.New(printable(text) + databaseHint(text))
			}
			list, _ := result["series"].([]any)
			for _, one := range list {
				s, _ := one.(map[string]any)
				name, _ := s["name"].(string)
				tags, _ := s["tags"].(map[string]any)
				values, _ := s["values"].([]any)
				if err := fn(name, tags, values); err != nil {
					return err
				}
			}
		}
	}
}

// schema is the measurements and their fields.
func (e *exporter) schema(ctx context.Context) (list []measurement, err error) {
	err = e.ask(ctx, "SHOW FIELD KEYS", func(name string, _ map[string]any, values []any) error {
		if n := len(list); n == 0 || list[n-1].name != name {
			list = append(list, measurement{name: name})
		}
		m := &list[len(list)-1]
		for _, v := range values {
			row, _ := v.([]any)
			if len(row) != 2 {
				return errors.New("the answer makes no sense")
			}
			field, _ := row[0].(string)
			kind, _ := row[1].(string)
			m.fields = append(m.fields, fieldType{field, kind})
		}
		// Blanks before the first field of a line are skipped: names that begin with one go last.
		slices.SortStableFunc(m.fields, func(a, b fieldType) int { return blanks(a.name) - blanks(b.name) })
		return nil
	})
	return list, err
}

// blanks is 1 when a name begins with what a parser skips before the first field.
func blanks(name string) int {
	if name != "" && (name[0] == '\t' || name[0] == 0) {
		return 1
	}
	return 0
}

// selectBytesMax bounds the fields in a question: a server takes 256 KiB.
const selectBytesMax = 128 << 10

// export writes a measurement, one with very many fields in several passes. A point's
// fields come in as many lines then, which make one point again.
func (e *exporter) export(ctx context.Context, m measurement, where string) error {
	for len(m.fields) > 0 {
		var q strings.Builder
		q.WriteString("SELECT ")
		n := 0
		for ; n < len(m.fields) && q.Len() < selectBytesMax; n++ {
			if n > 0 {
				q.WriteString(", ")
			}
			// The type tells it from a tag of that name.
			q.WriteString(quote(m.fields[n].name) + "::" + m.fields[n].kind)
		}
		q.WriteString(" FROM " + quote(m.name) + where + " GROUP BY *")
		if err := e.exportFields(ctx, q.String(), m.name, m.fields[:n]); err != nil {
			return err
		}
		m.fields = m.fields[n:]
	}
	return nil
}

// exportFields writes what the server answers to a question for fields of a measurement.
func (e *exporter) exportFields(ctx context.Context, q, name string, fields []fieldType) error {
	return e.ask(ctx, q, func(_ string, tags map[string]any, values []any) error {
		key := appendName(nil, name, ", ")
		names := make([]string, 0, len(tags))
		for k := range tags {
			names = append(names, k)
		}
		slices.Sort(names)
		for _, k := range names {
			if v, _ := tags[k].(string); v != "" {
				key = appendName(append(key, ','), k, ", =")
				key = appendName(append(key, '='), v, ", =")
			}
		}
		for _, v := range values {
			row, _ := v.([]any)
			if len(row) != len(fields)+1 {
				return errors.New("the answer makes no sense")
			}
			e.buf = append(e.buf[:0], key...)
			separator := byte(' ')
			for i, f := range fields {
				if row[i+1] == nil {
					continue
				}
				e.buf = appendName(append(e.buf, separator), f.name, ", =")
				var err error
				if e.buf, err = appendField(append(e.buf, '='), row[i+1], f.kind); err != nil {
					return fmt.Errorf("field %q: %w", f.name, err)
				}
				separator = ','
			}
			at, err := integer(row[0])
			if err != nil {
				return err
			}
			if separator == ' ' {
				continue
			}
			e.buf = append(strconv.AppendInt(append(e.buf, ' '), at, 10), '\n')
			if _, err := e.out.Write(e.buf); err != nil {
				return err
			}
			e.points++
		}
		e.update()
		return nil
	})
}

// quote is a name as InfluxQL has it, always quoted.
func quote(name string) string {
	if q := influxql.QuoteIdent(name); strings.HasPrefix(q, `"`) {
		return q
	}
	return `"` + name + `"`
}

// appendName appends a name or a tag's value with a backslash before each of special.
func appendName(dst []byte, s, special string) []byte {
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

func integer(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case uint64:
		return int64(v), nil
	}
	return 0, fmt.Errorf("the server answers %v where a number is due", v)
}

// appendField appends a value as line protocol has its type.
func appendField(dst []byte, v any, kind string) ([]byte, error) {
	switch kind {
	case "integer":
		n, err := integer(v)
		return append(strconv.AppendInt(dst, n, 10), 'i'), err
	case "unsigned":
		n, err := integer(v)
		return append(strconv.AppendUint(dst, uint64(n), 10), 'u'), err
	case "float":
		if f, ok := v.(float64); ok {
			return strconv.AppendFloat(dst, f, 'g', -1, 64), nil
		}
	case "boolean":
		if b, ok := v.(bool); ok {
			return strconv.AppendBool(dst, b), nil
		}
	case "string":
		if s, ok := v.(string); ok {
			dst = appendName(append(dst, '"'), s, `"\`)
			return append(dst, '"'), nil
		}
	}
	return dst, fmt.Errorf("the server answers %v for a %s", v, kind)
}
