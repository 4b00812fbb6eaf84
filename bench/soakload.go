package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What Soak writes: points whose values follow from their writer, generation and
// number, so that the ledger needs counts and sums only.
//
//	soak,gen=g3,host=h17,w=2 f=0.25,i=1804289383i 1704067217000012000
//	     |                      |    |             |
//	     |                      |    a hash        a microsecond for each point of a writer
//	     new series with each   i/2^32
//
// A generation lasts a while, and then new series take the place of all there were.
const (
	soakDatabase      = "soak"
	soakShortDatabase = "soak_short"
	soakMeasurement   = "soak"
	// soakRetention is the retention period of the short database, the shortest there
	// is. Its points are written when they have only a little of it left.
	soakRetention = time.Hour
	// soakLate is by how much a point that comes out of order is too late.
	soakLate = 10 * time.Minute
)

// soakKey names what one writer writes in one generation.
type soakKey struct{ writer, generation int }

// soakSum is how many points there are, and the sum of their field i.
type soakSum struct{ count, sum int64 }

func (s *soakSum) add(other soakSum) { s.count += other.count; s.sum += other.sum }

// soakLedger is what was acknowledged. Safe for concurrent use.
type soakLedger struct {
	mu sync.Mutex
	// acked is durable. unsure may be: its request was not answered in the end.
	acked, unsure map[soakKey]soakSum
	// deleting is set before a delete is sent, deleted once it was answered.
	deleting, deleted map[soakKey]bool
	// generation is the newest that was begun, and current[w] what writer w is at.
	current []int
	// short is the points of the short database: by the second they are of.
	short map[int64]soakSum
	found violations
}

func newSoakLedger(writers int) *soakLedger {
	return &soakLedger{
		acked: map[soakKey]soakSum{}, unsure: map[soakKey]soakSum{}, deleting: map[soakKey]bool{}, deleted: map[soakKey]bool{},
		current: make([]int, writers), short: map[int64]soakSum{},
	}
}

func (l *soakLedger) violate(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found.add(format, args...)
}

// closed reports whether nobody writes to a generation any more.
func (l *soakLedger) closed(generation int) bool {
	for _, g := range l.current {
		if g <= generation {
			return false
		}
	}
	return true
}

// snapshot returns a copy of what must be there now.
func (l *soakLedger) snapshot() *soakLedger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := newSoakLedger(len(l.current))
	for k, s := range l.acked {
		c.acked[k] = s
	}
	for k := range l.deleting {
		c.deleting[k] = true
	}
	for k := range l.deleted {
		c.deleted[k] = true
	}
	copy(c.current, l.current)
	return c
}

// soakWriter sends one batch after another, as they arrive.
type soakWriter struct {
	*loadWorker
	ledger      *soakLedger
	id          int
	seed        uint64
	lines       int
	hosts       int
	outOfOrder  float64
	generation  func(time.Duration) int
	shortEvery  int
	shortLife   time.Duration
	batches     int64
	points      int64 // given out, which is each one's number
	body, wire  []byte
	refused     int64
	pointsAcked int64
}

func (w *soakWriter) run(ctx context.Context) {
	defer w.hangUp()
	for ctx.Err() == nil {
		intended := time.Now()
		if w.schedule != nil {
			now := time.Since(w.begin)
			at := w.schedule.take(now)
			intended = w.begin.Add(at)
			pause(ctx, at-now)
			if ctx.Err() != nil {
				return
			}
		}
		w.batches++
		if w.shortEvery > 0 && w.batches%int64(w.shortEvery) == 0 {
			w.sendShort(ctx, intended)
			continue
		}
		k := soakKey{w.id, w.generation(time.Since(w.begin))}
		w.ledger.mu.Lock()
		w.ledger.current[w.id] = k.generation
		w.ledger.mu.Unlock()
		of := w.batch(k)
		acked, sent := w.sendUntilAcked(ctx, soakDatabase, intended)
		w.ledger.mu.Lock()
		if acked {
			s := w.ledger.acked[k]
			s.add(of)
			w.ledger.acked[k] = s
			w.pointsAcked += of.count
		} else if sent {
			s := w.ledger.unsure[k]
			s.add(of)
			w.ledger.unsure[k] = s
		}
		w.ledger.mu.Unlock()
	}
}

