package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// OverloadReport is what came of one run of Overload.
type OverloadReport struct {
	// Kind is "overload".
	Kind           string  `json:"kind"`
	Machine        Machine `json:"machine"`
	MemoryBytesMax int64   `json:"memory_bytes_max"`
	// Phases are, for each kind of bodies, the maximum and then the overloads.
	Phases []*OverloadPhase `json:"phases"`
	// Violations says which bounds were broken, in words.
	Violations []string `json:"violations,omitempty"`
}

// OverloadPhase is one rate of one kind of bodies.
type OverloadPhase struct {
	// Bodies is small or large; Lines how many lines one has.
	Bodies string `json:"bodies"`
	Lines  int    `json:"lines"`
	Conns  int    `json:"conns"`
	// Factor is the rate in multiples of the maximum; 0 for the maximum itself, which
	// is measured in the closed loop.
	Factor  float64 `json:"factor"`
	Seconds float64 `json:"seconds"`
	// OfferedPerSecond is the rate at which requests arrive; TurnedAway counts those
	// that found no connection free, because the server or the client was busy.
	OfferedPerSecond float64 `json:"offered_per_second"`
	TurnedAway       int64   `json:"turned_away"`

	Accepted          int64   `json:"accepted"`
	AcceptedPerSecond float64 `json:"accepted_per_second"`
	// Goodput is the accepted rate as a share of the maximum; GoodputFair, where the
	// machine was busy, that of accepted requests per second of the server's CPU.
	Goodput     float64 `json:"goodput"`
	GoodputFair float64 `json:"goodput_fair"`
	// Latencies are from when a request was sent.
	AcceptedP50Millis float64 `json:"accepted_p50_ms"`
	AcceptedP99Millis float64 `json:"accepted_p99_ms"`
	Refused           int64   `json:"refused"`
	RefusedP50Millis  float64 `json:"refused_p50_ms"`
	// CPUMillisPerHundredRefused is what the server used beyond what the accepted
	// requests cost at the maximum.
	CPUMillisPerHundredRefused float64 `json:"cpu_ms_per_hundred_refused"`
	// Retry-After of the refusals, in seconds, and how many had none.
	RetryAfterMin     int   `json:"retry_after_min"`
	RetryAfterMedian  int   `json:"retry_after_median"`
	RetryAfterMax     int   `json:"retry_after_max"`
	RetryAfterMissing int64 `json:"retry_after_missing"`
	// Other counts answers that are neither 2xx nor 503, Broken connections that could
	// not be made or broke before an answer.
	Other      int64  `json:"other"`
	Broken     int64  `json:"broken"`
	FirstError string `json:"first_error,omitempty"`

	ServerCPUSeconds float64 `json:"server_cpu_seconds"`
	ClientCPUSeconds float64 `json:"client_cpu_seconds"`
	RSSPeakBytes     int64   `json:"rss_peak_bytes"`
	// IdleShare is how much of the machine nobody used.
	IdleShare float64 `json:"idle_share"`
	// RecoverySeconds is from the end of the overload to the last refusal.
	RecoverySeconds float64 `json:"recovery_seconds"`

	// Modest is the client that sends little to a bucket of its own.
	Modest  OverloadSide `json:"modest"`
	Queries OverloadSide `json:"queries"`
}

// OverloadSide is what a client beside the overload saw.
type OverloadSide struct {
	Requests   int64   `json:"requests"`
	Success    float64 `json:"success"`
	P99Millis  float64 `json:"p99_ms"`
	FirstError string  `json:"first_error,omitempty"`
}

// The bounds that a server has to keep.
const (
	goodputMin        = 0.9
	acceptedSlack     = time.Second // over the admission wait
	refusalMillisMax  = 1.0         // of CPU, per hundred
	refusalsMeasured  = 1000        // fewer cannot be told from noise
	brokenShareMax    = 0.001
	modestSuccessMin  = 1.0
	queriesSuccessMin = 1.0
)

// judge fills in Violations.
func (r *OverloadReport) judge(o *OverloadOptions) {
	for _, p := range r.Phases {
		say := func(format string, args ...any) {
			r.Violations = append(r.Violations, fmt.Sprintf("%s bodies, %gx: %s", p.Bodies, p.Factor, fmt.Sprintf(format, args...)))
		}
		if o.MemoryBytesMax > 0 && p.RSSPeakBytes > o.MemoryBytesMax {
			say("resident memory reached %s, over the budget of %s", humanize.IBytes(uint64(p.RSSPeakBytes)), humanize.IBytes(uint64(o.MemoryBytesMax)))
		}
		if p.Other > 0 {
			say("%d answers are neither 2xx nor 503: %s", p.Other, p.FirstError)
		}
		if p.RetryAfterMissing > 0 {
			say("%d refusals without Retry-After", p.RetryAfterMissing)
		}
		if p.RetryAfterMax > int(o.RetryAfterMax/time.Second) {
			say("Retry-After %d s, over the most of %s", p.RetryAfterMax, o.RetryAfterMax)
		}
		if p.Queries.Success < queriesSuccessMin {
			say("%.2f %% of queries were answered: %s", 100*p.Queries.Success, p.Queries.FirstError)
		}
		if p.Modest.Success < modestSuccessMin {
			say("%.2f %% of the modest client's writes were taken: %s", 100*p.Modest.Success, p.Modest.FirstError)
		}
		bound := o.AdmissionWait + acceptedSlack
		if p.Modest.P99Millis > millis(bound) {
			say("p99 of the modest client is %.0f ms, over %s", p.Modest.P99Millis, bound)
		}
		if p.Factor == 0 {
			continue
		}
		if max(p.Goodput, p.GoodputFair) < goodputMin {
			say("goodput is %.0f %% of the maximum, %.0f %% of it per second of CPU", 100*p.Goodput, 100*p.GoodputFair)
		}
		if p.AcceptedP99Millis > millis(bound) {
			say("p99 of accepted writes is %.0f ms, over %s", p.AcceptedP99Millis, bound)
		}
		if p.Refused >= refusalsMeasured && p.CPUMillisPerHundredRefused > refusalMillisMax {
			say("a hundred refusals cost %.2f ms of CPU", p.CPUMillisPerHundredRefused)
		}
		if float64(p.Broken) > brokenShareMax*float64(p.Accepted+p.Refused) {
			say("%d connections broke before an answer: %s", p.Broken, p.FirstError)
		}
		if p.RecoverySeconds > o.RecoveryMax.Seconds() {
			say("the last 503 came %.1f s after the end", p.RecoverySeconds)
		}
	}
}

