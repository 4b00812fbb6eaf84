package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/testkit"
)

// envInt is a number from the environment.
func envInt(t testing.TB, name string, def int) int {
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// A series is a register: a write sets both fields at both of its times, which are in
// different windows, in one batch; a delete sets it to 0, nothing; a read sees one
// value everywhere or the batch was torn.
type registerOp struct {
	series string
	kind   byte // w, d or r
	value  int64
}

// registerOut is what came of it.
type registerOut struct {
	value int64
	// unknown: a crash came between. It has happened or not; the first read after the
	// crash decides, for good.
	unknown bool
}

var registerModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, op := range history {
			s := op.Input.(registerOp).series
			by[s] = append(by[s], op)
		}
		var all [][]porcupine.Operation
		for _, ops := range by {
			all = append(all, ops)
		}
		return all
	},
	Init: func() []any { return []any{int64(0)} },
	Step: func(state, input, output any) []any {
		in, out := input.(registerOp), output.(registerOut)
		switch {
		case in.kind == 'r' && state.(int64) != out.value:
			return nil
		case in.kind == 'r':
			return []any{state}
		case out.unknown:
			return []any{state, in.value}
		}
		return []any{in.value}
	},
	Equal: func(a, b any) bool { return a == b },
}

// linearRun is one history: lives of an engine, each but the last ended by a power cut.
type linearRun struct {
	t      *testing.T
	rng    *rand.Rand
	disk   *crashDisk
	e      *Engine
	bucket Bucket

	mu      sync.Mutex
	clock   int64
	history []porcupine.Operation
	open    []int // of history: what the crash has left unanswered
	dead    bool  // the power has failed
	cut     powerCut
	ops     int // operations of the disk in this life
	crashAt int
	percent int
	values  int64
	torn    []string
}

const (
	linearSeries  = 5
	linearClients = 4
)

// failPower is called by whoever comes to the operation of the disk at which the power
// fails. Nothing is answered meanwhile; what is answered afterwards never was.
func (r *linearRun) failPower() {
	if !r.dead {
		r.dead = true
		r.cut = r.disk.cut(r.t, r.percent, r.rng)
	}
}

func (r *linearRun) start() {
	r.t.Helper()
	r.disk.op = func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ops++; r.crashAt > 0 && r.ops == r.crashAt {
			r.failPower()
		}
	}
	var err error
	if r.e, err = Open(r.t.Context(), r.disk.options()); err != nil {
		r.t.Fatal(err)
	}
	org, err := r.e.DefaultOrganization()
	if err != nil {
		r.t.Fatal(err)
	}
	ok := false
	if r.bucket, ok = r.e.BucketByName(org.ID, "b"); !ok {
		r.bucket, err = r.e.CreateBucket(r.t.Context(), r.e.Operator(), BucketRequest{OrgID: org.ID, Name: "b"})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// do makes one operation on registers and enters it into the history.
func (r *linearRun) do(client int, ops []registerOp, call func() (int64, error)) {
	r.mu.Lock()
	r.clock++
	began := r.clock
	r.mu.Unlock()
	value, err := call()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	if err != nil && !r.dead {
		r.torn = append(r.torn, fmt.Sprintf("%v: %v", ops, err))
	}
	for _, op := range ops {
		if op.kind == 'r' && (r.dead || err != nil) {
			continue // nobody has got the answer
		}
		if r.dead || err != nil {
			r.open = append(r.open, len(r.history))
		}
		r.history = append(r.history, porcupine.Operation{ClientId: client, Input: op, Call: began,
			Output: registerOut{value: value, unknown: r.dead || err != nil}, Return: r.clock})
	}
}

func (r *linearRun) write(client int, series string, value int64) {
	r.do(client, []registerOp{{series, 'w', value}}, func() (int64, error) {
		lines := fmt.Sprintf("m,k=%[1]s a=%[2]di,b=%[2]di 1\nm,k=%[1]s a=%[2]di,b=%[2]di 1000000000000000\n", series, value)
		return value, r.e.Write(context.Background(), r.bucket.ID, []byte(lines), Nanosecond)
	})
}

func (r *linearRun) delete(client int, series ...string) {
	var ops []registerOp
	request := DeleteRequest{Bucket: r.bucket.ID, Min: 0, Max: forever}
	for _, s := range series {
		ops = append(ops, registerOp{s, 'd', 0})
	}
	if len(series) == 1 {
		request.Predicate = []TagCondition{{Key: "k", Value: series[0]}}
	}
	r.do(client, ops, func() (int64, error) { return 0, r.e.Delete(context.Background(), r.e.Operator(), request) })
}

var errTorn = errors.New("half of a batch")

func (r *linearRun) read(client int, series string) {
	r.do(client, []registerOp{{series, 'r', 0}}, func() (value int64, err error) {
		var seen []int64
		q := Query{Text: "SELECT a, b FROM m WHERE k = '" + series + "'", Database: "b"}
		err = r.e.Query(context.Background(), nil, q, func(res Result) error {
			if res.Err != nil {
				return res.Err
			}
			for _, s := range res.Series {
				for _, row := range s.Values {
					for _, v := range row[1:] {
						n, _ := v.(int64) // nil: half of a point
						seen = append(seen, n)
					}
				}
			}
			return nil
		})
		if err != nil || len(seen) == 0 {
			return 0, err
		}
		for _, v := range seen {
			if v != seen[0] || len(seen) != 4 {
				return 0, fmt.Errorf("%w: %v", errTorn, seen)
			}
		}
		return seen[0], nil
	})
}

// client does what it likes until the power fails.
func (r *linearRun) client(id int, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, uint64(id)))
	for range steps {
		r.mu.Lock()
		dead := r.dead
		r.values++
		value := r.values
		r.mu.Unlock()
		if dead {
			return
		}
		s := strconv.Itoa(rng.IntN(linearSeries))
		switch n := rng.IntN(100); {
		case n < 42:
			r.write(id, s, value)
		case n < 84:
			r.read(id, s)
		case n < 90:
			r.delete(id, s)
		case n < 92:
			all := make([]string, linearSeries)
			for i := range all {
				all[i] = strconv.Itoa(i)
			}
			r.delete(id, all...)
		default:
			// What fails here fails because the power has.
			_ = r.e.shard.Flush(context.Background(), n >= 97)
		}
	}
}