// batch makes the body of the next batch.
func (w *soakWriter) batch(k soakKey) (of soakSum) {
	base := crashEpoch.UnixNano()
	head := soakMeasurement + ",gen=g" + strconv.Itoa(k.generation) + ",host=h"
	tail := ",w=" + strconv.Itoa(w.id) + " f="
	late := uint64(w.outOfOrder * (1 << 32))
	w.body = w.body[:0]
	for range w.lines {
		n := w.points
		w.points++
		h := splitmix(w.seed ^ uint64(w.id)<<48 ^ uint64(n))
		value := int64(h >> 33)
		at := base + n*int64(time.Microsecond)
		if splitmix(h)>>32 < late { // half a microsecond is nobody else's
			at += -int64(soakLate) + 500
		}
		w.body = append(w.body, head...)
		w.body = strconv.AppendInt(w.body, n%int64(w.hosts), 10)
		w.body = append(w.body, tail...)
		w.body = strconv.AppendFloat(w.body, float64(value&1023)/8, 'g', -1, 64)
		w.body = append(w.body, ",i="...)
		w.body = strconv.AppendInt(w.body, value, 10)
		w.body = append(w.body, 'i', ' ')
		w.body = strconv.AppendInt(w.body, at, 10)
		w.body = append(w.body, '\n')
		of.add(soakSum{1, value})
	}
	return of
}

// sendShort writes points that will soon have expired.
func (w *soakWriter) sendShort(ctx context.Context, intended time.Time) {
	second := time.Now().Add(w.shortLife - soakRetention).Unix()
	w.body = w.body[:0]
	var of soakSum
	for range min(w.lines, 100) {
		n := w.points
		w.points++
		w.body = fmt.Appendf(w.body, "%s,w=%d i=%di %d\n", soakMeasurement, w.id, n, second*1e9+n%1e9)
		of.add(soakSum{1, n})
	}
	if acked, _ := w.sendUntilAcked(ctx, soakShortDatabase, intended); acked {
		w.ledger.mu.Lock()
		s := w.ledger.short[second]
		s.add(of)
		w.ledger.short[second] = s
		w.pointsAcked += of.count
		w.ledger.mu.Unlock()
	}
}

// sendUntilAcked sends the body until it is acknowledged: what is sent again is the
// same points. sent is set when it may be stored although it was not.
func (w *soakWriter) sendUntilAcked(ctx context.Context, database string, intended time.Time) (acked, sent bool) {
	for {
		if w.dial(ctx) == nil {
			w.wire = head{method: "POST", path: "/write?db=" + database}.append(w.wire[:0], w.target, len(w.body))
			answer, err := w.conn.Do(w.wire, w.body, time.Now().Add(w.timeout))
			if w.conn.Spent() || err != nil {
				w.hangUp()
			}
			w.requests++
			switch {
			case err != nil:
				sent = true
				w.live.broke()
				w.ledger.violate("a write was not answered: %v", err)
			case answer.Status == 204:
				w.live.answered(time.Since(intended), int64(w.lines), true)
				return true, true
			case answer.Status == 503:
				sent = sent || strings.Contains(string(answer.Body), "may yet be stored")
				w.refused++
				w.live.answered(time.Since(intended), 0, false)
				pause(ctx, min(max(answer.RetryAfter, 100*time.Millisecond), 2*time.Second))
			case answer.Status == 422 && database == soakShortDatabase:
				return false, true // it took so long that they have expired
			default:
				w.ledger.violate("a write was answered %d: %.300s", answer.Status, answer.Body)
				return false, true
			}
		} else {
			pause(ctx, 100*time.Millisecond)
		}
		if ctx.Err() != nil {
			return false, sent
		}
	}
}
