package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// SoakOptions configures Soak. Zero fields mean their defaults.
type SoakOptions struct {
	// Server is the path of the headgate binary, which also makes and restores
	// backups. Required.
	Server string
	// URL is a server that runs already, and PID its process, 0 when that is unknown.
	// It must take everyone (--auth=false). Default: a server of Soak's own.
	URL string
	PID int
	// Duration is how long to write. Default 30 min.
	Duration time.Duration
	// Share is how much of what a short closed loop wrote is written then, in
	// percent, above 0 and at most 100. Default 70.
	Share float64
	// Writers is how many connections write. Default 8.
	Writers int
	// Lines is how many points a batch has. Default 1000.
	Lines int
	// Hosts is how many series a writer has in a generation. Default 100.
	Hosts int
	// Generations is how often new series replace all there were. Default 20.
	Generations int
	// OutOfOrder is the share of points, 0 to 1, that come ten minutes late.
	// Negative means none. Default 0.05.
	OutOfOrder float64
	// Backups is how many are made during the run; the last one is restored and
	// checked. Negative means none. Default 3.
	Backups int
	// Seed makes the data. Default: from the clock.
	Seed uint64
	// StartTimeout is how long a server may take to become healthy. Default 60 s.
	StartTimeout time.Duration
	// Dir is where data, logs and backups go. Default: a new temporary directory,
	// removed when all was well unless Keep is set.
	Dir  string
	Keep bool
	// Progress gets a line about every ten seconds. Default: nobody.
	Progress io.Writer
}

// EnsureDefaults fills in the zero fields.
func (o *SoakOptions) EnsureDefaults() {
	setDefault(&o.Duration, 30*time.Minute)
	setDefault(&o.Share, 70)
	setDefault(&o.Writers, 8)
	setDefault(&o.Lines, 1000)
	setDefault(&o.Hosts, 100)
	setDefault(&o.Generations, 20)
	setDefault(&o.OutOfOrder, 0.05)
	setDefault(&o.Backups, 3)
	setDefault(&o.Seed, uint64(time.Now().UnixNano()))
	setDefault(&o.StartTimeout, time.Minute)
	if o.Progress == nil {
		o.Progress = io.Discard
	}
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *SoakOptions) Validate() error {
	switch {
	case o.Server == "":
		return errors.New("bench: SoakOptions.Server is empty")
	case o.Duration < 0 || o.StartTimeout < 0:
		return errors.New("bench: a duration in SoakOptions is negative")
	case o.Share <= 0 || o.Share > 100:
		return fmt.Errorf("bench: SoakOptions.Share is %g, not above 0 and at most 100", o.Share)
	case o.OutOfOrder > 1:
		return fmt.Errorf("bench: SoakOptions.OutOfOrder is %g, over 1", o.OutOfOrder)
	case o.Writers < 1 || o.Lines < 1 || o.Hosts < 1 || o.Generations < 2:
		return errors.New("bench: SoakOptions.Writers, Lines and Hosts must be positive, Generations over 1")
	}
	return nil
}

// SoakReport is what came of a run of Soak.
type SoakReport struct {
	Kind    string  `json:"kind"` // soak
	Seed    uint64  `json:"seed"`
	Machine Machine `json:"machine"`
	// MaxPointsPerSecond is what the closed loop wrote, Share of it was to be written.
	MaxPointsPerSecond float64 `json:"max_points_per_second"`
	Share              float64 `json:"share_percent"`
	ElapsedSeconds     float64 `json:"elapsed_seconds"`
	// Points were acknowledged, Refused is how often a batch was answered 503; it was
	// sent again.
	Points  int64 `json:"points"`
	Refused int64 `json:"refused"`
	// Queries, Deletes and Backups were answered, the last backup was restored and
	// compared.
	Queries int64 `json:"queries"`
	Deletes int64 `json:"deletes"`
	Backups int64 `json:"backups"`
	// Compactions, Flushes and ExpiredParts are the server's count at the end.
	Compactions  float64 `json:"compactions"`
	Flushes      float64 `json:"flushes"`
	ExpiredParts float64 `json:"expired_parts"`
	// Verified is how many points were compared, by value or by count and sum.
	Verified int64 `json:"verified_points"`
	// Complete is set once all was read back.
	Complete       bool         `json:"complete"`
	ViolationCount int          `json:"violation_count"`
	Violations     []string     `json:"violations,omitempty"`
	Trends         []SoakTrend  `json:"trends"`
	Samples        []SoakSample `json:"samples"`
	// Dir is where the data and the server's logs are, "" once they are removed.
	Dir string `json:"dir,omitempty"`
}

