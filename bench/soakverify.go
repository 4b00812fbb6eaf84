package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ask runs queries one after the other until ctx is done. What a generation that
// nobody writes to any more has must be there at any time.
func (s *soaker) ask(ctx context.Context) {
	q := newQueryClient(s.server.target)
	defer q.close()
	none := func(*queryRow) error { return nil }
	for n := 0; ctx.Err() == nil; n++ {
		begin := time.Now()
		var err error
		switch n % 4 {
		case 0:
			err = q.run(ctx, soakDatabase, "SELECT last(i) FROM soak WHERE host = 'h0' GROUP BY w", none)
		case 1:
			err = q.run(ctx, soakDatabase, "SHOW TAG VALUES WITH KEY = gen", none)
		case 2:
			err = q.run(ctx, soakShortDatabase, "SELECT count(i) FROM soak WHERE time > now() - 2h GROUP BY time(1m), w fill(none)", none)
		case 3:
			snapshot := s.ledger.snapshot()
			for _, k := range slices.SortedFunc(maps.Keys(snapshot.acked), compareSoakKeys) {
				if snapshot.closed(k.generation) && !snapshot.deleting[k] {
					err = s.compareGeneration(ctx, q, k.generation, snapshot, snapshot)
					break
				}
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.ledger.violate("%v", err)
		}
		s.queries.Add(1)
		took := time.Since(begin)
		for old := s.queryMax.Load(); int64(took) > old && !s.queryMax.CompareAndSwap(old, int64(took)); old = s.queryMax.Load() {
		}
		pause(ctx, 250*time.Millisecond)
	}
}

func compareSoakKeys(a, b soakKey) int {
	if a.generation != b.generation {
		return a.generation - b.generation
	}
	return a.writer - b.writer
}

// deleteGenerations deletes from every generation that is over: all of every other
// one, and what the first writer wrote of the rest.
func (s *soaker) deleteGenerations(ctx context.Context) {
	client, base := newHTTPClient(s.server.target)
	defer client.CloseIdleConnections()
	for next := 0; ctx.Err() == nil; {
		pause(ctx, min(s.o.Duration/time.Duration(4*s.o.Generations), time.Second))
		snapshot := s.ledger.snapshot()
		if !snapshot.closed(next) {
			continue
		}
		predicate := fmt.Sprintf(`gen="g%d"`, next)
		keys := []soakKey{{0, next}}
		if next%2 == 0 {
			for w := 1; w < s.o.Writers; w++ {
				keys = append(keys, soakKey{w, next})
			}
		} else {
			predicate += ` AND w="0"`
		}
		s.mark(s.ledger.deleting, keys)
		if err := deleteSeries(ctx, client, base, predicate); err == nil {
			s.mark(s.ledger.deleted, keys)
			s.deletes.Add(1)
			next++
		} else if ctx.Err() == nil && !errors.Is(err, errOverloaded) {
			s.ledger.violate("%v", err)
			next++
		}
	}
}

func (s *soaker) mark(set map[soakKey]bool, keys []soakKey) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	for _, k := range keys {
		set[k] = true
	}
}

var errOverloaded = errors.New("bench: the server is overloaded")

func deleteSeries(ctx context.Context, client *http.Client, base, predicate string) error {
	body := fmt.Sprintf(`{"start":"2000-01-01T00:00:00Z","stop":"2100-01-01T00:00:00Z","predicate":%s}`, strconv.Quote(predicate))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v2/delete?bucket="+soakDatabase, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("delete %s: %w", predicate, err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusServiceUnavailable:
		return errOverloaded
	}
	text := make([]byte, 300)
	n, _ := resp.Body.Read(text)
	return fmt.Errorf("delete %s: status %s: %s", predicate, resp.Status, text[:n])
}

// soakBackup is a backup, and what was acknowledged when it began and when it ended.
type soakBackup struct {
	file          string
	before, after *soakLedger
}