// WriteJSON writes the report as one indented JSON object.
func (r *OverloadReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the report for a reader, a column for each phase.
func (r *OverloadReport) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, cell func(p *OverloadPhase) string) {
		fmt.Fprint(t, name)
		for _, p := range r.Phases {
			fmt.Fprintf(t, "\t%s", cell(p))
		}
		fmt.Fprintln(t)
	}
	overloaded := func(cell func(p *OverloadPhase) string) func(*OverloadPhase) string {
		return func(p *OverloadPhase) string {
			if p.Factor == 0 {
				return "-"
			}
			return cell(p)
		}
	}
	row("", func(p *OverloadPhase) string {
		if p.Factor == 0 {
			return p.Bodies + " max"
		}
		return fmt.Sprintf("%s %gx", p.Bodies, p.Factor)
	})
	row("connections", func(p *OverloadPhase) string { return fmt.Sprint(p.Conns) })
	row("offered /s", overloaded(func(p *OverloadPhase) string { return fmt.Sprintf("%.0f", p.OfferedPerSecond) }))
	row("of these found a connection free", overloaded(func(p *OverloadPhase) string {
		return fmt.Sprintf("%.0f %%", 100*(1-float64(p.TurnedAway)/(p.OfferedPerSecond*p.Seconds)))
	}))
	row("accepted /s", func(p *OverloadPhase) string { return fmt.Sprintf("%.0f", p.AcceptedPerSecond) })
	row("goodput of the maximum", overloaded(func(p *OverloadPhase) string { return fmt.Sprintf("%.0f %%", 100*p.Goodput) }))
	row("same, per CPU of the server", overloaded(func(p *OverloadPhase) string { return fmt.Sprintf("%.0f %%", 100*p.GoodputFair) }))
	row("accepted p50, p99 ms", func(p *OverloadPhase) string {
		return fmt.Sprintf("%.0f, %.0f", p.AcceptedP50Millis, p.AcceptedP99Millis)
	})
	row("refused /s", func(p *OverloadPhase) string { return fmt.Sprintf("%.0f", float64(p.Refused)/p.Seconds) })
	row("CPU ms per 100 refused", overloaded(func(p *OverloadPhase) string { return fmt.Sprintf("%.2f", p.CPUMillisPerHundredRefused) }))
	row("Retry-After min/med/max s", func(p *OverloadPhase) string {
		return fmt.Sprintf("%d/%d/%d", p.RetryAfterMin, p.RetryAfterMedian, p.RetryAfterMax)
	})
	row("Retry-After missing", func(p *OverloadPhase) string { return fmt.Sprint(p.RetryAfterMissing) })
	row("other answers, broken", func(p *OverloadPhase) string { return fmt.Sprintf("%d, %d", p.Other, p.Broken) })
	row("server, client CPUs, idle", func(p *OverloadPhase) string {
		return fmt.Sprintf("%.2f, %.2f, %.0f %%", p.ServerCPUSeconds/p.Seconds, p.ClientCPUSeconds/p.Seconds, 100*p.IdleShare)
	})
	row("resident peak", func(p *OverloadPhase) string { return humanize.IBytes(uint64(p.RSSPeakBytes)) })
	row("modest client taken, p99 ms", func(p *OverloadPhase) string {
		return fmt.Sprintf("%.1f %%, %.0f", 100*p.Modest.Success, p.Modest.P99Millis)
	})
	row("queries answered, p99 ms", func(p *OverloadPhase) string {
		return fmt.Sprintf("%.1f %%, %.0f", 100*p.Queries.Success, p.Queries.P99Millis)
	})
	row("last 503 after, s", overloaded(func(p *OverloadPhase) string { return fmt.Sprintf("%.2f", p.RecoverySeconds) }))
	if err := t.Flush(); err != nil {
		return err
	}
	for _, v := range r.Violations {
		fmt.Fprintf(w, "- %s\n", v)
	}
	verdict := "all bounds kept"
	if len(r.Violations) > 0 {
		verdict = fmt.Sprintf("%d BOUNDS BROKEN", len(r.Violations))
	}
	_, err := fmt.Fprintf(w, "%s; budget %s; %s, %d CPUs, client and server share them\n", verdict, humanize.IBytes(uint64(r.MemoryBytesMax)), r.Machine.CPU, r.Machine.CPUs)
	return err
}
