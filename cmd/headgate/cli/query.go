package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"headgate/cmd/headgate/client"
)

type queryFlags struct {
	files                                       []string
	bucket, bucketID, db, rp, format, precision string
	influxql, flux, raw                         bool
}

func queryCommand() *command {
	return &command{name: "query", args: "[QUERY | -]", about: `Asks a question in InfluxQL or Flux, from the argument, --file or standard input, and shows the answer.
Which language it is shows by its first word; --influxql and --flux say so.`, flags: func(c *call) {
		f := new(queryFlags)
		c.values = f
		c.list(&f.files, "file", "f", "`file` with the query")
		c.text(&f.bucket, "bucket", "b", "", "`bucket` that InfluxQL asks")
		c.text(&f.bucketID, "bucket-id", "", "", "`id` of the bucket, instead of its name")
		c.text(&f.db, "db", "", "", "`database` that InfluxQL asks, instead of a bucket")
		c.text(&f.rp, "rp", "", "", "`retention policy` of --db")
		c.text(&f.format, "format", "", "table", "`how` to show the answer: table, csv or json")
		c.text(&f.precision, "precision", "p", "", "`unit` to show the times of InfluxQL in: ns, us, ms, s, m or h since 1970; rfc3339 if left out")
		c.flag(&f.influxql, "influxql", "", "the query is InfluxQL")
		c.flag(&f.flux, "flux", "", "the query is Flux")
		c.flag(&f.raw, "raw", "r", "show Flux's annotated CSV as it comes")
	}, run: runQuery}
}

// epochs are the values of --precision, and what a server calls them.
var epochs = map[string]string{"": "", "rfc3339": "", "ns": "ns", "us": "u", "u": "u", "ms": "ms", "s": "s", "m": "m", "h": "h"}

var influxQLWords = []string{"select", "show", "explain", "delete", "drop", "create", "alter", "grant", "revoke", "set", "kill"}

// isInfluxQL is whether a query begins as InfluxQL does.
func isInfluxQL(text string) bool {
	for rest := strings.TrimSpace(text); ; rest = strings.TrimSpace(rest) {
		switch {
		case strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "//"):
			_, rest, _ = strings.Cut(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			_, rest, _ = strings.Cut(rest, "*/")
		default:
			word, _, _ := strings.Cut(rest, " ")
			word, _, _ = strings.Cut(word, "\n")
			return slices.Contains(influxQLWords, strings.ToLower(strings.TrimRight(word, "\t\r;(")))
		}
	}
}

func runQuery(ctx context.Context, c *call) error {
	f := c.values.(*queryFlags)
	if !slices.Contains([]string{"table", "csv", "json"}, f.format) {
		return usagef("--format is table, csv or json, not %q", f.format)
	}
	if _, ok := epochs[f.precision]; !ok {
		return usagef("--precision is ns, us, ms, s, m, h or rfc3339, not %q", f.precision)
	}
	if f.influxql && f.flux {
		return usagef("give one of --influxql and --flux")
	}
	text, err := c.queryText(f)
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	out := bufio.NewWriterSize(c.Stdout, 1<<16)
	if f.influxql || !f.flux && isInfluxQL(text) {
		err = c.influxQL(ctx, cl, text, f, out)
	} else {
		err = c.flux(ctx, cl, text, f, out)
		if refused, ok := errors.AsType[*client.Error](err); ok && refused.Status == http.StatusBadRequest && !f.flux && slipInInfluxQL(text) {
			err = fmt.Errorf("%w (the query was taken for Flux; --influxql says that it is InfluxQL)", err)
		}
	}
	return errors.Join(err, out.Flush())
}

// twoWords begin InfluxQL with a slip in its first word, and Flux only with a keyword.
var twoWords = regexp.MustCompile(`^\s*([A-Za-z]+)\s+[\w*"]`)

// slipInInfluxQL is whether text was likely meant for InfluxQL.
func slipInInfluxQL(text string) bool {
	m := twoWords.FindStringSubmatch(text)
	return m != nil && !slices.Contains([]string{"import", "option", "package", "builtin"}, m[1])
}

func (c *call) queryText(f *queryFlags) (string, error) {
	var text string
	switch {
	case len(f.files) == 1 && len(c.args) == 0:
		b, err := os.ReadFile(f.files[0])
		if err != nil {
			return "", err
		}
		text = string(b)
	case len(f.files) > 0:
		return "", usagef("give one query")
	case len(c.args) == 0 && isTerminal(c.Stdin):
		return "", usagef(`no query: headgate query 'SELECT * FROM cpu LIMIT 10', or --file, or - for standard input`)
	case len(c.args) == 0 || len(c.args) == 1 && c.args[0] == "-":
		b, err := io.ReadAll(c.Stdin)
		if err != nil {
			return "", err
		}
		text = string(b)
	default:
		text = strings.Join(c.args, " ")
	}
	if strings.TrimSpace(text) == "" {
		return "", usagef("the query is empty")
	}
	return text, nil
}

