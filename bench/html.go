package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pageStyle is all the style there is: the page loads nothing.
const pageStyle = `
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1320px; padding: 0 1em; color: #222; background: #fff; }
h1, h2 { font-weight: 600; line-height: 1.2; } h2 { margin-top: 2.5em; border-top: 1px solid #8884; padding-top: 1em; }
table { border-collapse: collapse; margin: 1em 0; } td, th { padding: .2em .9em .2em 0; text-align: left; font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid #8888; } .spreadtext { opacity: .65; } .note { color: #c0392b; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr)); gap: 1em; align-items: start; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } svg text { fill: currentColor; } svg .title { font-weight: 600; font-size: 13px; }
.grid { stroke: #8884; fill: none; } .line { fill: none; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; stroke-opacity: .85; }
.spread { stroke: currentColor; fill: none; stroke-width: 1.2; } .key { display: inline-block; width: .9em; height: .9em; margin: 0 .4em 0 1.2em; vertical-align: -.1em; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181a1c; } .note { color: #ff8a7a; } }
`

// barMetrics are the figures that get bars; the table has all.
var barMetrics = []string{"points/s", "requests/s", "CPU s per million values", "latency p99 ms", "peak RSS MiB", "data directory MB"}

// section is one comparison of the page.
type section struct {
	title string
	*CompareReport
}

// pageSection is a part of the page.
type pageSection interface{ write(b *bytes.Buffer) }

// WriteHTML reads the JSON files of Load, Compare, Query, Size and Soak and writes one page
// with their tables and diagrams. It needs nothing from the network and no scripts. Every
// comparison has its own section; the load runs share one, side by side in the
// order given.
func WriteHTML(w io.Writer, files ...string) error {
	sections, err := readSections(files)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>headgate bench</title>\n<style>" +
		pageStyle + "</style>\n</head>\n<body>\n<h1>headgate bench</h1>\n")
	for _, s := range sections {
		s.write(&b)
	}
	b.WriteString("</body>\n</html>\n")
	_, err = w.Write(b.Bytes())
	return err
}

func readSections(files []string) ([]pageSection, error) {
	loads := &section{"load runs", &CompareReport{Kind: "compare"}}
	var sections []pageSection
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("bench: report: %w", err)
		}
		var kind struct{ Kind string }
		if err := json.Unmarshal(text, &kind); err != nil {
			return nil, fmt.Errorf("bench: report %s: %w", name, err)
		}
		title := strings.TrimSuffix(filepath.Base(name), ".json")
		switch kind.Kind {
		case "load":
			l := &LoadReport{}
			if err := json.Unmarshal(text, l); err != nil {
				return nil, fmt.Errorf("bench: report %s: %w", name, err)
			}
			loads.Targets = append(loads.Targets, TargetReport{title, []*LoadReport{l}})
		case "compare":
			c := &CompareReport{}
			if err := readChecked(text, c); err != nil {
				return nil, fmt.Errorf("bench: report %s: %w", name, err)
			}
			sections = append(sections, &section{title, c})
		case "query":
			q := &QueryReport{}
			if err := readChecked(text, q); err != nil {
				return nil, fmt.Errorf("bench: report %s: %w", name, err)
			}
			sections = append(sections, querySection{title, q})
		case "size":
			s := &SizeReport{}
			if err := readChecked(text, s); err != nil {
				return nil, fmt.Errorf("bench: report %s: %w", name, err)
			}
			sections = append(sections, sizeSection{title, s})
		case "soak":
			r := &SoakReport{}
			if err := readChecked(text, r); err != nil {
				return nil, fmt.Errorf("bench: report %s: %w", name, err)
			}
			sections = append(sections, soakSection{title, r})
		default:
			return nil, fmt.Errorf("bench: report %s: kind %q is none of load, compare, query, size and soak", name, kind.Kind)
		}
	}
	if len(loads.Targets) > 0 {
		loads.compare()
		sections = append(sections, loads)
	}
	if len(sections) == 0 {
		return nil, fmt.Errorf("bench: report: no files")
	}
	return sections, nil
}

// readChecked reads JSON into a report.
func readChecked(text []byte, r interface{ check() error }) error {
	if err := json.Unmarshal(text, r); err != nil {
		return err
	}
	return r.check()
}

// check says what a file lacks that WriteJSON writes always.
func (r *CompareReport) check() error {
	if len(r.Targets) == 0 {
		return fmt.Errorf("there are no targets")
	}
	for _, t := range r.Targets {
		if len(t.Rounds) == 0 || len(t.Rounds) != len(r.Targets[0].Rounds) || slices.Contains(t.Rounds, nil) {
			return fmt.Errorf("target %q has %d rounds", t.Name, len(t.Rounds))
		}
	}
	for _, m := range r.Metrics {
		if len(m.Targets) != len(r.Targets) {
			return fmt.Errorf("figure %q has %d targets", m.Name, len(m.Targets))
		}
	}
	return nil
}

