package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"headgate/cmd/headgate/client"
)

type statusFlags struct {
	once     bool
	interval time.Duration
}

func statusCommand() *command {
	return &command{name: "status", about: "Shows how a server does: rates, queues, refusals, memory, disk and health, again and again until it is interrupted.\nOn a terminal the view stays in place, elsewhere each look is one line.", flags: func(c *call) {
		f := new(statusFlags)
		c.values = f
		c.flag(&f.once, "once", "", "show it once, with rates since the server's start, and fail when the server is not healthy")
		c.flag(&c.common.json, "json", "", "show each look as a JSON object on a line: time, health, and the metrics of Headgate without their labels")
		c.set.DurationVar(&f.interval, "interval", 2*time.Second, "`time` between two looks, 100ms or more")
	}, run: runStatus}
}

// reading is what a server said of itself at a moment.
type reading struct {
	at      time.Time
	values  map[string]float64 // sums over all labels
	refused map[string]float64 // by reason
	health  string
	fails   bool
}

func runStatus(ctx context.Context, c *call) error {
	f := c.values.(*statusFlags)
	if f.interval < 100*time.Millisecond {
		return usagef("--interval is 100ms or more")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	var last, shown *reading // shown is what last was compared with
	var screen screen
	live := !f.once && !c.common.json && Live(c.Stdout)
	if live {
		defer fmt.Fprintln(c.Stdout) // whoever interrupts it sees ^C
	}
	for {
		now, err := look(ctx, cl)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err != nil && (f.once || last == nil):
			return err
		case err != nil && live:
			gone := *last
			gone.health = fmt.Sprintf("no news since %s; what follows is from then\n%s", last.at.Format(time.TimeOnly), printable(err.Error()))
			if err := screen.draw(c.Stdout, statusRows(&gone, shown)); err != nil {
				return err
			}
		case err != nil && c.common.json:
			if err := json.NewEncoder(c.Stdout).Encode(map[string]any{"time": time.Now().UTC(), "healthy": false, "health": err.Error()}); err != nil {
				return err
			}
		case err != nil:
			fmt.Fprintf(c.Stdout, "%s %s\n", time.Now().Format(time.TimeOnly), printable(err.Error()))
		case c.common.json:
			if err := now.writeJSON(c.Stdout); err != nil {
				return err
			}
		case live:
			if err := screen.draw(c.Stdout, statusRows(now, last)); err != nil {
				return err
			}
		case f.once:
			c.common.hideHeaders = false
			if err := c.table(statusRows(now, last)); err != nil {
				return err
			}
		case last != nil:
			fmt.Fprintf(c.Stdout, "%s %s points/s, %s writes/s, %s refused/s, %s in flight, %s waiting, memory %s, %s\n", now.at.Format(time.TimeOnly),
				si(now.rate(last, "headgate_points_written_total")), si(now.rate(last, "headgate_writes_total")), si(now.rate(last, "headgate_gate_refusals_total")),
				bytesText(now.values["headgate_gate_bytes"]), si(now.values["headgate_gate_waiting"]), bytesText(now.values["headgate_memory_bytes"]), printable(now.health))
		}
		if f.once {
			if now.fails {
				return errReported
			}
			return nil
		}
		if err == nil {
			last, shown = now, last
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.interval):
		}
	}
}

// look asks for metrics and health.
func look(ctx context.Context, cl *client.Client) (*reading, error) {
	r := &reading{values: make(map[string]float64), refused: make(map[string]float64), health: "pass"}
	remark, err := askHealth(ctx, cl)
	if err != nil {
		refused, ok := errors.AsType[*client.Error](err)
		if !ok || refused.Status != http.StatusServiceUnavailable {
			return nil, err
		}
		r.health, r.fails = "fail: "+refused.Message, true
	} else if remark != "" {
		r.health = "pass: " + remark
	}
	resp, err := cl.Do(ctx, client.Request{Method: http.MethodGet, Path: "/metrics"})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	r.at = time.Now()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("the metrics make no sense: %w", err)
	}
	for name, family := range families {
		for _, m := range family.Metric {
			v := valueOf(m)
			r.values[name] += v
			if name == "headgate_gate_refusals_total" && len(m.Label) > 0 {
				r.refused[m.Label[0].GetValue()] += v
			}
		}
	}
	if _, ok := r.values["headgate_points_written_total"]; !ok {
		return nil, errors.New("the server has no metrics of Headgate (is it Headgate that runs there?)")
	}
	return r, nil
}

