package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fixture writes a journal of a base and five transactions and returns its bytes,
// where the base ends, and what the catalog held after each prefix of whole
// records.
func fixture(t *testing.T) (b []byte, baseEnd int64, states map[int64]string) {
	t.Helper()
	dir := t.TempDir()
	c := open(t, dir, Options{})
	org := putOrg(t, c, "base")
	putBucket(t, c, org, "in the base")
	if err := c.journal.rewrite(dump(c.View())); err != nil {
		t.Fatal(err)
	}
	baseEnd = c.journal.end
	states = map[int64]string{baseEnd: dumpText(c.View())}
	for i := range 5 {
		putBucket(t, c, org, fmt.Sprint("b", i))
		states[c.journal.end] = dumpText(c.View())
	}
	c.Close()
	b, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil {
		t.Fatal(err)
	}
	return b, baseEnd, states
}

// reopen opens a catalog whose journal is b.
func reopen(t *testing.T, b []byte) (*Catalog, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, journalName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir, Options{PasswordCost: 4, ops: lazyOps()})
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// read replays a journal as opening it would, without files: what it holds and
// where its last good record ends.
func read(b []byte) (state string, end int64, err error) {
	v := newView()
	var j journal
	err = j.read(journalName, b, v.replay(new(edit)))
	return dumpText(v), j.end, err
}

// lazyOps are operations without syncs, for tests that open hundreds of files and
// crash none.
func lazyOps() *fileOps {
	ops := osFileOps()
	ops.sync = func(*os.File) error { return nil }
	ops.syncDir = func(string) error { return nil }
	return &ops
}

// stateAt is the state after the last record that ends at or before n.
func stateAt(states map[int64]string, n int64) string {
	best := int64(-1)
	for end := range states {
		if end <= n && end > best {
			best = end
		}
	}
	return states[best]
}

// Cut off anywhere, the journal gives the records that are whole; inside the base,
// which was synced before it got its name, it is corrupt.
func TestTruncatedAnywhere(t *testing.T) {
	b, baseEnd, states := fixture(t)
	for n := range b {
		state, end, err := read(b[:n])
		switch {
		case int64(n) < baseEnd:
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("cut at %d, in the base: %v, want ErrCorrupt", n, err)
			}
		case err != nil:
			t.Errorf("cut at %d: %v", n, err)
		case state != stateAt(states, int64(n)) || state != states[end]:
			t.Errorf("cut at %d: not the state of the whole records", n)
		}
	}
}

// What is written after a torn tail has been cut off is not hidden by it.
func TestTornTailIsCutOff(t *testing.T) {
	b, baseEnd, states := fixture(t)
	for end := range states {
		for _, n := range []int64{end - 1, end, end + 1, end + recordHeaderLen} {
			if n < baseEnd || n > int64(len(b)) {
				continue
			}
			c, err := reopen(t, b[:n])
			if err != nil {
				t.Fatalf("cut at %d: %v", n, err)
			}
			if dumpText(c.View()) != stateAt(states, n) {
				t.Errorf("cut at %d: not the state of the whole records", n)
			}
			putBucket(t, c, c.View().Organizations()[0].ID, "after")
			want := dumpText(c.View())
			whole, err := os.ReadFile(c.journal.f.Name())
			if err != nil {
				t.Fatal(err)
			}
			if state, _, err := read(whole); err != nil || state != want {
				t.Errorf("cut at %d: what was written afterwards is lost: %v", n, err)
			}
		}
	}
}

// A tail that is torn in the way of a file system that grows a file before it
// writes the data: zeros, or old bytes, of the full length.
func TestTornTailOfFullLength(t *testing.T) {
	b, _, states := fixture(t)
	var last, before int64
	for end := range states {
		last = max(last, end)
	}
	for end := range states {
		if end < last {
			before = max(before, end)
		}
	}
	for _, fill := range []byte{0, 0xff, '{'} {
		torn := append([]byte(nil), b...)
		for i := before; i < last; i++ {
			torn[i] = fill
		}
		if state, end, err := read(torn); err != nil || end != before || state != states[before] {
			t.Errorf("tail of %#x: read up to %d, want %d: %v", fill, end, before, err)
		}
	}
}

// A changed byte anywhere before the last record is found and named; in the last
// record it cannot be told from a torn write.
func TestDamageIsFound(t *testing.T) {
	b, _, states := fixture(t)
	var ends []int64
	for end := range states {
		ends = append(ends, end)
	}
	for at := range b {
		damaged := append([]byte(nil), b...)
		damaged[at] ^= 0x20
		state, _, err := read(damaged)
		after := 0
		for _, end := range ends {
			if end > int64(at) {
				after++
			}
		}
		switch {
		case after > 1: // whole records follow
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("byte %d changed: %v, want ErrCorrupt", at, err)
			} else if msg := err.Error(); !strings.Contains(msg, "offset") || !strings.Contains(msg, journalName) {
				t.Errorf("byte %d changed: %q does not name file and offset", at, msg)
			}
		case err != nil:
			t.Errorf("byte %d of the last record changed: %v", at, err)
		case state == stateAt(states, int64(len(b))):
			t.Errorf("byte %d of the last record changed, and nobody noticed", at)
		}
	}
}