func (s *section) write(b *bytes.Buffer) {
	first := s.Targets[0].Rounds[0]
	fmt.Fprintf(b, "<h2>%s</h2>\n", html.EscapeString(s.title))
	writeMachine(b, first.Machine)
	last := ""
	for _, t := range s.Targets {
		if text := t.Rounds[0].workloadText(); text != last {
			fmt.Fprintf(b, "<br/>%s", html.EscapeString(text))
			last = text
		}
	}
	fmt.Fprintf(b, "<br/>rounds: %d, %.0f s each</p>\n<p>", len(s.Targets[0].Rounds), first.ElapsedSeconds)
	for i, t := range s.Targets {
		fmt.Fprintf(b, `<span class="key" style="background:%s"></span>%s`, colour(i), html.EscapeString(t.Name))
	}
	b.WriteString("</p>\n")
	s.table(b)
	b.WriteString("<div class=\"charts\">\n")
	for _, m := range s.Metrics {
		if slices.Contains(barMetrics, m.Name) {
			s.bars(m).svg(b)
		}
	}
	for _, c := range s.lineCharts() {
		c.svg(b)
	}
	b.WriteString("</div>\n")
}

func (s *section) table(b *bytes.Buffer) {
	b.WriteString("<table>\n<tr><th>median [lowest-highest], ratio to the first in the same round</th>")
	for _, t := range s.Targets {
		fmt.Fprintf(b, "<th>%s</th>", html.EscapeString(t.Name))
	}
	b.WriteString("</tr>\n")
	for _, m := range s.Metrics {
		fmt.Fprintf(b, "<tr><td>%s</td>", html.EscapeString(m.Name))
		for i, stat := range m.Targets {
			median, spread, _ := strings.Cut(stat.text(i > 0), " ")
			fmt.Fprintf(b, `<td>%s <span class="spreadtext">%s</span></td>`, median, spread)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("<tr><td>answers by status</td>")
	for _, t := range s.Targets {
		fmt.Fprintf(b, "<td>%s</td>", html.EscapeString(t.statusText()))
	}
	b.WriteString("</tr>\n</table>\n")
	for _, t := range s.Targets {
		for _, l := range t.Rounds {
			if l.FirstError != "" {
				fmt.Fprintf(b, "<p class=\"note\">%s: first error: %s</p>\n", html.EscapeString(t.Name), html.EscapeString(l.FirstError))
				break
			}
		}
	}
}

func (s *section) bars(m MetricCompare) *barChart {
	better := "less is better"
	if m.MoreIsBetter {
		better = "more is better"
	}
	c := &barChart{title: m.Name + " (" + better + ")"}
	for i, t := range s.Targets {
		stat := m.Targets[i]
		c.bars = append(c.bars, bar{t.Name, stat.Median, stat.Min, stat.Max, i, stat.Ratio, stat.Rounds == 0})
	}
	return c
}

// lineCharts returns throughput and latency over time, a line a round, and the
// distribution of the latencies of all rounds.
func (s *section) lineCharts() []*chart {
	throughput := &chart{title: "throughput over time", xLabel: "seconds since the round began", yLabel: "points/s"}
	latency := &chart{title: "latency p99 over time", xLabel: "seconds since the round began", yLabel: "ms", logY: true}
	distribution := &chart{title: "latency distribution, all rounds", xLabel: "percentile", yLabel: "ms", logY: true}
	for i, t := range s.Targets {
		var all []LatencyCount
		for round, l := range t.Rounds {
			label := fmt.Sprintf("%s, round %d", t.Name, round+1)
			var points, p99 []chartPoint
			for _, v := range l.Timeline {
				points = append(points, chartPoint{v.Seconds, v.PointsPerSecond})
				p99 = append(p99, chartPoint{v.Seconds, v.LatencyP99Millis})
			}
			throughput.lines = append(throughput.lines, chartLine{label, i, points})
			latency.lines = append(latency.lines, chartLine{label, i, p99})
			all = append(all, l.Distribution...)
		}
		distribution.lines = append(distribution.lines, chartLine{t.Name, i, percentiles(all)})
	}
	longest := 1.0
	for _, l := range distribution.lines {
		for _, p := range l.points {
			longest = max(longest, p.x)
		}
	}
	for nines, text := range []string{"0", "90", "99", "99.9", "99.99", "99.999", "99.9999"} {
		if float64(nines) <= math.Ceil(longest) {
			distribution.xTicks = append(distribution.xTicks, tick{float64(nines), text})
		}
	}
	return []*chart{throughput, latency, distribution}
}

// percentiles makes a curve of latencies in which every nine takes the same room.
func percentiles(counts []LatencyCount) []chartPoint {
	slices.SortFunc(counts, func(a, b LatencyCount) int {
		switch {
		case a.Millis < b.Millis:
			return -1
		case a.Millis > b.Millis:
			return 1
		}
		return 0
	})
	var total, seen int64
	for _, c := range counts {
		total += c.Count
	}
	var curve []chartPoint
	for _, c := range counts {
		// A step begins where the shorter ones end: the longest latency of all is at
		// the percentile that so many requests can tell apart.
		curve = append(curve, chartPoint{-math.Log10(1 - float64(seen)/float64(total)), c.Millis})
		seen += c.Count
	}
	return curve
}
