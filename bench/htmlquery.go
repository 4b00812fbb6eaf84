package bench

import (
	"bytes"
	"fmt"
	"html"
	"strings"
)

// querySection is one QueryReport of the page.
type querySection struct {
	title string
	*QueryReport
}

// check says what a file lacks that WriteJSON writes always.
func (r *QueryReport) check() error {
	if len(r.Targets) == 0 {
		return fmt.Errorf("there are no targets")
	}
	for _, q := range r.Queries {
		if q == nil || len(q.Targets) != len(r.Targets) {
			return fmt.Errorf("a query has figures of other targets than the report")
		}
	}
	return nil
}

func (s querySection) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "<h2>%s</h2>\n", html.EscapeString(s.title))
	writeMachine(b, s.Machine)
	fmt.Fprintf(b, "<br/>%s<br/>rounds: %d</p>\n", html.EscapeString(s.Data), s.Rounds)
	b.WriteString("<table>\n<tr><th>median ms, ratio to the first for the same statement</th><th>rows</th>")
	for _, name := range s.Targets {
		fmt.Fprintf(b, "<th>%s</th><th>CPU ms</th>", html.EscapeString(name))
	}
	b.WriteString("<th>equal</th></tr>\n")
	for _, f := range s.Queries {
		fmt.Fprintf(b, "<tr><td>%s</td><td>%s</td>", html.EscapeString(f.Name), f.rowsText())
		for i := range f.Targets {
			times, cpu, _ := strings.Cut(f.Targets[i].text(i > 0), "\t")
			median, spread, _ := strings.Cut(times, " ")
			fmt.Fprintf(b, `<td>%s <span class="spreadtext">%s</span></td><td>%s</td>`, median, spread, cpu)
		}
		fmt.Fprintf(b, "<td>%s</td></tr>\n", html.EscapeString(string(f.Equal)))
	}
	b.WriteString("</table>\n")
	for _, f := range s.Queries {
		if f.Difference != "" {
			fmt.Fprintf(b, "<p class=\"note\">%s differs: %s</p>\n", html.EscapeString(f.Name), html.EscapeString(f.Difference))
		}
	}
	b.WriteString("<div class=\"charts\">\n")
	for i := 1; i < len(s.Targets); i++ {
		c := &barChart{title: fmt.Sprintf("%s: time as a multiple of that of %s", s.Targets[i], s.Targets[0])}
		for _, f := range s.Queries {
			t := &f.Targets[i]
			c.bars = append(c.bars, bar{label: f.Name, value: t.Ratio, low: t.RatioMin, high: t.RatioMax, colour: i, notMeasured: t.Ratio == 0})
		}
		c.svg(b)
	}
	b.WriteString("</div>\n")
}

// sizeSection is one SizeReport of the page.
type sizeSection struct {
	title string
	*SizeReport
}

// check says what a file lacks that WriteJSON writes always.
func (r *SizeReport) check() error {
	for _, w := range r.Workloads {
		if len(w.Targets) == 0 || len(w.Targets) != len(r.Targets) {
			return fmt.Errorf("workload %q has %d targets", w.Workload, len(w.Targets))
		}
		for _, t := range w.Targets {
			if t.Fill == nil {
				return fmt.Errorf("workload %q lacks what was written", w.Workload)
			}
		}
	}
	return nil
}

func (s sizeSection) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "<h2>%s</h2>\n", html.EscapeString(s.title))
	writeMachine(b, s.Machine)
	b.WriteString("</p>\n")
	for i := range s.Workloads {
		w := &s.Workloads[i]
		fmt.Fprintf(b, "<p>%s</p>\n<table>\n<tr><th>%s</th>", html.EscapeString(w.Data), html.EscapeString(string(w.Workload)))
		for _, name := range s.Targets {
			fmt.Fprintf(b, "<th>%s</th>", html.EscapeString(name))
		}
		b.WriteString("</tr>\n")
		for _, row := range w.rows() {
			fmt.Fprintf(b, "<tr><td>%s</td></tr>\n", strings.Join(row, "</td><td>"))
		}
		b.WriteString("</table>\n")
	}
	b.WriteString("<div class=\"charts\">\n")
	for i := range s.Workloads {
		w := &s.Workloads[i]
		c := &barChart{title: string(w.Workload) + ": bytes per value (less is better)"}
		for i, f := range w.Targets {
			v := f.BytesPerValue
			ratio := 0.0
			if first := w.Targets[0].BytesPerValue; first > 0 {
				ratio = v / first
			}
			c.bars = append(c.bars, bar{s.Targets[i], v, v, v, i, ratio, v <= 0})
		}
		c.svg(b)
	}
	b.WriteString("</div>\n")
}

// writeMachine begins a paragraph.
func writeMachine(b *bytes.Buffer, m Machine) {
	fmt.Fprintf(b, "<p>%s, %d CPUs, %s, %s", html.EscapeString(m.CPU), m.CPUs, html.EscapeString(m.OS), html.EscapeString(m.Go))
}