// database is what InfluxQL asks: a bucket named db/rp is a database and its policy.
func (f *queryFlags) database(ctx context.Context, c *call, cl *client.Client) (db, rp string, err error) {
	if f.db != "" {
		return f.db, f.rp, nil
	}
	bucket, err := c.bucketName(ctx, cl, f.bucket, f.bucketID)
	if _, ok := errors.AsType[usageError](err); ok && f.bucketID == "" {
		return "", "", nil // the query may name it
	}
	db, rp, _ = strings.Cut(bucket, "/")
	if f.rp != "" {
		rp = f.rp
	}
	return db, rp, err
}

// document is a chunk of an answer to InfluxQL.
type document struct {
	Results []struct {
		StatementID int `json:"statement_id"`
		Series      []series
		Error       string
		Messages    []struct{ Level, Text string }
	}
	Error string
}

type series struct {
	Name    string
	Tags    map[string]string
	Columns []string
	Values  [][]any
}

// ask sends InfluxQL and gives the answer's body to read.
func (c *call) ask(ctx context.Context, cl *client.Client, text, db, rp, epoch, accept string) (*http.Response, error) {
	form := url.Values{"q": {text}, "chunked": {"true"}}
	for name, v := range map[string]string{"db": db, "rp": rp, "epoch": epoch, "org": c.common.org} {
		if v != "" {
			form.Set(name, v)
		}
	}
	return cl.Do(ctx, client.Request{Method: http.MethodPost, Path: "/query", Body: strings.NewReader(form.Encode()),
		Headers: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {accept}}})
}

func (c *call) influxQL(ctx context.Context, cl *client.Client, text string, f *queryFlags, out *bufio.Writer) error {
	db, rp, err := f.database(ctx, c, cl)
	if err != nil {
		return err
	}
	resp, err := c.ask(ctx, cl, text, db, rp, epochs[f.precision], "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	d.UseNumber()
	show := influxQLShow(out, f.format)
	var failed error
	for {
		var doc document
		var raw json.RawMessage
		if err := d.Decode(&raw); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("the answer ended early: %w", err)
		}
		inner := json.NewDecoder(strings.NewReader(string(raw)))
		inner.UseNumber()
		if err := inner.Decode(&doc); err != nil {
			return fmt.Errorf("the answer makes no sense: %w", err)
		}
		for _, r := range doc.Results {
			if r.Error != "" && r.Error != "not executed" {
				failed = errors.Join(failed, errors.New(printable(r.Error)+databaseHint(r.Error)))
			}
			for _, m := range r.Messages {
				fmt.Fprintf(c.Stderr, "%s: %s\n", printable(m.Level), printable(m.Text))
			}
			if f.format == "json" {
				continue
			}
			for _, s := range r.Series {
				show(s)
			}
		}
		if f.format == "json" {
			out.Write(raw)
			out.WriteByte('\n')
		}
	}
	show(series{})
	return failed
}

func databaseHint(text string) string {
	switch {
	case strings.HasPrefix(text, "database name required"):
		return " (give --bucket, set HEADGATE_BUCKET or run headgate config create)"
	case strings.HasPrefix(text, "database not found"):
		return " (headgate bucket list shows what there is)"
	}
	return ""
}

// influxQLShow returns what writes series as CSV or tables. A table is shown when its
// series has come to an end, or is long; an empty series ends the last one.
func influxQLShow(out *bufio.Writer, format string) func(series) {
	w := csv.NewWriter(out)
	var heading []string
	var name string
	var rows [][]string
	return func(s series) {
		tags := make([]string, 0, len(s.Tags))
		for k := range s.Tags {
			tags = append(tags, k)
		}
		slices.Sort(tags)
		for i, k := range tags {
			tags[i] = k + "=" + s.Tags[k]
		}
		if format == "csv" {
			if s.Columns == nil {
				w.Flush()
				return
			}
			if h := append([]string{"name", "tags"}, s.Columns...); !slices.Equal(h, heading) {
				if heading != nil {
					w.Flush()
					out.WriteByte('\n')
				}
				heading = h
				w.Write(h)
			}
			for _, values := range s.Values {
				w.Write(append([]string{s.Name, strings.Join(tags, ",")}, texts(values)...))
			}
			return
		}
		id := strings.TrimSpace(s.Name + " " + strings.Join(tags, " "))
		if rows != nil && (id != name || !slices.Equal(s.Columns, rows[0]) || len(rows) >= tableRowsMax) {
			var b strings.Builder
			if name != "" {
				b.WriteString("# " + printable(name) + "\n")
			}
			align(&b, rows)
			b.WriteByte('\n')
			out.WriteString(b.String())
			rows = nil
		}
		if s.Columns == nil {
			return
		}
		if name = id; rows == nil {
			rows = [][]string{s.Columns}
		}
		for _, values := range s.Values {
			rows = append(rows, texts(values))
		}
	}
}

