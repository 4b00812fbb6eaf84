package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// queryRow is one row of one series of an InfluxQL answer.
type queryRow struct {
	name    string
	columns []string
	// values are as encoding/json makes them, numbers as json.Number.
	values []any
}

// column returns a value by its column's name, nil when there is none.
func (r *queryRow) column(name string) any {
	for i, c := range r.columns {
		if c == name && i < len(r.values) {
			return r.values[i]
		}
	}
	return nil
}

// integer returns a column that is a whole number.
func (r *queryRow) integer(name string) (int64, error) {
	n, ok := r.column(name).(json.Number)
	if !ok {
		return 0, fmt.Errorf("bench: column %s is %v, not a number", name, r.column(name))
	}
	return n.Int64()
}

// queryClient runs InfluxQL over HTTP. Safe for concurrent use.
type queryClient struct {
	http *http.Client
	base string
}

func newQueryClient(t Target) *queryClient {
	c, base := newHTTPClient(t)
	return &queryClient{http: c, base: base}
}

func (q *queryClient) close() { q.http.CloseIdleConnections() }

// run runs one statement and calls emit for each row. The answer is asked for in
// chunks and never held whole.
func (q *queryClient) run(ctx context.Context, database, statement string, emit func(*queryRow) error) error {
	form := url.Values{"q": {statement}, "epoch": {"ns"}, "chunked": {"true"}, "chunk_size": {"5000"}}
	if database != "" {
		form.Set("db", database)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.base+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := q.http.Do(req)
	if err != nil {
		return fmt.Errorf("bench: query %q: %w", statement, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return &queryStatusError{statement, resp.StatusCode, string(text)}
	}
	if err := eachRow(resp.Body, emit); err != nil {
		return fmt.Errorf("bench: query %q: %w", statement, err)
	}
	return nil
}

// queryStatusError says that the server refused a query.
type queryStatusError struct {
	statement string
	status    int
	text      string
}

func (e *queryStatusError) Error() string {
	return fmt.Sprintf("bench: query %q: status %d: %s", e.statement, e.status, e.text)
}

// eachRow reads the JSON objects of a chunked answer, one after the other.
func eachRow(r io.Reader, emit func(*queryRow) error) error {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	for {
		var answer struct {
			Error   string `json:"error"`
			Results []struct {
				Error   string `json:"error"`
				Partial bool   `json:"partial"`
				Series  []struct {
					Name    string   `json:"name"`
					Columns []string `json:"columns"`
					Values  [][]any  `json:"values"`
				} `json:"series"`
			} `json:"results"`
		}
		if err := dec.Decode(&answer); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if answer.Error != "" {
			return errors.New(answer.Error)
		}
		for _, result := range answer.Results {
			if result.Error != "" {
				return errors.New(result.Error)
			}
			for _, s := range result.Series {
				for _, values := range s.Values {
					if len(values) != len(s.Columns) {
						return fmt.Errorf("a row of %d values has %d columns", len(values), len(s.Columns))
					}
					if err := emit(&queryRow{s.Name, s.Columns, values}); err != nil {
						return err
					}
				}
			}
		}
	}
}