func TestMissingRecordIsFound(t *testing.T) {
	b, baseEnd, states := fixture(t)
	first := int64(len(b))
	for end := range states {
		if end > baseEnd {
			first = min(first, end)
		}
	}
	cut := append(append([]byte(nil), b[:baseEnd]...), b[first:]...)
	if _, err := reopen(t, cut); !errors.Is(err, ErrCorrupt) { // through Open, for once
		t.Errorf("with a record missing: %v, want ErrCorrupt", err)
	}
}

// Whatever operation fails, an update that returns an error has changed nothing,
// the next one works, and a restart finds what was acknowledged.
func TestFailingDisk(t *testing.T) {
	boom := errors.New("no space left on device")
	for _, failing := range []string{"write", "sync", "rename", "syncDir"} {
		for after := range 4 {
			t.Run(fmt.Sprint(failing, " after ", after), func(t *testing.T) {
				armed, calls := false, 0
				hit := func(op string) error {
					if !armed || op != failing {
						return nil
					}
					if calls++; calls == after+1 {
						return boom
					}
					return nil
				}
				ops, real := osFileOps(), osFileOps()
				ops.write = func(f *os.File, b []byte, off int64) error {
					if err := hit("write"); err != nil {
						_ = real.write(f, b[:len(b)/2], off) // a short write
						return err
					}
					return real.write(f, b, off)
				}
				ops.sync = func(f *os.File) error { return errors.Join(hit("sync"), real.sync(f)) }
				ops.rename = func(from, to string) error {
					if err := hit("rename"); err != nil {
						return err
					}
					return real.rename(from, to)
				}
				ops.syncDir = func(dir string) error { return errors.Join(hit("syncDir"), real.syncDir(dir)) }

				dir := t.TempDir()
				c := open(t, dir, Options{ops: &ops})
				org := putOrg(t, c, "acme")
				armed = true
				want := dumpText(c.View())
				failures := 0
				for i := range 8 {
					if i == 2 {
						c.mu.Lock()
						err := c.journal.rewrite(dump(c.View())) // as growth would
						c.mu.Unlock()
						if err != nil {
							failures++
						}
					}
					err := c.Update(func(tx *Tx) error {
						return tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: org, Name: fmt.Sprint("b", i)})
					})
					if err == nil {
						want = dumpText(c.View())
						continue
					}
					failures++
					if !errors.Is(err, boom) {
						t.Errorf("step %d: %v, want the disk's error", i, err)
					}
					if got := dumpText(c.View()); got != want {
						t.Errorf("step %d: a failed update is visible", i)
					}
				}
				if failures > 1 {
					t.Errorf("%d operations failed of one fault", failures)
				}
				c.Close()
				armed = false
				again := open(t, dir, Options{})
				if got := dumpText(again.View()); got != want {
					t.Errorf("after a restart:\n%s\nwant:\n%s", got, want)
				}
			})
		}
	}
}

// FuzzRecord: whatever follows a good base, opening neither panics nor takes what
// no transaction wrote.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`[{"k":"org","put":{"id":"0000000000000001","name":"x"}}]`), uint64(1))
	f.Add([]byte(`[{"k":"bucket","put":{"id":"0000000000000001","org":"0000000000000002"}}]`), uint64(1))
	f.Add([]byte(`[{"k":"nope","del":"0000000000000001"}]`), uint64(9))
	f.Add([]byte(`{}`), uint64(0))
	base := make([]byte, journalHeaderLen)
	copy(base, journalMagic)
	binary.LittleEndian.PutUint64(base[8:], journalHeaderLen)
	binary.LittleEndian.PutUint32(base[16:], crc32.Checksum(base[:16], castagnoli))
	f.Fuzz(func(t *testing.T, payload []byte, sequence uint64) {
		v := newView()
		var j journal
		b := appendRecord(base, sequence, payload)
		if err := j.read(journalName, b, v.replay(new(edit))); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		checkIndexes(t, v)
		want := dumpText(v)
		again := newView()
		replay := again.replay(new(edit))
		for payload := range dump(v) {
			if err := replay(payload); err != nil {
				t.Fatalf("read once, but not twice: %v", err)
			}
		}
		if dumpText(again) != want {
			t.Fatal("not the same when read again")
		}
	})
}