// backUp makes backups, spread evenly over the run, and keeps the last.
func (s *soaker) backUp(ctx context.Context) {
	for n := range max(s.o.Backups, 0) {
		pause(ctx, s.o.Duration/time.Duration(s.o.Backups+1))
		if ctx.Err() != nil {
			return
		}
		b := &soakBackup{file: filepath.Join(s.o.Dir, fmt.Sprintf("backup-%d.tar.zst", n)), before: s.ledger.snapshot()}
		// Not ctx: one that was begun is finished.
		err := s.headgate("backup", "--host", "http://"+s.server.target.host, b.file)
		b.after = s.ledger.snapshot()
		if err != nil {
			s.ledger.violate("%v", err)
			continue
		}
		s.backups.Add(1)
		if s.lastly != nil {
			_ = os.Remove(s.lastly.file) // it is only in the way
		}
		s.lastly = b
	}
}

// headgate runs the binary for something else than serving.
func (s *soaker) headgate(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.o.Server, args...)
	cmd.Env = environmentWithoutFlags()
	cmd.SysProcAttr = dieWithParent()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("headgate %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// verify reads everything back: from the server as it is, after it was stopped and
// started again if it is ours, and from the last backup.
func (s *soaker) verify(ctx context.Context) error {
	if err := s.verifyServer(ctx); err != nil {
		return err
	}
	if s.o.URL == "" {
		if err := s.server.stop(s.o.StartTimeout); err != nil {
			return err
		}
		if err := s.start(ctx, s.server); err != nil {
			return err
		}
		if err := s.verifyServer(ctx); err != nil {
			return err
		}
	}
	return s.verifyBackup(ctx)
}

func (s *soaker) verifyServer(ctx context.Context) error {
	s.report.Verified = 0
	if err := s.compareAll(ctx, s.server.target, s.ledger, s.ledger); err != nil {
		return err
	}
	if err := s.compareShort(ctx); err != nil {
		return err
	}
	s.crash.report.PointsRead = 0
	if err := s.crash.readAll(ctx); err != nil {
		return err
	}
	s.report.Verified += s.crash.report.PointsRead
	return nil
}

// compareAll compares every generation with what was acknowledged: at least least,
// at most most, and exactly when nobody wrote to it in between.
func (s *soaker) compareAll(ctx context.Context, t Target, least, most *soakLedger) error {
	q := newQueryClient(t)
	defer q.close()
	generations := map[int]bool{}
	for k := range most.acked {
		generations[k.generation] = true
	}
	for k := range most.unsure {
		generations[k.generation] = true
	}
	for _, g := range slices.Sorted(maps.Keys(generations)) {
		if err := s.compareGeneration(ctx, q, g, least, most); err != nil {
			return err
		}
	}
	return q.run(ctx, soakDatabase, "SHOW TAG VALUES FROM soak WITH KEY = gen", func(r *queryRow) error {
		g, err := strconv.Atoi(strings.TrimPrefix(fmt.Sprint(r.column("value")), "g"))
		if err != nil || !generations[g] {
			s.ledger.violate("invented: generation %v", r.column("value"))
		} else if left := slices.ContainsFunc(slices.Collect(maps.Keys(most.acked)), func(k soakKey) bool {
			return k.generation == g && !least.deleted[k]
		}); !left {
			s.ledger.violate("deleted: generation %d is still named", g)
		}
		return nil
	})
}

func (s *soaker) compareGeneration(ctx context.Context, q *queryClient, g int, least, most *soakLedger) error {
	got := map[soakKey]soakSum{}
	for w := range s.o.Writers {
		k := soakKey{w, g}
		if most.acked[k].count == 0 && most.unsure[k].count == 0 {
			continue
		}
		statement := fmt.Sprintf("SELECT count(i) AS n, sum(i) AS s FROM soak WHERE gen = 'g%d' AND w = '%d'", g, w)
		err := q.run(ctx, soakDatabase, statement, func(r *queryRow) (err error) {
			var sum soakSum
			if sum.count, err = r.integer("n"); err == nil {
				sum.sum, err = r.integer("s")
			}
			got[k] = sum
			return err
		})
		if err != nil {
			return err
		}
		deletedMeanwhile := s.ledger.snapshot().deleting[k]
		if text := soakFault(got[k], k, least, most, int64(s.o.Lines), deletedMeanwhile); text != "" {
			s.ledger.violate("writer %d, generation %d: %s", w, g, text)
		}
		s.report.Verified += got[k].count
	}
	return nil
}

// soakFault says what is wrong with what was read, "" for nothing. batch is how many
// points may have been under way while least and most were noted.
func soakFault(got soakSum, k soakKey, least, most *soakLedger, batch int64, deleting bool) string {
	low, high := least.acked[k], most.acked[k]
	switch {
	case least.deleted[k]:
		if got.count != 0 {
			return fmt.Sprintf("deleted points are back: %d", got.count)
		}
		return ""
	case deleting:
		return "" // at any moment
	case got == high && low == high:
		return ""
	}
	unsure := most.unsure[k]
	withUnsure := high
	withUnsure.add(unsure)
	switch {
	case got.count < low.count:
		return fmt.Sprintf("lost: %d points of %d are there", got.count, low.count)
	case low == high && least.closed(k.generation) && unsure.count == 0, low == high && got.count == high.count:
		return fmt.Sprintf("%d points with the sum %d are there, not %d with %d", got.count, got.sum, high.count, high.sum)
	case got.count > withUnsure.count+batch:
		return fmt.Sprintf("invented: %d points, at most %d were sent", got.count, withUnsure.count+batch)
	}
	return ""
}

// compareShort compares what has not expired yet, and that what has is not to be seen.
func (s *soaker) compareShort(ctx context.Context) error {
	const margin = 5 * time.Second
	q := newQueryClient(s.server.target)
	defer q.close()
	expired := time.Now().Add(-soakRetention).Unix()
	err := q.run(ctx, soakShortDatabase, fmt.Sprintf("SELECT count(i) AS n FROM soak WHERE time < %ds", expired), func(r *queryRow) error {
		if n, err := r.integer("n"); err != nil || n > 0 {
			s.ledger.violate("expired points are there: %v", r.column("n"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	from := time.Now().Add(margin - soakRetention).Unix()
	var want, got soakSum
	for second, sum := range s.ledger.short {
		if second >= from {
			want.add(sum)
		}
	}
	err = q.run(ctx, soakShortDatabase, fmt.Sprintf("SELECT count(i) AS n, sum(i) AS s FROM soak WHERE time >= %ds", from), func(r *queryRow) (err error) {
		if got.count, err = r.integer("n"); err == nil {
			got.sum, err = r.integer("s")
		}
		return err
	})
	if err != nil {
		return err
	}
	if time.Now().Add(-soakRetention).Unix() >= from {
		return nil // the query took longer than the margin
	}
	if got.count < want.count || got.count == want.count && got.sum != want.sum || got.count > want.count+int64(s.o.Writers*s.o.Lines) {
		s.ledger.violate("%s: %d points with the sum %d have not expired, want %d with %d", soakShortDatabase, got.count, got.sum, want.count, want.sum)
	}
	s.report.Verified += got.count
	return nil
}

// verifyBackup restores the last backup and compares it, in a server of its own.
func (s *soaker) verifyBackup(ctx context.Context) error {
	b := s.lastly
	if b == nil {
		if s.o.Backups > 0 && s.backups.Load() == 0 {
			return errors.New("bench: soak: no backup was made")
		}
		return nil
	}
	restored := &server{binary: s.o.Server, dir: filepath.Join(s.o.Dir, "restored")}
	if err := os.MkdirAll(restored.dir, 0o750); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := s.headgate("restore", "--data-dir", filepath.Join(restored.dir, "data"), b.file); err != nil {
		return err
	}
	defer restored.kill()
	if err := s.start(ctx, restored); err != nil {
		return err
	}
	// What was being deleted, or was deleted meanwhile, may be in it or not.
	verified := s.report.Verified
	known := s.ledger
	s.ledger = b.after
	err := s.compareAll(ctx, restored.target, b.before, b.after)
	s.ledger = known
	for _, text := range b.after.found.texts {
		s.ledger.violate("the last backup: %s", text)
	}
	s.report.Verified = verified
	return err
}