// askHealth asks whether the server is healthy. It is in spite of a remark.
func askHealth(ctx context.Context, cl *client.Client) (remark string, err error) {
	resp, err := cl.Do(ctx, client.Request{Method: http.MethodGet, Path: "/health"})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var said struct {
		Message string `json:"message"`
		Checks  []any  `json:"checks"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&said) == nil && len(said.Checks) > 0 {
		remark = said.Message
	}
	return remark, nil
}

// writeJSON writes a reading as one line.
func (r *reading) writeJSON(w io.Writer) error {
	metrics := make(map[string]float64)
	for name, v := range r.values {
		if strings.HasPrefix(name, "headgate_") && !math.IsNaN(v) && !math.IsInf(v, 0) {
			metrics[name] = v
		}
	}
	return json.NewEncoder(w).Encode(map[string]any{"time": r.at.UTC(), "healthy": !r.fails, "health": r.health, "refusals": r.refused, "metrics": metrics})
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Untyped != nil:
		return m.Untyped.GetValue()
	}
	return 0
}

// rate is what a counter gained a second since last, or since the server's start.
func (r *reading) rate(last *reading, name string) float64 {
	v, seconds := r.values[name], 0.0
	if last != nil {
		v, seconds = max(0, v-last.values[name]), r.at.Sub(last.at).Seconds()
	} else if started := r.values["process_start_time_seconds"]; started > 0 {
		seconds = float64(r.at.UnixMilli())/1000 - started
	}
	if seconds <= 0 {
		return 0
	}
	return v / seconds
}

func si(v float64) string {
	if v < 10 && v != float64(int(v)) {
		return fmt.Sprintf("%.1f", v)
	}
	return humanize.Comma(int64(v + 0.5))
}

func bytesText(v float64) string { return humanize.IBytes(uint64(max(0, v))) }

// screen is a view that stays in place. It leaves the cursor in the line below.
type screen struct{ drawn bool }

// draw draws rows over what was drawn before, as far as the terminal has room now.
func (s *screen) draw(w io.Writer, rows [][]string) error {
	columns, height := Size(w)
	var text, out strings.Builder
	align(&text, rows)
	if !s.drawn {
		s.drawn = true
		out.WriteString("\x1b[2J")
	}
	out.WriteString("\x1b[H")
	n := 0
	for line := range strings.Lines(text.String()) {
		if n++; n == height {
			break
		}
		out.WriteString(Clip(strings.TrimRight(line, "\n"), columns-1) + clearLine + "\n")
	}
	out.WriteString("\x1b[J")
	_, err := io.WriteString(w, out.String())
	return err
}

// statusRows is all of a reading, as a table. Health may have several lines.
func statusRows(r, last *reading) [][]string {
	v := r.values
	rate := func(name string) string { return si(r.rate(last, name)) + "/s" }
	var reasons []string
	for reason, n := range r.refused {
		if n > 0 {
			reasons = append(reasons, fmt.Sprintf("%s %s", reason, si(n)))
		}
	}
	var rows [][]string
	for i, line := range strings.Split(strings.TrimRight(r.health, "\n"), "\n") {
		rows = append(rows, []string{map[bool]string{true: "health"}[i == 0], line})
	}
	return append(rows, [][]string{
		{"points", rate("headgate_points_written_total"), si(v["headgate_points_written_total"]) + " written", si(v["headgate_points_dropped_total"]) + " dropped"},
		{"writes", rate("headgate_writes_total"), si(v["headgate_gate_requests"]) + " in flight", si(v["headgate_gate_waiting"]) + " waiting"},
		{"refused", rate("headgate_gate_refusals_total"), si(v["headgate_gate_refusals_total"]) + " in all", strings.Join(reasons, ", ")},
		{"line protocol", bytesText(r.rate(last, "headgate_line_protocol_bytes_total")) + "/s", bytesText(v["headgate_line_protocol_bytes_total"]) + " in all"},
		{"queue", bytesText(v["headgate_gate_bytes"]), "of " + bytesText(v["headgate_gate_bytes_max"])},
		{"memory", bytesText(v["headgate_memory_bytes"]), "of " + bytesText(v["headgate_memory_bytes_max"])},
		{"log", rate("headgate_wal_syncs_total") + " syncs", bytesText(v["headgate_wal_disk_bytes"]) + " on disk"},
		{"store", si(v["headgate_points"]) + " points", bytesText(v["headgate_store_disk_bytes"]) + " on disk", si(v["headgate_store_failures_total"]) + " failures"},
		{"disk", bytesText(v["headgate_disk_free_bytes"]) + " free", "of " + bytesText(v["headgate_disk_bytes"])},
		{"buckets", si(v["headgate_buckets"]), si(v["headgate_buckets_unavailable"]) + " unavailable", si(v["headgate_series"]) + " series"},
		{"queries", si(v["headgate_queries_running"]) + " running", count(int64(v["headgate_http_connections"]), "connection")},
	}...)
}

func pingCommand() *command {
	return &command{name: "ping", about: "Asks a server whether it takes writes: prints OK, or fails and says why.", run: func(ctx context.Context, c *call) error {
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		if err := cl.JSON(ctx, http.MethodGet, "/health", nil, nil, nil); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.Stdout, "OK")
		return err
	}}
}
