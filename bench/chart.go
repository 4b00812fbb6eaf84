package bench

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"strconv"
)

// Sizes of a chart in its own units, which the page scales.
const (
	chartWidth  = 620.0
	chartHeight = 260.0
	plotLeft    = 70.0
	plotRight   = chartWidth - 12
	plotTop     = 28.0
	plotBottom  = chartHeight - 40
)

// palette has colours that differ in brightness too, and are seen on light and
// dark grounds.
var palette = []string{"#2f7ed8", "#e07b00", "#2ca25f", "#c0392b", "#8e62c4", "#8c7a5b", "#d45fa0", "#7f8c8d"}

func colour(i int) string { return palette[i%len(palette)] }

// chart is one diagram with lines.
type chart struct {
	title, xLabel, yLabel string
	// logY puts powers of ten at equal distances; values that are not positive are
	// left out then.
	logY   bool
	xTicks []tick // nil makes them from the values
	lines  []chartLine
}

type tick struct {
	at   float64
	text string
}

type chartLine struct {
	label  string
	colour int
	points []chartPoint
}

type chartPoint struct{ x, y float64 }

// axis maps values to places.
type axis struct {
	low, high float64 // of the values, logarithms when log is set
	from, to  float64 // of the places
	log       bool
}

func (a axis) place(v float64) float64 {
	if a.log {
		v = math.Log10(v)
	}
	return a.from + (v-a.low)/(a.high-a.low)*(a.to-a.from)
}

// ticks returns marks at round values.
func (a axis) ticks() []tick {
	var ticks []tick
	if a.log {
		for e := a.low; e <= a.high; e++ {
			v := math.Pow(10, e)
			ticks = append(ticks, tick{v, tickText(v)})
		}
		return ticks
	}
	step := math.Pow(10, math.Floor(math.Log10((a.high-a.low)/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (a.high-a.low)/(m*step) <= 7 {
			step *= m
			break
		}
	}
	for n := math.Ceil(a.low / step); n*step <= a.high*(1+1e-9); n++ {
		ticks = append(ticks, tick{n * step, tickText(n * step)})
	}
	return ticks
}

// newAxis covers values from low to high; a linear one from 0.
func newAxis(low, high float64, log bool, from, to float64) axis {
	a := axis{from: from, to: to, log: log}
	switch {
	case log && low > 0 && low <= high && !math.IsInf(high, 0):
		a.low, a.high = math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
		if a.low == a.high {
			a.high++
		}
	case log:
		a.low, a.high = 0, 1
	case high > 0 && !math.IsInf(high, 0):
		a.high = high
	default:
		a.high = 1
	}
	return a
}

// tickText writes a round value short: 250k, 1.5M, 0.01.
func tickText(v float64) string {
	for _, unit := range []struct {
		of   float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= unit.of {
			return strconv.FormatFloat(v/unit.of, 'g', 4, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// drawn reports whether a point has a place.
func (c *chart) drawn(p chartPoint) bool {
	return !math.IsNaN(p.x+p.y) && !math.IsInf(p.x+p.y, 0) && (!c.logY || p.y > 0)
}

// svg appends the chart as an SVG element.
func (c *chart) svg(b *bytes.Buffer) {
	maxX, minY, maxY := 0.0, math.Inf(1), 0.0
	for _, t := range c.xTicks {
		maxX = max(maxX, t.at)
	}
	for _, l := range c.lines {
		for _, p := range l.points {
			if c.drawn(p) {
				maxX, minY, maxY = max(maxX, p.x), min(minY, p.y), max(maxY, p.y)
			}
		}
	}
	x, y := newAxis(0, maxX, false, plotLeft, plotRight), newAxis(minY, maxY, c.logY, plotBottom, plotTop)
	openSVG(b, chartHeight, c.title)
	for _, t := range y.ticks() {
		at := y.place(t.at)
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fH%.1f"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, at, plotRight, plotLeft-6, at+4, t.text)
	}
	xTicks := c.xTicks
	if xTicks == nil {
		xTicks = x.ticks()
	}
	for _, t := range xTicks {
		at := x.place(t.at)
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fV%.1f"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n",
			at, plotTop, plotBottom, at, plotBottom+15, html.EscapeString(t.text))
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", (plotLeft+plotRight)/2, chartHeight-6, html.EscapeString(c.xLabel))
	fmt.Fprintf(b, `<text transform="translate(14 %.1f) rotate(-90)" text-anchor="middle">%s</text>`+"\n", (plotTop+plotBottom)/2, html.EscapeString(c.yLabel))
	for _, l := range c.lines {
		c.line(b, l, x, y)
	}
	b.WriteString("</svg>\n")
}

func (c *chart) line(b *bytes.Buffer, l chartLine, x, y axis) {
	var d bytes.Buffer
	for _, p := range l.points {
		if c.drawn(p) {
			verb := byte('L')
			if d.Len() == 0 {
				verb = 'M'
			}
			fmt.Fprintf(&d, "%c%.1f %.1f", verb, x.place(p.x), y.place(p.y))
		}
	}
	if d.Len() == 0 {
		return
	}
	// The round caps show a line of a single point.
	fmt.Fprintf(b, `<path class="line" stroke="%s" d="%sl0 0"><title>%s</title></path>`+"\n", colour(l.colour), d.String(), html.EscapeString(l.label))
}

// barChart is one figure side by side, with its spread.
type barChart struct {
	title string
	bars  []bar
}

type bar struct {
	label       string
	value       float64
	low, high   float64
	colour      int
	ratio       float64 // to the first bar, 0 for none
	notMeasured bool
}

// svg appends the chart as an SVG element.
func (c *barChart) svg(b *bytes.Buffer) {
	const (
		rowHeight = 30.0
		left      = 130.0
		right     = chartWidth - 190
	)
	height := plotTop + rowHeight*float64(len(c.bars)) + 6
	longest := 0.0
	for _, bar := range c.bars {
		longest = max(longest, bar.high)
	}
	x := newAxis(0, longest, false, left, right)
	openSVG(b, height, c.title)
	for i, bar := range c.bars {
		top := plotTop + rowHeight*float64(i)
		middle := top + rowHeight/2
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", left-6, middle+4, html.EscapeString(bar.label))
		if bar.notMeasured {
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f">not measured</text>`+"\n", left+6, middle+4)
			continue
		}
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n",
			left, top+5, max(x.place(bar.value)-left, 1), rowHeight-10, colour(bar.colour))
		if bar.high > bar.low {
			fmt.Fprintf(b, `<path class="spread" d="M%.1f %.1fH%.1fm0 -5v10M%.1f %.1fm0 -5v10"/>`+"\n",
				x.place(bar.low), middle, x.place(bar.high), x.place(bar.low), middle)
		}
		text := figure(bar.value)
		if i > 0 && bar.ratio > 0 {
			text += fmt.Sprintf("  (x%.3g)", bar.ratio)
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f">%s</text>`+"\n", x.place(bar.high)+8, middle+4, text)
	}
	b.WriteString("</svg>\n")
}

func openSVG(b *bytes.Buffer, height float64, title string) {
	fmt.Fprintf(b, `<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`+"\n", chartWidth, height, html.EscapeString(title))
	fmt.Fprintf(b, `<text class="title" x="8" y="16">%s</text>`+"\n", html.EscapeString(title))
}
