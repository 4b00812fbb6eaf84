package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/catalog"
	"headgate/engine/datadir"
	"headgate/engine/testkit"
)

// crashScript is a run of an engine through everything that changes what is on disk.
type crashScript struct {
	t   *testing.T
	e   *Engine
	now *atomic.Int64 // of the engine's clock, in ns
}

var crashStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (s *crashScript) write(bucket, lines string) {
	s.t.Helper()
	if err := s.e.Write(context.Background(), s.bucket(bucket).ID, []byte(lines), Second); err != nil {
		s.t.Fatal(err)
	}
}

func (s *crashScript) org() Organization {
	s.t.Helper()
	org, err := s.e.DefaultOrganization()
	if err != nil {
		s.t.Fatal(err)
	}
	return org
}

func (s *crashScript) bucket(name string) Bucket {
	s.t.Helper()
	b, ok := s.e.BucketByName(s.org().ID, name)
	if !ok {
		s.t.Fatalf("no bucket %s", name)
	}
	return b
}

func (s *crashScript) create(name string, retention time.Duration) {
	s.t.Helper()
	_, err := s.e.CreateBucket(context.Background(), s.e.Operator(), BucketRequest{OrgID: s.org().ID, Name: name, RetentionPeriod: retention})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *crashScript) flush(compact bool) {
	s.t.Helper()
	if err := s.e.shard.Flush(context.Background(), compact); err != nil {
		s.t.Fatal(err)
	}
}

func (s *crashScript) query(bucket, text string) string {
	s.t.Helper()
	return (&testEngine{Engine: s.e, t: s.t, bucket: s.bucket(bucket)}).query(text)
}

// lines are points of some series at consecutive seconds from a minute of an hour on.
func crashLines(series, points, value, minute int) string {
	var sb strings.Builder
	for i := range points {
		fmt.Fprintf(&sb, "cpu,host=h%d v=%di,s=\"text %d\" %d\n", i%series, value, value, crashStart.Unix()+int64(60*minute+i))
	}
	return sb.String()
}

// crashSteps are what is done, one after the other. Each is all there after a crash or
// not at all.
var crashSteps = []struct {
	name string
	do   func(*crashScript)
}{
	{"create buckets", func(s *crashScript) { s.create("b", 0) }},
	{"create another", func(s *crashScript) { s.create("short", time.Hour) }},
	{"write new series", func(s *crashScript) { s.write("b", crashLines(5, 40, 1, 0)+"mem f=1.5 1\nmem g=t 2\n") }},
	{"write", func(s *crashScript) { s.write("b", crashLines(5, 20, 2, 0)) }},
	{"write what expires", func(s *crashScript) { s.write("short", crashLines(2, 20, 3, -50)) }},
	{"write what stays", func(s *crashScript) { s.write("short", crashLines(2, 20, 3, 0)) }},
	{"flush", func(s *crashScript) { s.flush(false) }},
	{"write over it", func(s *crashScript) { s.write("b", crashLines(7, 30, 4, 0)) }},
	{"delete", func(s *crashScript) {
		r := DeleteRequest{Bucket: s.bucket("b").ID, Min: crashStart.UnixNano(), Max: crashStart.UnixNano() + 15e9,
			Predicate: []TagCondition{{Key: "host", Value: "h1"}}}
		if err := s.e.Delete(context.Background(), s.e.Operator(), r); err != nil {
			s.t.Fatal(err)
		}
	}},
	{"write after the delete", func(s *crashScript) { s.write("b", crashLines(3, 6, 5, 0)) }},
	{"flush again", func(s *crashScript) { s.flush(false) }},
	{"compact", func(s *crashScript) { s.flush(true) }},
	{"create a user", func(s *crashScript) {
		if _, err := s.e.CreateUser(context.Background(), s.e.Operator(), "ann", catalog.Active); err != nil {
			s.t.Fatal(err)
		}
	}},
	{"create a token", func(s *crashScript) {
		users, err := s.e.Users(s.e.Operator(), UserFilter{})
		if err != nil || len(users) != 1 {
			s.t.Fatal(users, err)
		}
		_, _, err = s.e.CreateAuthorization(context.Background(), s.e.Operator(), AuthorizationRequest{OrgID: s.org().ID, UserID: users[0].ID, Description: "made",
			Permissions: []Permission{bucketPermission(ActionRead, &Bucket{ID: s.bucket("b").ID, OrgID: s.org().ID})}})
		if err != nil {
			s.t.Fatal(err)
		}
	}},
	{"expire", func(s *crashScript) { s.now.Store(crashStart.Add(30 * time.Minute).UnixNano()) }},
	{"drop what has expired", func(s *crashScript) { s.flush(true) }},
	{"rename", func(s *crashScript) {
		name := "renamed"
		if _, err := s.e.UpdateBucket(context.Background(), s.e.Operator(), s.bucket("b").ID, BucketUpdate{Name: &name}); err != nil {
			s.t.Fatal(err)
		}
	}},
	{"drop a measurement", func(s *crashScript) {
		if got := s.query("renamed", "DROP MEASUREMENT mem"); got != "" {
			s.t.Fatal(got)
		}
	}},
	{"write it with other types", func(s *crashScript) { s.write("renamed", "mem f=\"text\" 1\n") }},
	{"delete a bucket", func(s *crashScript) {
		if err := s.e.DeleteBucket(context.Background(), s.e.Operator(), s.bucket("short").ID); err != nil {
			s.t.Fatal(err)
		}
	}},
	{"create it again", func(s *crashScript) { s.create("short", 0) }},
	{"write to the new one", func(s *crashScript) { s.write("short", crashLines(2, 5, 6, 0)) }},
	{"write once more", func(s *crashScript) { s.write("renamed", crashLines(5, 60, 7, 0)) }},
	{"compact again", func(s *crashScript) { s.flush(true) }},
}

