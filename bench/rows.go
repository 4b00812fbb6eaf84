package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
)

// rowSet is a whole answer to one InfluxQL statement, held to be compared with
// another server's.
type rowSet struct {
	Error   string `json:"error"`
	Results []struct {
		Error   string      `json:"error"`
		Partial bool        `json:"partial"`
		Series  []rowSeries `json:"series"`
	} `json:"results"`
	series []rowSeries
}

// rowSeries is the rows of one series.
type rowSeries struct {
	Name    string            `json:"name"`
	Tags    map[string]string `json:"tags"`
	Columns []string          `json:"columns"`
	Values  [][]any           `json:"values"`
}

func (s *rowSeries) title() string {
	text := s.Name
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		text += "," + k + "=" + s.Tags[k]
	}
	return text
}

// parseRows reads the body of an answer. An error that the server reports in it is
// returned as one, as are rows that do not fit their columns.
func parseRows(body []byte) (*rowSet, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	s := &rowSet{}
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("bench: answer: %w", err)
	}
	if s.Error != "" {
		return nil, errors.New(s.Error)
	}
	for _, r := range s.Results {
		switch {
		case r.Error != "":
			return nil, errors.New(r.Error)
		case r.Partial:
			return nil, errors.New("bench: the answer was cut short by the server")
		}
		s.series = append(s.series, r.Series...)
	}
	for _, series := range s.series {
		for _, row := range series.Values {
			if len(row) != len(series.Columns) {
				return nil, fmt.Errorf("bench: a row of %d values has %d columns", len(row), len(series.Columns))
			}
		}
	}
	return s, nil
}

// rows counts the rows of all series.
func (s *rowSet) rows() int {
	n := 0
	for i := range s.series {
		n += len(s.series[i].Values)
	}
	return n
}

// diff returns the first difference from other, "" when there is none. Floats may
// differ by so many units in the last place.
func (s *rowSet) diff(other *rowSet, ulps uint64) string {
	for i := range min(len(s.series), len(other.series)) {
		if d := s.series[i].diff(&other.series[i], ulps); d != "" {
			return d
		}
	}
	if len(s.series) != len(other.series) {
		return fmt.Sprintf("%d series, not %d", len(other.series), len(s.series))
	}
	return ""
}

func (s *rowSeries) diff(other *rowSeries, ulps uint64) string {
	switch {
	case s.title() != other.title():
		return fmt.Sprintf("series %s, not %s", other.title(), s.title())
	case !slices.Equal(s.Columns, other.Columns):
		return fmt.Sprintf("series %s: columns %s, not %s", s.title(), other.Columns, s.Columns)
	}
	for i := range min(len(s.Values), len(other.Values)) {
		for c := range s.Columns {
			if !sameValue(s.Values[i][c], other.Values[i][c], ulps) {
				return fmt.Sprintf("series %s, row %d, column %s: %v, not %v; the row is %v, not %v",
					s.title(), i, s.Columns[c], other.Values[i][c], s.Values[i][c], other.Values[i], s.Values[i])
			}
		}
	}
	if len(s.Values) != len(other.Values) {
		return fmt.Sprintf("series %s: %d rows, not %d", s.title(), len(other.Values), len(s.Values))
	}
	return ""
}

// sortTies puts rows of the same time and series into an order of their own, so that
// two answers can be compared which differ in that order only.
func (s *rowSet) sortTies() {
	for i := range s.series {
		rows := s.series[i].Values
		for begin := 0; begin < len(rows); {
			end := begin + 1
			for end < len(rows) && reflect.DeepEqual(rows[end][0], rows[begin][0]) {
				end++
			}
			slices.SortFunc(rows[begin:end], func(a, b []any) int { return strings.Compare(fmt.Sprint(a...), fmt.Sprint(b...)) })
			begin = end
		}
	}
}

// sameValue compares two values as encoding/json makes them.
func sameValue(a, b any, ulps uint64) bool {
	x, ok := a.(json.Number)
	y, ok2 := b.(json.Number)
	if !ok || !ok2 {
		return a == b
	}
	if x == y {
		return true
	}
	// Integers beyond 2^53 must not be compared as floats.
	if isWhole(x) && isWhole(y) {
		return false
	}
	f, err := x.Float64()
	g, err2 := y.Float64()
	return err == nil && err2 == nil && ulpsBetween(f, g) <= ulps
}

func isWhole(n json.Number) bool { return !strings.ContainsAny(string(n), ".eE") }

// ulpsBetween returns how many floats lie between two, one of them counted.
func ulpsBetween(f, g float64) uint64 {
	// In this order of integers neighbours are neighbours, and both zeros are 0.
	place := func(f float64) int64 {
		bits := int64(math.Float64bits(f))
		if bits < 0 {
			return math.MinInt64 - bits
		}
		return bits
	}
	a, b := place(f), place(g)
	if a < b {
		a, b = b, a
	}
	return uint64(a) - uint64(b)
}