// life lets clients work until the power fails, and opens what it has left.
func (r *linearRun) life(steps int) {
	r.t.Helper()
	seed := r.rng.Uint64()
	var wg sync.WaitGroup
	for id := range linearClients {
		wg.Go(func() { r.client(id, seed, steps) })
	}
	wg.Wait()
	r.mu.Lock()
	r.failPower() // if it has not
	r.mu.Unlock()
	_ = r.e.Close() // of a disk that nobody will see again
	r.disk = r.cut.disk(r.t)
	r.mu.Lock()
	r.clock++
	for _, i := range r.open {
		r.history[i].Return = r.clock // before anybody reads again
	}
	r.clock++
	r.open, r.dead, r.ops, r.crashAt = nil, false, 0, 0
	r.mu.Unlock()
	r.start()
}

// linearHistory makes a history of three lives.
func linearHistory(t *testing.T, seed uint64, lies bool) *linearRun {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	r := &linearRun{t: t, rng: rng, disk: newCrashDisk(vfs.NewCrashableMem(), t.TempDir())}
	r.start()
	defer func() {
		if err := r.e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	for range 2 {
		r.mu.Lock()
		r.percent = []int{0, 0, 100, rng.IntN(101)}[rng.IntN(4)]
		if lies {
			r.percent = 0
			r.disk.lies.Store(true)
		} else {
			r.crashAt = r.ops + 1 + rng.IntN(1000)
		}
		r.mu.Unlock()
		r.life(60)
	}
	for i := range linearSeries {
		r.read(0, strconv.Itoa(i))
	}
	return r
}

func (r *linearRun) check() porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(registerModel.ToModel(), r.history, 20*time.Second)
}

// TestLinearizable: what concurrent clients see of writes and deletes, among flushes,
// compactions and power cuts, is what they would see of one memory that does one after
// the other. So what was answered is seen by all who ask later, what was seen does not
// vanish, and writes keep their order. HEADGATE_LINEAR_ROUNDS makes more histories.
func TestLinearizable(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := crashSeed(t)
	for round := range envInt(t, "HEADGATE_LINEAR_ROUNDS", testkit.Rounds(5)) {
		r := linearHistory(t, seed+uint64(round), false)
		for _, text := range r.torn {
			t.Errorf("seed %d: %s", seed+uint64(round), text)
		}
		if got := r.check(); got != porcupine.Ok {
			t.Fatalf("seed %d: a history of %d operations is %s", seed+uint64(round), len(r.history), got)
		}
	}
}

// TestLyingDiskIsNoticed shows that the check above can fail: a disk whose syncs do
// nothing loses what was answered.
func TestLyingDiskIsNoticed(t *testing.T) {
	testkit.CheckLeaks(t)
	seed := crashSeed(t)
	// What one history's disk forgets may be what nobody reads any more: 167 of 200
	// histories noticed.
	const histories = 8
	noticed := 0
	for i := range uint64(histories) {
		if linearHistory(t, seed+i, true).check() == porcupine.Illegal {
			noticed++
		}
	}
	if noticed < 2 {
		t.Errorf("that a disk lost what it had synced was noticed in %d of %d histories", noticed, histories)
	}
}
