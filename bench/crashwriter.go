package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
)

// pointsPerRoundMax is how many points a writer sends in a round before it goes on
// with single lines: it bounds the time that reading everything back takes.
const pointsPerRoundMax = 4000

// crashRound is one life of the server: what its writers and readers share.
type crashRound struct {
	ledger *ledger
	target Target
	query  *queryClient
	number int
	// dying is set before the server is killed. From then on an error is what was
	// to be expected; before, it is a violation.
	dying atomic.Bool
	reads *atomic.Int64
	// pace is how long a writer waits between two batches.
	pace time.Duration
}

// crashWriter sends one batch after another until the server dies.
type crashWriter struct {
	*crashRound
	id   int
	rng  *rand.Rand
	body []byte
	wire bytes.Buffer
	gz   *gzip.Writer
	head []byte
}

func newCrashWriter(r *crashRound, id int, seed uint64) *crashWriter {
	return &crashWriter{
		crashRound: r, id: id, gz: gzip.NewWriter(nil),
		rng: rand.New(rand.NewPCG(seed, uint64(r.number)<<32|uint64(id))),
	}
}

func (w *crashWriter) run(ctx context.Context) {
	c, err := Dial(ctx, w.target)
	if err != nil {
		w.broken(ctx, err)
		return
	}
	defer func() { _ = c.Close() }()
	for sent := 0; !w.dying.Load() && ctx.Err() == nil; pause(ctx, w.pace) {
		rewrite := -1
		if w.rng.IntN(8) == 0 {
			rewrite = w.ledger.rewritable(w.id, w.rng.IntN)
		}
		a := w.ledger.begin(w.id, w.number, rewrite, sent > pointsPerRoundMax)
		sent += a.shape.lines
		head, body := w.request(a)
		answer, err := c.Do(head, body, time.Now().Add(time.Minute))
		if err != nil {
			w.ledger.leave(a)
			w.broken(ctx, fmt.Errorf("write: %w", err))
			return
		}
		if w.judge(ctx, a, answer) && w.rng.IntN(16) == 0 {
			w.readBack(ctx, a)
		}
		if c.Spent() {
			_ = c.Close()
			if c, err = Dial(ctx, w.target); err != nil {
				w.broken(ctx, err)
				return
			}
		}
	}
}

// broken notes that the server could not be reached; before it was killed it must
// not happen.
func (r *crashRound) broken(ctx context.Context, err error) {
	if !r.dying.Load() && ctx.Err() == nil {
		r.ledger.violate("round %d: the server was not killed yet: %v", r.number, err)
	}
}

// request makes the request of an attempt: v1 or v2 path, one of the precisions,
// compressed or not.
func (w *crashWriter) request(a attempt) (head_, body []byte) {
	h := w.ledger.data.mix(saltWire, a.key.writer, a.version)
	unit := []struct {
		v1, v2 string
		ticks  int64
	}{{"n", "ns", 1}, {"u", "us", 1e3}, {"ms", "ms", 1e6}}[h%3]
	r := head{method: "POST"}
	if h>>8%2 == 0 {
		r.path = "/write?db=" + a.shape.database + "&precision=" + unit.v1
	} else {
		r.path = "/api/v2/write?bucket=" + a.shape.database + "&precision=" + unit.v2
	}
	w.body = w.ledger.data.appendBatch(w.body[:0], a.key, a.shape, a.version, unit.ticks)
	body = w.body
	if h>>16%4 == 0 {
		r.encoding = "gzip"
		w.wire.Reset()
		w.gz.Reset(&w.wire)
		// Neither can fail: a bytes.Buffer takes everything.
		_, _ = w.gz.Write(w.body)
		_ = w.gz.Close()
		body = w.wire.Bytes()
	}
	w.head = r.append(w.head[:0], w.target, len(body))
	return w.head, body
}

