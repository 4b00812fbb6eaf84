package influxql

import (
	"fmt"
	"strings"
	"testing"
)

// TestOffsetWithoutLowerBound: intervals that are shifted begin with the first point,
// not with the first time there is.
func TestOffsetWithoutLowerBound(t *testing.T) {
	b := newFakeBucket()
	if err := b.write("m,t=a f=1 1500000000000000000\nm,t=a f=3 1500000120000000000\nm,t=b f=2 1500000060000000000\nother f=1 1", "n", clock); err != nil {
		t.Fatal(err)
	}
	const where = " WHERE time < '2017-07-14T02:43:00Z'"
	for _, tc := range []struct {
		text string
		rows int
	}{
		{"SELECT mean(f) FROM m" + where + " GROUP BY time(1m, 30s)", 4},
		{"SELECT mean(f) FROM m" + where + " GROUP BY time(1m, -30s) fill(linear)", 4},
		{"SELECT mean(f) FROM /m/" + where + " GROUP BY time(1m, 30s) fill(0) ORDER BY time DESC", 4},
		{"SELECT count(f) FROM m WHERE t = 'b' AND time < '2017-07-14T02:43:00Z' GROUP BY time(1m, 30s)", 4},
		{"SELECT mean(f) FROM m" + where + " GROUP BY time(1m, 30s) tz('Europe/Berlin')", 4},
		{"SELECT mean(f) FROM m" + where + " GROUP BY time(1m) tz('Asia/Kathmandu')", 3},
		{"SELECT sum(v) FROM (SELECT mean(f) AS v FROM m" + where + " GROUP BY time(1m, 30s) fill(1))", 1},
		{"SELECT mean(f) FROM m" + where + " AND time >= '2017-07-14T02:41:00Z' GROUP BY time(1m, 30s)", 3},
		{"SELECT mean(f) FROM nothing GROUP BY time(1m, 30s)", 0},
	} {
		results, err := ask(t, b, tc.text, func(q *Query) { q.Limits.MaxBufferBytes = 1 << 20 })
		if err != nil || len(results) != 1 || results[0].Err != nil {
			t.Errorf("%s: %+v, %v", tc.text, results, err)
			continue
		}
		rows := 0
		for _, s := range results[0].Series {
			rows += len(s.Values)
		}
		if rows != tc.rows {
			t.Errorf("%s: %d rows, want %d", tc.text, rows, tc.rows)
		}
	}
}

// TestHostileTexts: texts made to use up stack, time or memory end soon, with an
// error or within what the limits allow.
func TestHostileTexts(t *testing.T) {
	b := newFakeBucket()
	var lines strings.Builder
	for i := range 400 {
		fmt.Fprintf(&lines, "m,a=%d,b=%d f=1,g=2 %d\n", i%20, i, i+1)
	}
	if err := b.write(lines.String(), "n", clock); err != nil {
		t.Fatal(err)
	}
	nested := func(n int, open, inner, end string) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	for _, tc := range []struct {
		name, text string
		// want is part of the error; empty where the statement may succeed.
		want string
	}{
		{"parentheses", "SELECT f FROM m WHERE " + nested(100_000, "(", "f = 1", ")"), "nested deeper"},
		{"subqueries within the limit", nested(32, "SELECT f FROM (", "SELECT f FROM m", ")"), ""},
		{"subqueries", nested(150, "SELECT f FROM (", "SELECT f FROM m", ")"), "subqueries are nested deeper"},
		{"unclosed", "SELECT " + strings.Repeat("(", 100_000), "nested deeper"},
		{"signs", "SELECT " + strings.Repeat("-", 100_000) + "f FROM m", ""},
		{"chain of additions", "SELECT f" + strings.Repeat("+f", 50_000) + " FROM m", "nested deeper"},
		{"long text", "SELECT f FROM m WHERE a = '" + strings.Repeat("x", 10<<20) + "'", "MaxTextBytes"},
		{"many statements", strings.Repeat("SHOW DATABASES;", 10_000), ""},
		{"explain of explain", strings.Repeat("EXPLAIN ", 20_000) + "SELECT f FROM m", "parse"},
		{"repeated regex", "SELECT f FROM m WHERE a =~ /" + nested(5, "(", "x", "{1000})") + "/", "parse"},
		{"nested stars", "SELECT f FROM m WHERE a =~ /" + nested(100, "(", "a*", ")*") + "b/", ""},
		{"regex on measurements", "SELECT f FROM /" + strings.Repeat("(a|b|c|d)*", 2000) + "/", ""},
		{"nanosecond windows", "SELECT mean(f) FROM m WHERE time > 0 AND time < '2100-01-01T00:00:00Z' GROUP BY time(1ns)", "max-query-memory"},
		{"fill", "SELECT mean(f) FROM m WHERE time > 0 AND time < '2100-01-01T00:00:00Z' GROUP BY time(1ns), * fill(linear)", "max-query-memory"},
		{"every function", "SELECT " + strings.TrimSuffix(strings.Repeat("mean(f),", 5_000), ",") + " FROM m", ""},
		{"every series", "SHOW SERIES", ""},
		{"the same measurement", "SELECT f FROM " + strings.TrimSuffix(strings.Repeat("m,", 5_000), ","), ""},
	} {
		results, err := ask(t, b, tc.text, func(q *Query) { q.Limits.MaxBufferBytes = 4 << 20 })
		for _, r := range results {
			if err == nil {
				err = r.Err
			}
		}
		switch {
		case tc.want == "":
		case err == nil:
			t.Errorf("%s: no error, want one of %q", tc.name, tc.want)
		case !strings.Contains(err.Error(), tc.want):
			t.Errorf("%s: %.200s, want %q", tc.name, err.Error(), tc.want)
		}
	}
}