// dump is all that a caller can see.
func (s *crashScript) dump() string {
	s.t.Helper()
	buckets, err := s.e.Buckets(s.e.Operator(), BucketFilter{})
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, b := range buckets {
		all = append(all, fmt.Sprintf("bucket %s %s\n", b.Name, b.RetentionPeriod)+s.query(b.Name, "SELECT * FROM /.*/ GROUP BY *"))
	}
	for _, a := range s.e.Authorizations(s.e.Operator(), AuthorizationFilter{}) {
		all = append(all, "token "+a.Description+"\n")
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// crashPoint is the disk after a power cut.
type crashPoint struct {
	powerCut
	name string
	// step was being done, of those in crashSteps, len(crashSteps) once all are.
	step, percent int
	now           int64
}

// crashRun makes crash points of a script or of recoveries.
type crashRun struct {
	t      *testing.T
	states []string // after so many steps
	rng    *rand.Rand
	points int
	deep   int // how many operations of each recovery are crashed at
}

// watch takes the disk at the operations that want says.
func (r *crashRun) watch(d *crashDisk, want func(op int) bool, at func() crashPoint) (ops *int, taken *[]crashPoint) {
	ops, taken = new(int), new([]crashPoint)
	var mu sync.Mutex
	d.op = func() {
		mu.Lock()
		defer mu.Unlock()
		*ops++
		if !want(*ops) {
			return
		}
		percent := []int{0, 100, r.rng.IntN(101)}[r.rng.IntN(3)]
		var p crashPoint
		for { // a step on the catalogue alone does not wait for an operation in the background
			p = at()
			p.percent, p.powerCut = percent, d.cut(r.t, percent, r.rng)
			if after := at(); after.step == p.step && after.now == p.now {
				break
			}
		}
		p.name += fmt.Sprintf(" operation %d, %d %% of what is unsynced kept;", *ops, p.percent)
		*taken = append(*taken, p)
	}
	return ops, taken
}

// script runs the script on a new disk.
func (r *crashRun) script(want func(op int) bool) (ops int, taken []crashPoint) {
	r.t.Helper()
	d := newCrashDisk(vfs.NewCrashableMem(), r.t.TempDir())
	now := new(atomic.Int64)
	now.Store(crashStart.UnixNano())
	var step atomic.Int64
	step.Store(-1)
	n, points := r.watch(d, want, func() crashPoint {
		i := int(step.Load())
		name := "opening the first time"
		if i >= 0 && i < len(crashSteps) {
			name = crashSteps[i].name
		}
		return crashPoint{name: name + ":", step: i, now: now.Load()}
	})
	e := r.open(d, now)
	s := &crashScript{t: r.t, e: e, now: now}
	record := r.states == nil
	if record {
		r.states = append(r.states, s.dump())
	}
	for i := range crashSteps {
		step.Store(int64(i))
		crashSteps[i].do(s)
		if record {
			r.states = append(r.states, s.dump())
		}
	}
	step.Store(int64(len(crashSteps)))
	if err := e.Close(); err != nil {
		r.t.Fatal(err)
	}
	return *n, *points
}

func (r *crashRun) open(d *crashDisk, now *atomic.Int64) *Engine {
	r.t.Helper()
	o := d.options()
	o.Now = func() time.Time { return time.Unix(0, now.Load()) }
	e, err := Open(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// check opens what a crash has left and compares. Crashes while it is opened are
// checked in turn, so many levels deep.
func (r *crashRun) check(p crashPoint, levels int) {
	r.t.Helper()
	r.points++
	r.t.Run(fmt.Sprint(r.points), func(t *testing.T) {
		t.Helper()
		outer := r.t
		r.t = t
		defer func() { r.t = outer }()
		defer func() {
			if t.Failed() {
				t.Logf("crash at %s", p.name)
			}
		}()
		d := p.disk(t)
		now := new(atomic.Int64)
		now.Store(p.now)
		again := map[int]bool{}
		if levels > 0 {
			for range r.deep {
				again[1+r.rng.IntN(60)] = true // opening takes about as many
			}
		}
		_, points := r.watch(d, func(op int) bool { return again[op] }, func() crashPoint {
			return crashPoint{name: p.name + " opening:", step: p.step, now: p.now}
		})
		e := r.open(d, now)
		s := &crashScript{t: t, e: e, now: now}
		got := s.dump()
		before := r.states[min(max(p.step, 0), len(r.states)-1)]
		after := r.states[min(p.step+1, len(r.states)-1)]
		if got != before && got != after && (p.step >= 0 || got != "") {
			t.Errorf("got:\n%s\nwant:\n%s\nor:\n%s", got, before, after)
		}
		s.create("new", 0)
		s.write("new", crashLines(3, 9, 8, 0))
		if got := strings.Count(s.query("new", "SELECT v FROM cpu"), "\n"); got != 9 {
			t.Errorf("of 9 points written after the crash %d are there", got)
		}
		want := s.dump()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		d.export(t)
		report, err := datadir.Check(t.Context(), datadir.Options{Dir: d.dir})
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range report.Problems {
			t.Errorf("check: %+v", problem)
		}
		d.op = nil
		s.e = r.open(d, now)
		if got := s.dump(); got != want {
			t.Errorf("opened once more:\n%s\nwant:\n%s", got, want)
		}
		if err := s.e.Close(); err != nil {
			t.Fatal(err)
		}
		for _, p := range *points {
			r.check(p, levels-1)
		}
	})
}

// TestCrashAtEveryOperation cuts the power at operations of the disk in the middle of
// everything that an engine does, with writes torn, and unsynced ones lost, kept or
// reordered; and twice more while it is opened again. What was answered must be there
// and nothing else, and `headgate check` must find nothing. HEADGATE_CRASH_EVERY=n
// takes every n-th operation instead of a sample, HEADGATE_CRASH_AGAIN=n so many of
// each recovery.
func TestCrashAtEveryOperation(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := crashSeed(t)
	r := &crashRun{t: t, rng: rand.New(rand.NewPCG(seed, 2)), deep: envInt(t, "HEADGATE_CRASH_AGAIN", 1)}
	total, _ := r.script(func(int) bool { return false })
	if every := envInt(t, "HEADGATE_CRASH_EVERY", 0); every > 0 {
		const chunk = 100 // disks that are held at once
		for from := 1; from <= total; from += chunk * every {
			_, taken := r.script(func(op int) bool { return op >= from && op < from+chunk*every && (op-from)%every == 0 })
			for _, p := range taken {
				r.check(p, 2)
			}
		}
	} else {
		sample := map[int]bool{}
		for range testkit.Rounds(8) {
			sample[1+r.rng.IntN(total)] = true
		}
		_, taken := r.script(func(op int) bool { return sample[op] })
		for _, p := range taken {
			r.check(p, 2)
		}
	}
	t.Logf("%d operations, %d crashes", total, r.points)
}