// judge enters an answer into the ledger, and reports whether it acknowledged the
// batch.
func (w *crashWriter) judge(ctx context.Context, a attempt, answer Answer) bool {
	want := [...]int{goodBatch: 204, mixedBatch: 422, malformedBatch: 400}[a.shape.kind]
	switch {
	case answer.Status == 503 && strings.Contains(string(answer.Body), "may yet be stored"):
		w.ledger.leave(a)
	case answer.Status == 503:
		w.ledger.refuse(a, false)
		pause(ctx, 20*time.Millisecond)
	case answer.Status != want:
		w.ledger.violate("round %d: writer %d version %d, %s: status %d, want %d: %.300s",
			w.number, w.id, a.version, kindText(a.shape.kind), answer.Status, want, answer.Body)
		w.ledger.leave(a)
	case answer.Status == 400:
		w.ledger.refuse(a, true)
	default:
		if answer.Status == 422 {
			w.judgeCounts(a, answer.Body)
		}
		w.ledger.acknowledge(a)
		return true
	}
	return false
}

func kindText(k batchKind) string {
	return [...]string{goodBatch: "a good batch", mixedBatch: "a batch with type conflicts", malformedBatch: "a malformed batch"}[k]
}

// judgeCounts checks what a 422 says about how many points are stored.
func (w *crashWriter) judgeCounts(a attempt, body []byte) {
	var told struct {
		Written *int `json:"written"`
		Dropped *int `json:"dropped"`
	}
	written := w.ledger.data.accepted(a.key, a.shape)
	if len(body) == answerBytesMax { // cut, so it is no JSON any more
		return
	}
	if err := json.Unmarshal(body, &told); err != nil || told.Written == nil || told.Dropped == nil {
		w.ledger.violate("round %d: a 422 without written and dropped: %.300s", w.number, body)
		return
	}
	if *told.Written != written || *told.Dropped != a.shape.lines-written {
		w.ledger.violate("round %d: a 422 tells %d written and %d dropped, of %d lines %d are good",
			w.number, *told.Written, *told.Dropped, a.shape.lines, written)
	}
}

// readBack checks that an acknowledged batch can be queried at once.
func (w *crashWriter) readBack(ctx context.Context, a attempt) {
	statement := fmt.Sprintf("SELECT count(v) AS n FROM %s WHERE w = '%d' AND v = %d AND time >= %d AND time <= %d",
		a.shape.measurement, w.id, a.version, lineTime(a.key.slot, 0), lineTime(a.key.slot, crashLinesMax-1))
	var got int64
	err := w.query.run(ctx, a.shape.database, statement, func(r *queryRow) (err error) {
		got, err = r.integer("n")
		return err
	})
	if err != nil {
		w.broken(ctx, err)
		return
	}
	w.reads.Add(1)
	if want := int64(w.ledger.data.accepted(a.key, a.shape)); got != want {
		w.ledger.violate("round %d: writer %d slot %d: right after the reply a query sees %d of %d points of version %d",
			w.number, w.id, a.key.slot, got, want, a.version)
	}
}

// watch queries the newest points of all writers again and again until the server
// dies, and enters into the ledger what it saw: a point that anyone has read must
// survive, acknowledged or not.
func (r *crashRound) watch(ctx context.Context, writers int, rng *rand.Rand) {
	for !r.dying.Load() && ctx.Err() == nil {
		writer := rng.IntN(writers)
		statement := fmt.Sprintf("SELECT v FROM %s WHERE w = '%d' ORDER BY time DESC LIMIT 3",
			crashMeasurement(rng.IntN(crashMeasurements)), writer)
		err := r.query.run(ctx, crashDatabase(rng.IntN(crashDatabases)), statement, func(row *queryRow) error {
			ns, err := row.integer("time")
			if err != nil {
				return err
			}
			version, err := row.integer("v")
			if err != nil {
				return err
			}
			if slot, _, ok := lineOfTime(ns); ok {
				r.ledger.sighted(slotKey{writer, slot}, int(version))
			}
			return nil
		})
		if err != nil {
			r.broken(ctx, err)
			return
		}
		r.reads.Add(1)
		pause(ctx, 3*time.Millisecond)
	}
}
