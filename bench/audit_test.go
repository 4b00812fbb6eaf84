package bench

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// modelServer keeps points as a server should: the newest version of each slot
// that it took.
type modelServer struct {
	data   crashData
	points map[slotKey]map[int]*storedPoint // slot -> line -> point
}

// take stores the accepted lines of an attempt.
func (m *modelServer) take(a attempt) {
	lines := map[int]*storedPoint{}
	if a.shape.kind == malformedBatch {
		return
	}
	for line := range a.shape.lines {
		if m.data.dropped(a.key, a.shape, line) {
			continue
		}
		want := m.data.point(a.key, a.version, line)
		p := &storedPoint{
			database: a.shape.database, measurement: a.shape.measurement, ns: lineTime(a.key.slot, line),
			host: want.host, writer: strconv.Itoa(a.key.writer), version: int64(a.version), fields: map[string]string{},
		}
		if want.has&hasF != 0 {
			text, _ := json.Marshal(want.f)
			p.fields["f"] = string(text)
		}
		if want.has&hasI != 0 {
			p.fields["i"] = strconv.FormatInt(want.i, 10)
		}
		if want.has&hasU != 0 {
			p.fields["u"] = strconv.FormatUint(want.u, 10)
		}
		if want.has&hasS != 0 {
			p.fields["s"] = want.s
		}
		if want.has&hasB != 0 {
			p.fields["b"] = strconv.FormatBool(want.b)
		}
		lines[line] = p
	}
	m.points[a.key] = lines
}

// audited reads everything back and returns the violations.
func (m *modelServer) audited(l *ledger) []string {
	a := newAudit(l)
	for _, lines := range m.points {
		for _, p := range lines {
			a.add(p)
		}
	}
	a.close()
	_, texts := l.violated()
	return texts
}

func newModel(writers int) (*modelServer, *ledger) {
	d := crashData{seed: 11}
	return &modelServer{data: d, points: map[slotKey]map[int]*storedPoint{}}, newLedger(d, writers)
}

// fill writes slots until there is one of each kind with many lines, and returns
// it: a good one and a mixed one.
func fill(m *modelServer, l *ledger) (good, mixed attempt) {
	for good.version == 0 || mixed.version == 0 {
		a := l.begin(0, 1, -1, false)
		if a.shape.kind == malformedBatch {
			l.refuse(a, true)
			continue
		}
		m.take(a)
		l.acknowledge(a)
		if a.shape.lines > 20 {
			if a.shape.kind == goodBatch {
				good = a
			} else {
				mixed = a
			}
		}
	}
	return good, mixed
}