// Passed reports whether all was read back as it should be and nothing grew.
func (r *SoakReport) Passed() bool {
	for _, t := range r.Trends {
		if !t.Flat {
			return false
		}
	}
	return r.Complete && r.ViolationCount == 0
}

// WriteJSON writes the report as one indented JSON object.
func (r *SoakReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteText writes the report for a reader.
func (r *SoakReport) WriteText(w io.Writer) error {
	for _, text := range r.Violations {
		fmt.Fprintf(w, "- %s\n", text)
	}
	fmt.Fprintf(w, "%-24s %14s %14s %14s %14s\n", "second half of the run", "mean", "per hour", "growth", "bound")
	for _, t := range r.Trends {
		verdict := "flat"
		switch {
		case !t.Judged:
			verdict = "not judged: too few samples"
		case !t.Flat:
			verdict = "GROWS"
		}
		fmt.Fprintf(w, "%-24s %14.0f %+14.0f %+14.0f %14.0f  %s\n", t.Name, t.Mean, t.PerHour, t.Growth, t.GrowthMax, verdict)
	}
	verdict := "passed"
	switch {
	case r.ViolationCount > 0:
		verdict = fmt.Sprintf("%d VIOLATIONS", r.ViolationCount)
	case !r.Complete:
		verdict = "the run was not completed"
	case !r.Passed():
		verdict = "FAILED: something grows"
	}
	p50, p99, longest := r.latencies()
	_, err := fmt.Fprintf(w, `%s: %.0f s at %.0f%% of %s points/s, seed %d
%d points acknowledged, %d refusals; %d queries, %d deletes, %d backups; %d points compared
latency in the median second: p50 %.1f ms, p99 %.1f ms; longest %.0f ms
flushes %.0f, compactions %.0f, expired parts %.0f
`, verdict, r.ElapsedSeconds, r.Share, short(r.MaxPointsPerSecond), r.Seed, r.Points, r.Refused, r.Queries, r.Deletes, r.Backups, r.Verified,
		p50, p99, longest, r.Flushes, r.Compactions, r.ExpiredParts)
	if r.Dir != "" {
		fmt.Fprintf(w, "data and logs: %s\n", r.Dir)
	}
	return err
}

// Soak writes to a server for a long time, at a share of what it takes, while series
// come and go, queries run, points are deleted and expire, and backups are made. In
// the end it compares all there is with all that was acknowledged, and says what has
// grown. A report with violations or with growth is no error; an error means that
// the run could not be made, and comes with what was found until then.
func Soak(ctx context.Context, o SoakOptions) (*SoakReport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	madeDir := o.Dir == ""
	if madeDir {
		dir, err := os.MkdirTemp("", "headgate-soak-")
		if err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
		o.Dir = dir
	} else if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s := &soaker{
		o: o, server: &server{binary: o.Server, dir: o.Dir}, pid: o.PID, ledger: newSoakLedger(o.Writers),
		report: SoakReport{Kind: "soak", Seed: o.Seed, Share: o.Share, Dir: o.Dir, Machine: thisMachine()},
	}
	defer s.server.kill()
	err := s.run(ctx)
	s.server.kill()
	r := &s.report
	r.Queries, r.Deletes, r.Backups = s.queries.Load(), s.deletes.Load(), s.backups.Load()
	for _, l := range []*violations{&s.ledger.found, s.crashFound()} {
		r.ViolationCount += l.n
		r.Violations = append(r.Violations, l.texts...)
	}
	if madeDir && !o.Keep && err == nil && r.ViolationCount == 0 {
		r.Dir = ""
		if err := os.RemoveAll(o.Dir); err != nil {
			return r, fmt.Errorf("bench: %w", err)
		}
	}
	return r, err
}

// soaker is one run of Soak.
type soaker struct {
	o      SoakOptions
	server *server
	pid    int
	ledger *soakLedger
	// crash holds a second ledger, whose points are compared one by one.
	crash  *crasher
	lastly *soakBackup

	queries, deletes, backups atomic.Int64
	queryMax                  atomic.Int64 // since the last sample, ns
	report                    SoakReport
}

func (s *soaker) crashFound() *violations {
	if s.crash == nil {
		return &violations{}
	}
	return &s.crash.ledger.found
}

func (s *soaker) run(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	batches, err := s.findMax(ctx)
	if err != nil {
		return err
	}
	s.report.MaxPointsPerSecond = batches * float64(s.o.Lines)
	rate := batches * s.o.Share / 100
	fmt.Fprintf(s.o.Progress, "seed %d, in %s: closed loop %s points/s, so %.1f batches/s of %d for %v\n",
		s.o.Seed, s.o.Dir, short(s.report.MaxPointsPerSecond), rate, s.o.Lines, s.o.Duration)
	if err := s.load(ctx, rate); err != nil {
		return err
	}
	if err := s.verify(ctx); err != nil {
		return err
	}
	s.report.Trends = soakTrends(s.report.Samples)
	s.report.Complete = true
	return nil
}

// open starts the server, unless there is one, and makes the databases.
func (s *soaker) open(ctx context.Context) error {
	if s.o.URL != "" {
		t, err := ParseTarget(s.o.URL)
		if err != nil {
			return err
		}
		s.server.target = t
	} else if err := s.start(ctx, s.server); err != nil {
		return err
	}
	q := newQueryClient(s.server.target)
	defer q.close()
	s.crash = &crasher{server: s.server, ledger: newLedger(crashData{s.o.Seed}, 2)}
	for n := range crashDatabases {
		if err := s.crash.createDatabase(ctx, crashDatabase(n)); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		"CREATE DATABASE " + soakDatabase,
		fmt.Sprintf("CREATE DATABASE %s WITH DURATION %s", soakShortDatabase, "1h"),
	} {
		if err := q.run(ctx, "", statement, func(*queryRow) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (s *soaker) start(ctx context.Context, of *server) error {
	if err := of.start(); err != nil {
		return err
	}
	if of == s.server {
		s.pid = of.cmd.Process.Pid
	}
	_, err := of.awaitHealth(ctx, s.o.StartTimeout)
	return err
}

// writers makes the writers of a run that begins now.
func (s *soaker) writers(l *soakLedger, schedule *arrivals, length time.Duration) []*soakWriter {
	begin := time.Now()
	ws := make([]*soakWriter, s.o.Writers)
	for id := range ws {
		ws[id] = &soakWriter{
			loadWorker: &loadWorker{target: s.server.target, timeout: time.Minute, schedule: schedule, begin: begin, statuses: map[int]int64{}},
			ledger:     l, id: id, seed: s.o.Seed, lines: s.o.Lines, hosts: s.o.Hosts, outOfOrder: max(s.o.OutOfOrder, 0),
			generation: func(at time.Duration) int { return int(at * time.Duration(s.o.Generations) / length) },
			shortEvery: 20, shortLife: min(max(length/4, 2*time.Second), time.Minute),
		}
	}
	return ws
}

// findMax returns how many batches a second a closed loop wrote. They are written as
// generation -1, and stay.
func (s *soaker) findMax(ctx context.Context) (float64, error) {
	length := min(max(s.o.Duration/30, 500*time.Millisecond), 20*time.Second)
	ws := s.writers(s.ledger, nil, length)
	stop, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	begin := time.Now()
	var wg sync.WaitGroup
	for _, w := range ws {
		w.generation, w.shortEvery = func(time.Duration) int { return -1 }, 0
		wg.Go(func() { w.run(stop) })
	}
	wg.Wait()
	var points int64
	for _, w := range ws {
		points += w.pointsAcked
	}
	s.report.Points += points
	if points == 0 {
		return 0, errors.New("bench: soak: the server accepted nothing")
	}
	return float64(points) / float64(s.o.Lines) / time.Since(begin).Seconds(), ctx.Err()
}

// load is the run itself.
func (s *soaker) load(ctx context.Context, rate float64) error {
	ws := s.writers(s.ledger, newArrivals(Poisson, rate, 1<<20, s.o.Seed), s.o.Duration)
	for _, w := range ws {
		w.points = 1 << 40 // other times than those of findMax
	}
	stop, cancel := context.WithTimeout(ctx, s.o.Duration)
	defer cancel()
	begin := time.Now()
	var writing, others sync.WaitGroup
	for _, w := range ws {
		writing.Go(func() { w.run(stop) })
	}
	round := &crashRound{ledger: s.crash.ledger, target: s.server.target, query: newQueryClient(s.server.target), number: 1, reads: &s.queries, pace: 20 * time.Millisecond}
	defer round.query.close()
	for id := range 2 {
		w := newCrashWriter(round, id, s.o.Seed)
		writing.Go(func() { w.run(stop) })
	}
	others.Go(func() { s.ask(stop) })
	others.Go(func() { s.deleteGenerations(stop) })
	others.Go(func() { s.backUp(stop) })
	s.sample(stop, begin, ws)
	round.dying.Store(true)
	writing.Wait()
	others.Wait()
	s.report.ElapsedSeconds = time.Since(begin).Seconds()
	for _, w := range ws {
		s.report.Points += w.pointsAcked
		s.report.Refused += w.refused
	}
	return ctx.Err()
}

// sample takes a sample a second until ctx is done.
func (s *soaker) sample(ctx context.Context, begin time.Time, ws []*soakWriter) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	last, told := begin, begin
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		sample, metrics := takeSoakSample(ctx, s.server.target, s.pid)
		if metrics == nil {
			if ctx.Err() == nil {
				s.ledger.violate("no metrics after %v", time.Since(begin).Round(time.Second))
			}
			continue
		}
		var live liveCounts
		for _, w := range ws {
			w.live.moveTo(&live)
		}
		now := time.Now()
		sample.Seconds, sample.PointsPerSecond, sample.Failed = now.Sub(begin).Seconds(), float64(live.points)/now.Sub(last).Seconds(), live.failed
		sample.LatencyP50Millis, sample.LatencyP99Millis, sample.LatencyMaxMillis = millis(live.latencies.Quantile(0.5)), millis(live.latencies.Quantile(0.99)), millis(live.latencies.Max())
		sample.QueryMaxMillis = millis(time.Duration(s.queryMax.Swap(0)))
		last = now
		s.report.Samples = append(s.report.Samples, sample)
		s.report.Compactions, s.report.Flushes = metrics["headgate_store_compactions_total"], metrics["headgate_store_flushes_total"]
		s.report.ExpiredParts = metrics["headgate_store_expired_parts_total"]
		if now.Sub(told) >= 10*time.Second {
			told = now
			fmt.Fprintf(s.o.Progress, "%5.0f s: %s points/s, p99 %.1f ms, %.0f MiB resident, %.0f goroutines, %.0f descriptors, log %.0f MiB, data %.0f MiB, %.0f series\n",
				sample.Seconds, short(sample.PointsPerSecond), sample.LatencyP99Millis, sample.RSSBytes/(1<<20), sample.Goroutines, sample.Descriptors,
				sample.LogBytes/(1<<20), sample.DataBytes/(1<<20), sample.Series)
		}
	}
}

// latencies returns medians over the samples, and the longest.
func (r *SoakReport) latencies() (p50, p99, longest float64) {
	var p50s, p99s []float64
	for _, s := range r.Samples {
		p50s, p99s = append(p50s, s.LatencyP50Millis), append(p99s, s.LatencyP99Millis)
		longest = max(longest, s.LatencyMaxMillis)
	}
	p50, _, _ = medianOf(p50s)
	p99, _, _ = medianOf(p99s)
	return p50, p99, longest
}