// tableRowsMax is how many rows are aligned with one another.
const tableRowsMax = 10_000

func texts(values []any) []string {
	row := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
		case string:
			row[i] = v
		default:
			row[i] = fmt.Sprint(v)
		}
	}
	return row
}

func (c *call) flux(ctx context.Context, cl *client.Client, text string, f *queryFlags, out *bufio.Writer) error {
	b, err := json.Marshal(map[string]any{"query": text, "type": "flux", "dialect": map[string]any{"header": true, "delimiter": ",", "annotations": []string{"datatype", "group", "default"}}})
	if err != nil {
		return err
	}
	resp, err := cl.Do(ctx, client.Request{Method: http.MethodPost, Path: "/api/v2/query", Query: c.orgQuery(), Body: strings.NewReader(string(b)),
		Headers: http.Header{"Content-Type": {"application/json"}, "Accept": {"text/csv"}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if f.raw || f.format == "csv" {
		tail := new(tailWriter)
		if _, err := io.Copy(io.MultiWriter(out, tail), resp.Body); err != nil {
			return err
		}
		return tail.failure()
	}
	return fluxTables(resp.Body, f.format, out)
}

// tailWriter keeps the last bytes, where Flux says that it has failed midway.
type tailWriter struct{ b []byte }

func (w *tailWriter) Write(p []byte) (int, error) {
	const keep = 1 << 16
	w.b = append(w.b, p[max(0, len(p)-keep):]...)
	w.b = w.b[max(0, len(w.b)-keep):]
	return len(p), nil
}

func (w *tailWriter) failure() error {
	rows := csv.NewReader(strings.NewReader(string(w.b[max(0, strings.LastIndex(string(w.b), "#datatype")):])))
	rows.FieldsPerRecord = -1
	var last []string
	for {
		row, err := rows.Read()
		if err != nil {
			return nil
		}
		if slices.Equal(last, []string{"", "error", "reference"}) && len(row) > 1 {
			return errors.New(printable(row[1]))
		}
		last = row
	}
}

// fluxTables shows annotated CSV as tables, or as JSON objects, one a line.
func fluxTables(r io.Reader, format string, out *bufio.Writer) error {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	var types, fallbacks, labels []string
	var rows [][]string
	result, table := "", ""
	flush := func() {
		if len(rows) > 1 {
			var b strings.Builder
			if result != "" && result != "_result" {
				fmt.Fprintf(&b, "# result %s\n", printable(result))
			}
			align(&b, rows)
			b.WriteByte('\n')
			out.WriteString(b.String())
		}
		rows = nil
	}
	for {
		row, err := in.Read()
		if err == io.EOF {
			flush()
			return nil
		} else if err != nil {
			return fmt.Errorf("the answer makes no sense: %w", err)
		}
		switch {
		case strings.HasPrefix(row[0], "#"):
			if labels != nil {
				flush()
				types, fallbacks, labels = nil, nil, nil
			}
			switch row[0] {
			case "#datatype":
				types = row
			case "#default":
				fallbacks = row
			}
			continue
		case labels == nil:
			labels = row
			continue
		}
		if len(labels) == 3 && labels[1] == "error" && len(row) > 1 {
			flush()
			return errors.New(printable(row[1]))
		}
		object := make(map[string]any)
		var head, cells []string
		name, number := "", ""
		for i := 1; i < len(row) && i < len(labels); i++ {
			v := row[i]
			if v == "" && i < len(fallbacks) {
				v = fallbacks[i]
			}
			switch labels[i] {
			case "result":
				name = v
			case "table":
				number = v
			}
			if labels[i] != "result" && labels[i] != "table" {
				head, cells = append(head, labels[i]), append(cells, v)
			}
			object[labels[i]] = v
			if i < len(types) {
				object[labels[i]] = jsonValue(v, types[i])
			}
		}
		if format == "json" {
			b, err := json.Marshal(object)
			if err != nil {
				return err
			}
			out.Write(append(b, '\n'))
			continue
		}
		if rows != nil && (name != result || number != table || len(rows) >= tableRowsMax) {
			flush()
		}
		if rows == nil {
			rows = [][]string{head}
			result, table = name, number
		}
		rows = append(rows, cells)
	}
}

// jsonValue is a cell of Flux as JSON has it.
func jsonValue(v, typ string) any {
	switch typ {
	case "long", "unsignedLong", "double":
		if v == "" {
			return nil
		}
		if json.Valid([]byte(v)) {
			return json.Number(v)
		}
	case "boolean":
		return v == "true"
	}
	return v
}
