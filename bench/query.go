package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"syscall"
	"time"
)

// QueryOptions configures Query. Zero fields mean their defaults.
type QueryOptions struct {
	// Data says what the servers hold, and so which hosts and times can be asked
	// for: CPU, Single or Devops. Its URL is not used; its Seed draws the queries
	// as well.
	Data FillOptions
	// Targets are the servers. At least one; the first is what the others are
	// compared with, its answers included.
	Targets []CompareTarget
	// Load writes Data to every target first, one after the other, and waits until
	// each has gone quiet. Else they must hold it.
	Load bool
	// SettleRequests are sent after loading, see SizeOptions.
	SettleRequests []SettleRequest
	// Quiet and SettleMax say how long to wait after loading, see SizeOptions. Default
	// 6 s and 60 s.
	Quiet, SettleMax time.Duration
	// Forms are the queries to run, by name. Default all of QueryForms.
	Forms []string
	// Rounds is how many statements of each form are measured, each with hosts and
	// times of its own. Default 10.
	Rounds int
	// Warmup is how many more are run before, compared but not measured. Default 1;
	// below 0 for none.
	Warmup int
	// FloatULPs is by how many units in the last place floats may differ. Default 0.
	FloatULPs uint64
	// QueryTimeout is how long to wait for an answer. Default 120 s.
	QueryTimeout time.Duration
}

// EnsureDefaults fills in the zero fields.
func (o *QueryOptions) EnsureDefaults() {
	o.Data.EnsureDefaults()
	setDefault(&o.Quiet, settleCalm)
	setDefault(&o.SettleMax, time.Minute)
	setDefault(&o.Rounds, 10)
	setDefault(&o.Warmup, 1)
	setDefault(&o.QueryTimeout, 2*time.Minute)
	if len(o.Forms) == 0 {
		o.Forms = QueryForms()
	}
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *QueryOptions) Validate() error {
	if err := validateTargets("QueryOptions", o.Targets); err != nil {
		return err
	}
	if o.Rounds < 1 || o.QueryTimeout < 0 || o.Quiet < 0 || o.SettleMax < 0 {
		return errors.New("bench: QueryOptions.Rounds, QueryTimeout, Quiet and SettleMax must be positive")
	}
	if w := o.Data.Workload; w != CPU && w != Single && w != Devops {
		return fmt.Errorf("bench: QueryOptions.Data.Workload %s has no measurement cpu to query", w)
	}
	for _, name := range o.Forms {
		if !slices.Contains(QueryForms(), name) {
			return fmt.Errorf("bench: unknown query %q; there are %s", name, namesOf(QueryForms()))
		}
	}
	if err := validateSettleRequests("QueryOptions", o.SettleRequests, o.Targets); err != nil {
		return err
	}
	return o.Data.Validate()
}

// Query runs queries of the Time Series Benchmark Suite against several servers that
// hold the same data, compares their answers row for row, and measures how long each
// takes from the request to the answer's last byte. All targets get the same
// statements; they take turns, and who is first changes from round to round.
// Cancelling ctx ends it early, and the forms that were completed are reported.
func Query(ctx context.Context, o QueryOptions) (*QueryReport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &QueryReport{
		Kind: "query", Machine: thisMachine(), Data: o.Data.text(), Database: o.Data.Database, Rounds: o.Rounds,
		Warmup: max(o.Warmup, 0), FloatULPs: o.FloatULPs,
	}
	clients := make([]*queryTarget, len(o.Targets))
	for i, t := range o.Targets {
		target, err := ParseTarget(t.URL)
		if err != nil {
			return nil, err
		}
		clients[i] = &queryTarget{CompareTarget: t, target: target, database: o.Data.Database, token: o.Data.Token, timeout: o.QueryTimeout}
		defer clients[i].hangUp()
		r.Targets = append(r.Targets, t.Name)
		if !o.Load {
			continue
		}
		loaded, err := fillTarget(ctx, o.Data, t, o.SettleRequests, o.Quiet, o.SettleMax)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", t.Name, err)
		}
		r.Loads = append(r.Loads, loaded)
	}
	for i, form := range queryForms {
		if !slices.Contains(o.Forms, form.name) {
			continue
		}
		fmt.Fprintf(o.Data.Progress, "query %d of %d: %s\n", i+1, len(queryForms), form.name)
		f, err := runQueryForm(ctx, &o, form, clients)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			break
		}
		r.Queries = append(r.Queries, f)
	}
	if len(r.Queries) == 0 {
		return nil, fmt.Errorf("bench: no query was completed: %w", context.Cause(ctx))
	}
	r.sumUp()
	return r, nil
}