func TestAuditFindsWhatIsWrong(t *testing.T) {
	tests := []struct {
		name   string
		damage func(m *modelServer, l *ledger, good, mixed attempt)
		want   string // "" for nothing found
	}{
		{"nothing", func(*modelServer, *ledger, attempt, attempt) {}, ""},
		{"a batch is lost", func(m *modelServer, _ *ledger, good, _ attempt) { delete(m.points, good.key) }, "lost: nothing is there; version "},
		{"a point is lost", func(m *modelServer, _ *ledger, good, _ attempt) { delete(m.points[good.key], 1) }, "torn: "},
		{"a value is wrong", func(m *modelServer, _ *ledger, good, _ attempt) { m.points[good.key][0].fields["i"] = "12" }, "wrong: field i is 12"},
		{"a string is wrong", func(m *modelServer, _ *ledger, good, _ attempt) { m.points[good.key][0].fields["s"] += " " }, "wrong: field s"},
		{"a float has other digits", func(m *modelServer, _ *ledger, good, _ attempt) { m.points[good.key][0].fields["f"] += "1" }, "wrong: field f"},
		{"a field is lost", func(m *modelServer, _ *ledger, good, _ attempt) { delete(m.points[good.key][0].fields, "b") }, "lost: field b is missing"},
		{"a field is invented", func(m *modelServer, _ *ledger, good, _ attempt) { m.points[good.key][0].fields["nope"] = "1" }, "invented: fields that were not sent"},
		{"a series is wrong", func(m *modelServer, _ *ledger, good, _ attempt) { m.points[good.key][2].host = "h999" }, "invented: tag host"},
		{"a measurement is wrong", func(m *modelServer, _ *ledger, good, _ attempt) { m.points[good.key][2].measurement = "m9" }, "invented: it is in "},
		{"a point is from nowhere", func(m *modelServer, _ *ledger, good, _ attempt) { m.points[good.key][2].ns++ }, "invented: "},
		{"a slot is from nowhere", func(m *modelServer, _ *ledger, good, _ attempt) { m.points[good.key][2].ns += 1e9 * 1e6 }, "invented: "},
		{"a dropped line is stored", func(m *modelServer, _ *ledger, _, mixed attempt) {
			p := *m.points[mixed.key][0]
			p.ns = lineTime(mixed.key.slot, mixed.shape.lines-1)
			m.points[mixed.key][mixed.shape.lines-1] = &p
		}, "invented: this line was to be dropped"},
		{"a point is there twice", func(m *modelServer, _ *ledger, good, _ attempt) {
			m.points[good.key][-1] = m.points[good.key][0]
		}, "invented: it is there twice"},
		{"an open batch is kept", func(m *modelServer, l *ledger, _, _ attempt) {
			a := l.begin(0, 2, -1, true)
			m.take(a)
			l.leave(a)
		}, ""},
		{"an open batch is not kept", func(_ *modelServer, l *ledger, _, _ attempt) { l.leave(l.begin(0, 2, -1, true)) }, ""},
		{"an open batch is torn", func(m *modelServer, l *ledger, good, _ attempt) {
			a := l.begin(0, 2, good.key.slot, false)
			m.take(a)
			l.leave(a)
			delete(m.points[a.key], 3)
		}, "torn: "},
		{"an open batch was read and is gone", func(_ *modelServer, l *ledger, _, _ attempt) {
			a := l.begin(0, 2, -1, true)
			l.leave(a)
			l.sighted(a.key, a.version)
		}, "lost: a query returned version "},
		{"a batch is read before it is acknowledged", func(m *modelServer, l *ledger, _, _ attempt) {
			a := l.begin(0, 2, -1, true)
			m.take(a)
			l.sighted(a.key, a.version)
			l.acknowledge(a)
		}, ""},
		{"an open version beside an old one", func(m *modelServer, l *ledger, good, _ attempt) {
			old := *m.points[good.key][1]
			a := l.begin(0, 2, good.key.slot, false)
			m.take(a)
			l.leave(a)
			m.points[a.key][1] = &old
		}, "torn: version "},
		{"an old version is back", func(_ *modelServer, l *ledger, good, _ attempt) {
			l.acknowledge(l.begin(0, 2, good.key.slot, false))
		}, "is back; version "},
		{"a refused batch is there", func(m *modelServer, l *ledger, _, _ attempt) {
			a := l.begin(0, 2, -1, true)
			m.take(a)
			l.refuse(a, false)
		}, "invented: version "},
		{"a refused batch was read", func(_ *modelServer, l *ledger, _, _ attempt) {
			a := l.begin(0, 2, -1, true)
			l.sighted(a.key, a.version)
			l.refuse(a, false)
		}, "and then it was refused"},
		{"a version from the future was read", func(_ *modelServer, l *ledger, good, _ attempt) { l.sighted(good.key, 1<<20) }, "never sent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, l := newModel(2)
			good, mixed := fill(m, l)
			tt.damage(m, l, good, mixed)
			texts := m.audited(l)
			if tt.want == "" {
				if len(texts) != 0 {
					t.Errorf("found %q", texts)
				}
				return
			}
			if len(texts) == 0 {
				t.Fatal("found nothing")
			}
			if !strings.Contains(texts[0], tt.want) {
				t.Errorf("found %q, want %q", texts, tt.want)
			}
		})
	}
}

// TestAuditSettles shows that what an audit found must still be there at the next.
func TestAuditSettles(t *testing.T) {
	m, l := newModel(1)
	fill(m, l)
	kept, lost := l.begin(0, 1, -1, true), l.begin(0, 1, -1, true)
	m.take(kept)
	l.leave(kept)
	l.leave(lost)
	if texts := m.audited(l); len(texts) != 0 {
		t.Fatalf("found %q", texts)
	}
	if l.counts.Kept != 1 || l.counts.Lost != 1 {
		t.Errorf("kept %d, lost %d", l.counts.Kept, l.counts.Lost)
	}
	delete(m.points, kept.key)
	m.take(lost)
	texts := m.audited(l)
	if len(texts) != 2 || !strings.Contains(texts[0], "lost: nothing is there") || !strings.Contains(texts[1], "invented: version") {
		t.Errorf("found %q", texts)
	}
}

// TestCrashBatch shows that the text of a batch says what the audit expects.
func TestCrashBatch(t *testing.T) {
	m, l := newModel(1)
	good, mixed := fill(m, l)
	for _, a := range []attempt{good, mixed} {
		text := string(m.data.appendBatch(nil, a.key, a.shape, a.version, 1))
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(lines) != a.shape.lines {
			t.Fatalf("%d lines, want %d", len(lines), a.shape.lines)
		}
		bad := 0
		for i, line := range lines {
			if !strings.HasPrefix(line, a.shape.measurement+",host=") || !strings.HasSuffix(line, " "+strconv.FormatInt(lineTime(a.key.slot, i), 10)) {
				t.Errorf("line %d is %s", i, line)
			}
			if strings.Contains(line, "host=bad") {
				bad++
			}
			slot, n, ok := lineOfTime(lineTime(a.key.slot, i))
			if !ok || slot != a.key.slot || n != i {
				t.Errorf("the time of line %d reads as line %d of slot %d", i, n, slot)
			}
		}
		if len(lines)-bad != m.data.accepted(a.key, a.shape) {
			t.Errorf("%d bad lines of %d, %d accepted", bad, len(lines), m.data.accepted(a.key, a.shape))
		}
		if (a.shape.kind == mixedBatch) != (bad > 0) {
			t.Errorf("kind %d has %d bad lines", a.shape.kind, bad)
		}
	}
}
