package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// CrashOptions configures Crash. Zero fields mean their defaults.
type CrashOptions struct {
	// Server is the path of the headgate binary. Required.
	Server string
	// Rounds is how often the server is killed under load. Default 20.
	Rounds int
	// Writers is how many connections write at the same time. Default 8.
	Writers int
	// Seed makes the data and the moments of the kills; what the scheduler does in
	// between it cannot make the same again. Default: from the clock.
	Seed uint64
	// RoundDuration is the longest time a round writes before the kill; the moment
	// is random. Default 1 s.
	RoundDuration time.Duration
	// StartTimeout is how long the server may take to become healthy. Default 60 s.
	StartTimeout time.Duration
	// Dir is where data and logs go. Default: a new temporary directory, removed
	// when nothing was found unless Keep is set.
	Dir  string
	Keep bool
	// Progress gets a line a round. Default: nobody.
	Progress io.Writer
}

// EnsureDefaults fills in the zero fields.
func (o *CrashOptions) EnsureDefaults() {
	setDefault(&o.Rounds, 20)
	setDefault(&o.Writers, 8)
	setDefault(&o.Seed, uint64(time.Now().UnixNano()))
	setDefault(&o.RoundDuration, time.Second)
	setDefault(&o.StartTimeout, time.Minute)
	if o.Progress == nil {
		o.Progress = io.Discard
	}
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *CrashOptions) Validate() error {
	switch {
	case o.Server == "":
		return errors.New("bench: CrashOptions.Server is empty")
	case o.Rounds < 1 || o.Writers < 1:
		return errors.New("bench: CrashOptions.Rounds and Writers must be positive")
	case o.RoundDuration < 0 || o.StartTimeout < 0:
		return errors.New("bench: a duration in CrashOptions is negative")
	}
	return nil
}

// CrashReport is what came of one run of Crash.
type CrashReport struct {
	Seed uint64 `json:"seed"`
	// Rounds is how often the server was killed under load. Complete is set once
	// that was all, the server has exited as asked and everything was read back.
	Rounds   int  `json:"rounds"`
	Complete bool `json:"complete"`
	// KillsInRecovery counts the kills before the server was healthy again.
	KillsInRecovery int `json:"kills_in_recovery"`
	// Batches by what their writers were told.
	ledgerCounts
	// PointsRead is what the last reading of everything returned. It is less than Points
	// where batches were written again: their points overwrite those of before.
	PointsRead int64 `json:"points_read"`
	// Queries counts those that were answered while writers were busy.
	Queries int64 `json:"queries"`
	// RecoveryMax is the longest time from a start until /health passed.
	RecoveryMax time.Duration `json:"recovery_max_ns"`
	// ViolationCount counts broken promises, Violations are the first 100 of them.
	ViolationCount int      `json:"violation_count"`
	Violations     []string `json:"violations,omitempty"`
	// Dir is where the data and the server's logs are, "" once they are removed.
	Dir string `json:"dir,omitempty"`
}