// runQueryForm runs all statements of a form.
func runQueryForm(ctx context.Context, o *QueryOptions, form queryForm, clients []*queryTarget) (*QueryFormReport, error) {
	f := &QueryFormReport{Name: form.name, Equal: Equal, Targets: make([]QueryStat, len(clients))}
	if len(clients) == 1 {
		f.Equal = NotCompared
	}
	var (
		draw    = newQueryDraw(&o.Data, form.name)
		answers = make([][]byte, len(clients))
		rows    []float64
		before  = make([]time.Duration, len(clients))
		warmup  = max(o.Warmup, 0)
	)
	for round := -warmup; round < o.Rounds && ctx.Err() == nil; round++ {
		if round == 0 {
			for i, c := range clients {
				var err error
				if before[i], err = c.cpu(); err != nil {
					return nil, err
				}
			}
		}
		f.Statement = form.draw(draw)
		for turn := range clients {
			i := (turn + round + warmup) % len(clients)
			var took time.Duration
			var err error
			answers[i], took, err = clients[i].ask(ctx, f.Statement)
			s := &f.Targets[i]
			switch {
			case ctx.Err() != nil:
				return f, nil
			case err != nil:
				s.fail(err)
				answers[i] = nil
			case round >= 0:
				s.Millis = append(s.Millis, millis(took))
				s.AnswerBytes = max(s.AnswerBytes, int64(len(answers[i])))
			}
			if err != nil && round >= 0 {
				s.Millis = append(s.Millis, 0)
			}
		}
		if n := f.compareAnswers(o, answers); round >= 0 && n >= 0 {
			rows = append(rows, float64(n))
		}
	}
	for i, c := range clients {
		after, err := c.cpu()
		if err != nil {
			return nil, err
		}
		f.Targets[i].CPUMillis = millis(after-before[i]) / float64(o.Rounds)
	}
	_, f.RowsMin, f.RowsMax = medianOf(rows)
	f.stats()
	return f, nil
}

// compareAnswers notes the first difference of the others' answers from the first
// target's, and returns how many rows that has, -1 without one. An answer that is
// missing has been counted as failed.
func (f *QueryFormReport) compareAnswers(o *QueryOptions, answers [][]byte) int {
	first, err := parseAnswer(answers[0])
	if err != nil {
		f.Targets[0].fail(err)
	}
	rows := -1
	if first != nil {
		rows = first.rows()
	}
	for i := 1; i < len(answers); i++ {
		if first != nil && slices.Equal(answers[0], answers[i]) {
			continue
		}
		other, err := parseAnswer(answers[i])
		if err != nil {
			f.Targets[i].fail(err)
		}
		if first == nil || other == nil {
			f.differ(Different, "there is no answer of each", o.Targets[i].Name)
			continue
		}
		d := first.diff(other, o.FloatULPs)
		if d == "" {
			continue
		}
		first.sortTies()
		other.sortTies()
		if first.diff(other, o.FloatULPs) == "" {
			f.differ(OtherOrder, d, o.Targets[i].Name)
		} else {
			f.differ(Different, d, o.Targets[i].Name)
		}
		// The rows are in another order now.
		if first, err = parseAnswer(answers[0]); err != nil {
			return rows
		}
	}
	return rows
}

// parseAnswer returns nil for no answer.
func parseAnswer(body []byte) (*rowSet, error) {
	if body == nil {
		return nil, nil
	}
	return parseRows(body)
}

// differ notes a difference; the worst and of those the first is kept.
func (f *QueryFormReport) differ(how Equality, difference, target string) {
	if f.Equal == Different || f.Equal == how {
		return
	}
	f.Equal, f.Difference, f.DifferingStatement = how, target+": "+difference, f.Statement
}

// queryTarget is one server that is asked.
type queryTarget struct {
	CompareTarget
	target   Target
	database string
	token    string
	timeout  time.Duration
	conn     *Conn
}

// answerBytesLimit bounds an answer in memory.
const answerBytesLimit = 2 << 30

// ask runs one statement and returns the body of the answer, which is the caller's,
// and how long it took. A connection that the server has closed since the statement
// before is made anew, outside that time.
func (q *queryTarget) ask(ctx context.Context, statement string) ([]byte, time.Duration, error) {
	used := q.conn != nil
	body, took, err := q.askOnce(ctx, statement)
	if used && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
		return q.askOnce(ctx, statement)
	}
	return body, took, err
}

func (q *queryTarget) askOnce(ctx context.Context, statement string) ([]byte, time.Duration, error) {
	if q.conn == nil {
		c, err := Dial(ctx, q.target)
		if err != nil {
			return nil, 0, err
		}
		c.keepBytes = answerBytesLimit
		q.conn = c
	}
	v := url.Values{"db": {q.database}, "q": {statement}}
	h := head{method: "GET", path: "/query?" + v.Encode(), token: q.token}
	text := h.append(nil, q.target, 0)
	begin := time.Now()
	answer, err := q.conn.Do(text, nil, begin.Add(q.timeout))
	took := time.Since(begin)
	// The connection would write over the body.
	body := answer.Body
	q.conn.answer = nil
	if q.conn.Spent() {
		q.hangUp()
	}
	switch {
	case err != nil:
		return nil, took, err
	case answer.Status != 200:
		return nil, took, &queryStatusError{statement, answer.Status, string(body[:min(len(body), 1<<10)])}
	case len(body) >= answerBytesLimit:
		return nil, took, fmt.Errorf("bench: query %q: the answer is over %d bytes", statement, answerBytesLimit)
	}
	return body, took, nil
}

func (q *queryTarget) hangUp() {
	if q.conn != nil {
		_ = q.conn.Close() // nothing is under way on it
		q.conn = nil
	}
}

// cpu returns the CPU time of the server until now, 0 without a process id.
func (q *queryTarget) cpu() (time.Duration, error) {
	if q.PID == 0 {
		return 0, nil
	}
	return preciseCPU(q.PID)
}

// nearestRank returns the smallest value that a share of the values does not exceed.
// The values are sorted.
func nearestRank(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(share*float64(len(sorted))))-1, 0)]
}
