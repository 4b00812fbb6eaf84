package bench

import (
	"bytes"
	"errors"
	"fmt"
	"html"
)

// soakSection is the part of the page that shows one run of Soak.
type soakSection struct {
	title string
	*SoakReport
}

// check says what a file lacks that WriteJSON writes always.
func (r *SoakReport) check() error {
	if len(r.Samples) == 0 {
		return errors.New("there are no samples")
	}
	return nil
}

func (s soakSection) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "<h2>%s</h2>\n", html.EscapeString(s.title))
	writeMachine(b, s.Machine)
	b.WriteString("</p>\n<pre>")
	var text bytes.Buffer
	_ = s.WriteText(&text) // a buffer takes everything
	b.WriteString(html.EscapeString(text.String()))
	b.WriteString("</pre>\n<div class=\"charts\">\n")
	const mib = 1 << 20
	for _, c := range []struct {
		title, unit string
		logY        bool
		lines       []soakLine
	}{
		{"memory", "MiB", false, []soakLine{
			{"resident", func(v *SoakSample) float64 { return v.RSSBytes / mib }},
			{"heap", func(v *SoakSample) float64 { return v.HeapBytes / mib }},
			{"buckets", func(v *SoakSample) float64 { return v.MemoryBytes / mib }},
		}},
		{"disk", "MiB", false, []soakLine{
			{"data", func(v *SoakSample) float64 { return v.DataBytes / mib }},
			{"log", func(v *SoakSample) float64 { return v.LogBytes / mib }},
		}},
		{"goroutines and descriptors", "number", false, []soakLine{
			{"goroutines", func(v *SoakSample) float64 { return v.Goroutines }},
			{"descriptors", func(v *SoakSample) float64 { return v.Descriptors }},
			{"parts", func(v *SoakSample) float64 { return v.Parts }},
		}},
		{"series", "number", false, []soakLine{{"series", func(v *SoakSample) float64 { return v.Series }}}},
		{"throughput", "points/s", false, []soakLine{{"points/s", func(v *SoakSample) float64 { return v.PointsPerSecond }}}},
		{"latency", "ms", true, []soakLine{
			{"p50", func(v *SoakSample) float64 { return v.LatencyP50Millis }},
			{"p99", func(v *SoakSample) float64 { return v.LatencyP99Millis }},
			{"longest", func(v *SoakSample) float64 { return v.LatencyMaxMillis }},
			{"longest query", func(v *SoakSample) float64 { return v.QueryMaxMillis }},
		}},
	} {
		chart := &chart{title: c.title, xLabel: "seconds since the load began", yLabel: c.unit, logY: c.logY}
		for i, l := range c.lines {
			line := chartLine{label: l.label, colour: i}
			for n := range s.Samples {
				line.points = append(line.points, chartPoint{s.Samples[n].Seconds, l.of(&s.Samples[n])})
			}
			chart.lines = append(chart.lines, line)
		}
		fmt.Fprintf(b, "<div>")
		for i, l := range c.lines {
			fmt.Fprintf(b, `<span class="key" style="background:%s"></span>%s`, colour(i), html.EscapeString(l.label))
		}
		chart.svg(b)
		b.WriteString("</div>\n")
	}
	b.WriteString("</div>\n")
}

// soakLine is one line of a chart.
type soakLine struct {
	label string
	of    func(*SoakSample) float64
}