// WriteJSON writes the report as one indented JSON object.
func (r *CrashReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteText writes the report for a reader, every violation that was kept included.
func (r *CrashReport) WriteText(w io.Writer) error {
	for _, text := range r.Violations {
		fmt.Fprintf(w, "- %s\n", text)
	}
	if more := r.ViolationCount - len(r.Violations); more > 0 {
		fmt.Fprintf(w, "- and %d more\n", more)
	}
	verdict := "none lost, none invented"
	switch {
	case r.ViolationCount > 0:
		verdict = fmt.Sprintf("%d VIOLATIONS", r.ViolationCount)
	case !r.Complete:
		verdict = "the run was not completed"
	}
	_, err := fmt.Fprintf(w, `%s: %d kills under load, %d more in recovery, seed %d
batches: %d acknowledged (%d points), %d rejected, %d refused, %d left open (of these %d were there afterwards, %d were not)
points read back at the end: %d (one that was written again counts once); queries under load: %d; longest recovery: %v
`, verdict, r.Rounds, r.KillsInRecovery, r.Seed, r.Acknowledged, r.Points, r.Rejected, r.Refused, r.Indeterminate,
		r.Kept, r.Lost, r.PointsRead, r.Queries, r.RecoveryMax.Round(time.Millisecond))
	if r.Dir != "" {
		fmt.Fprintf(w, "data and logs: %s\n", r.Dir)
	}
	return err
}

// Crash starts a server, writes to it, kills it without warning, starts it again
// and compares all it has with all it acknowledged; and again. In the end it asks
// the server to exit, which must lose nothing either. A report with violations is
// no error; an error means that the run could not be made, and comes with what was
// found until then.
func Crash(ctx context.Context, o CrashOptions) (*CrashReport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	madeDir := o.Dir == ""
	if madeDir {
		dir, err := os.MkdirTemp("", "headgate-crash-")
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		o.Dir = dir
	}
	c := &crasher{
		o: o, server: &server{binary: o.Server, dir: o.Dir},
		ledger: newLedger(crashData{o.Seed}, o.Writers),
		rng:    rand.New(rand.NewPCG(o.Seed, 0)),
		report: CrashReport{Seed: o.Seed, Dir: o.Dir},
	}
	defer c.server.kill()
	err := c.run(ctx)
	c.server.kill()
	c.report.ledgerCounts = c.ledger.counts
	c.report.Queries = c.reads.Load()
	c.report.ViolationCount, c.report.Violations = c.ledger.violated()
	if madeDir && !o.Keep && err == nil && c.report.ViolationCount == 0 {
		c.report.Dir = ""
		if err := os.RemoveAll(o.Dir); err != nil {
			return &c.report, fmt.Errorf("bench: %w", err)
		}
	}
	return &c.report, err
}

// crasher is one run of Crash.
type crasher struct {
	o      CrashOptions
	server *server
	ledger *ledger
	rng    *rand.Rand
	reads  atomic.Int64
	report CrashReport
}

func (c *crasher) run(ctx context.Context) error {
	fmt.Fprintf(c.o.Progress, "seed %d, %d rounds, %d writers, in %s\n", c.o.Seed, c.o.Rounds, c.o.Writers, c.o.Dir)
	if err := c.startServer(ctx); err != nil {
		return err
	}
	for n := range crashDatabases {
		if err := c.createDatabase(ctx, crashDatabase(n)); err != nil {
			return err
		}
	}
	for round := 1; round <= c.o.Rounds; round++ {
		if err := c.round(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	if err := c.server.stop(c.o.StartTimeout); err != nil {
		return err
	}
	if err := c.startServer(ctx); err != nil {
		return err
	}
	if err := c.readAll(ctx); err != nil {
		return err
	}
	c.report.Complete = true
	return nil
}

// round is one life of the server under load, its death, and what is left after.
func (c *crasher) round(ctx context.Context, number int) error {
	r := &crashRound{
		ledger: c.ledger, target: c.server.target, query: newQueryClient(c.server.target), number: number, reads: &c.reads,
	}
	defer r.query.close()
	var wg sync.WaitGroup
	for id := range c.o.Writers {
		w := newCrashWriter(r, id, c.o.Seed)
		wg.Go(func() { w.run(ctx) })
	}
	watchRNG := rand.New(rand.NewPCG(c.o.Seed, uint64(number)<<32|1<<31))
	wg.Go(func() { r.watch(ctx, c.o.Writers, watchRNG) })

	// Between a twentieth of the time and all of it.
	life := c.o.RoundDuration/20 + time.Duration(c.rng.Int64N(int64(c.o.RoundDuration)*19/20+1))
	pause(ctx, life)
	select {
	case <-c.server.exited:
		c.ledger.violate("round %d: the server exited by itself: %v\n%s", number, c.server.waitErr, c.server.logTail())
	default:
	}
	r.dying.Store(true)
	c.server.kill()
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	c.report.Rounds = number

	for c.rng.IntN(4) == 0 {
		// Die again in the middle of recovery, or shortly after it.
		if err := c.server.start(); err != nil {
			return err
		}
		pause(ctx, time.Duration(c.rng.Int64N(int64(150*time.Millisecond))))
		c.server.kill()
		c.report.KillsInRecovery++
	}
	if err := c.startServer(ctx); err != nil {
		return err
	}
	before := c.ledger.counts
	if err := c.readAll(ctx); err != nil {
		return err
	}
	after := c.ledger.counts
	found, _ := c.ledger.violated()
	fmt.Fprintf(c.o.Progress, "round %2d: killed after %4d ms; %7d batches acknowledged, %d left open (%d kept, %d not); %8d points read; %d violations\n",
		number, life.Milliseconds(), after.Acknowledged, after.Kept-before.Kept+after.Lost-before.Lost,
		after.Kept-before.Kept, after.Lost-before.Lost, c.report.PointsRead, found)
	return nil
}

func (c *crasher) startServer(ctx context.Context) error {
	if err := c.server.start(); err != nil {
		return err
	}
	took, err := c.server.awaitHealth(ctx, c.o.StartTimeout)
	c.report.RecoveryMax = max(c.report.RecoveryMax, took)
	return err
}

func (c *crasher) createDatabase(ctx context.Context, name string) error {
	q := newQueryClient(c.server.target)
	defer q.close()
	return q.run(ctx, "", "CREATE DATABASE "+name, func(*queryRow) error { return nil })
}
