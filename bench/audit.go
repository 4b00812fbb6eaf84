package bench

import (
	"fmt"
	"math/bits"
	"strconv"
)

// audit compares what was read back after a restart, point by point, with the
// ledger, while nobody writes.
type audit struct {
	ledger *ledger
	// got is what was read of each slot of each writer.
	got    [][]slotGot
	points int64
}

// slotGot is what was read of one slot.
type slotGot struct {
	// version is the one of the first point that was read, 0 before that.
	version int
	// lines has a bit for each line that was read.
	lines []uint64
	// damaged is set once a violation was noted: one a slot is enough.
	damaged bool
}

func newAudit(l *ledger) *audit {
	a := &audit{ledger: l, got: make([][]slotGot, len(l.writers))}
	for w := range a.got {
		a.got[w] = make([]slotGot, len(l.writers[w].slots))
	}
	return a
}

// storedPoint is one row of SELECT *, as the server wrote it: text, or "" with its
// has bit missing for null.
type storedPoint struct {
	database, measurement string
	ns                    int64
	host, writer          string
	version               int64
	fields                map[string]string
}

// add takes one point that the server returned.
func (a *audit) add(p *storedPoint) {
	a.points++
	l := a.ledger
	writer, err := strconv.Atoi(p.writer)
	slot, line, ok := lineOfTime(p.ns)
	if err != nil || !ok || writer < 0 || writer >= len(a.got) || slot >= len(a.got[writer]) || line >= l.writers[writer].slots[slot].shape.lines {
		l.found.add("invented: %s.%s has a point that was never sent: %+v", p.database, p.measurement, *p)
		return
	}
	k := slotKey{writer, slot}
	g, shape := &a.got[writer][slot], l.slot(k).shape
	if g.damaged {
		return
	}
	if text := a.faultOf(k, shape, g, line, p); text != "" {
		g.damaged = true
		l.found.add("%s line %d: %s", l.name(k), line, text)
		return
	}
	g.version = int(p.version)
	if g.lines == nil {
		g.lines = make([]uint64, (shape.lines+63)/64)
	}
	g.lines[line/64] |= 1 << (line % 64)
}

// faultOf says what is wrong with one point, "" for nothing.
func (a *audit) faultOf(k slotKey, shape slotShape, g *slotGot, line int, p *storedPoint) string {
	switch {
	case p.database != shape.database || p.measurement != shape.measurement:
		return fmt.Sprintf("invented: it is in %s.%s", p.database, p.measurement)
	case a.ledger.data.dropped(k, shape, line):
		return fmt.Sprintf("invented: this line was to be dropped: %+v", *p)
	case g.lines != nil && g.lines[line/64]&(1<<(line%64)) != 0:
		return "invented: it is there twice"
	case g.lines != nil && int(p.version) != g.version:
		return fmt.Sprintf("torn: version %d, while other lines of the batch have version %d", p.version, g.version)
	}
	want := a.ledger.data.point(k, int(p.version), line)
	if p.host != want.host {
		return fmt.Sprintf("invented: tag host is %q, was %q", p.host, want.host)
	}
	return want.differs(p.fields)
}

// differs says how the stored fields differ from those of a point, "" for not.
func (p *crashPoint) differs(stored map[string]string) string {
	check := func(name string, has fieldMask, same func(text string) bool, want any) string {
		text, ok := stored[name]
		if ok != (p.has&has != 0) {
			if ok {
				return fmt.Sprintf("invented: field %s is %s, was not sent", name, text)
			}
			return fmt.Sprintf("lost: field %s is missing, was %v", name, want)
		}
		if ok && !same(text) {
			return fmt.Sprintf("wrong: field %s is %s, was %v", name, text, want)
		}
		return ""
	}
	for _, text := range []string{
		check("f", hasF, func(t string) bool { v, err := strconv.ParseFloat(t, 64); return err == nil && v == p.f }, p.f),
		check("i", hasI, func(t string) bool { return t == strconv.FormatInt(p.i, 10) }, p.i),
		check("u", hasU, func(t string) bool { return t == strconv.FormatUint(p.u, 10) }, p.u),
		check("s", hasS, func(t string) bool { return t == p.s }, p.s),
		check("b", hasB, func(t string) bool { return t == strconv.FormatBool(p.b) }, p.b),
	} {
		if text != "" {
			return text
		}
	}
	if len(stored) > bits.OnesCount8(uint8(p.has)) {
		return fmt.Sprintf("invented: fields that were not sent: %v", stored)
	}
	return ""
}

// close compares slot by slot, and settles what was pending: from now on what was
// found must stay as it was found.
func (a *audit) close() {
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range a.got {
		for n := range a.got[w] {
			k := slotKey{w, n}
			s, g := l.slot(k), &a.got[w][n]
			count := 0
			for _, word := range g.lines {
				count += bits.OnesCount64(word)
			}
			if want := l.data.accepted(k, s.shape); !g.damaged {
				if text := s.fault(g.version, count, want); text != "" {
					l.found.add("%s: %s", l.name(k), text)
				}
			}
			if s.pending != 0 {
				if g.version == s.pending {
					l.counts.Kept++
				} else {
					l.counts.Lost++
				}
			}
			s.committed, s.pending, s.seen = g.version, 0, false
		}
	}
}

// fault says how what was read of a slot breaks a promise, "" for not. have is the
// version of the count points that were read, want how many a version has.
func (s *slotState) fault(have, count, want int) string {
	known := s.status()
	switch {
	case count != 0 && count != want:
		return fmt.Sprintf("torn: %d of %d points of version %d are there; %s", count, want, have, known)
	case s.seen && have != s.pending:
		return fmt.Sprintf("lost: a query returned version %d, and now there is %s; %s", s.pending, versionText(have), known)
	case have == s.committed, have == s.pending && have != 0:
		return ""
	case have == 0:
		return fmt.Sprintf("lost: nothing is there; %s", known)
	case have < s.committed:
		return fmt.Sprintf("lost: version %d is back; %s", have, known)
	}
	return fmt.Sprintf("invented: version %d is there; %s", have, known)
}

func (s *slotState) status() string {
	text := "nothing was acknowledged"
	if s.committed != 0 {
		text = fmt.Sprintf("version %d was acknowledged", s.committed)
	}
	if s.pending != 0 {
		text += fmt.Sprintf(", version %d was under way", s.pending)
	}
	return text
}

func versionText(v int) string {
	if v == 0 {
		return "nothing"
	}
	return fmt.Sprintf("version %d", v)
}
