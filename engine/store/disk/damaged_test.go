package disk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/testkit"
)

// countingHandler counts log lines by what they say.
type countingHandler struct {
	slog.Handler
	mu    sync.Mutex
	lines map[string]int
}

func newCountingHandler() *countingHandler {
	return &countingHandler{Handler: slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}), lines: make(map[string]int)}
}

func (h *countingHandler) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines[r.Message]++
	return nil
}

func (h *countingHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *countingHandler) count(message string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lines[message]
}

// tableWith returns the name of the sstable that has what, and what the file has.
func tableWith(t *testing.T, d *memDisk, what string) (string, []byte) {
	t.Helper()
	names, err := d.fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			if data := readFile(t, d.mem, "data/"+name); bytes.Contains(data, []byte(what)) {
				return name, data
			}
		}
	}
	t.Fatalf("no sstable has %q", what)
	return "", nil
}

// A file with a damaged end is found after opening, before anyone reads it, and told
// once, however often it is read; when it is gone, the damage is too.
func TestDamagedFile(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewMem())
	s := mustOpen(t, d.options())
	b := mustBucket(t, s, 3)
	mustCommit(t, b, &Edit{Add: []*Part{mustPart(t, b, 1, 8, 6000), mustPart(t, b, 2, 8, 6000)}})
	mustClose(t, s)
	name, data := tableWith(t, d, "part 2 block 5")
	copy(data[len(data)-8:], "XXXXXXXX")
	writeFile(t, d.mem, "data/"+name, data)

	o := d.options()
	log := newCountingHandler()
	o.Logger = slog.New(log)
	var told atomic.Int32
	o.OnDamage = func(found *DamageError) {
		told.Add(1)
		if text := found.Error(); found.File != name || !strings.Contains(text, "magic number") || strings.Contains(text, "\n") {
			t.Errorf("told of %q", text)
		}
	}
	s = mustOpen(t, o)
	waitFor(t, "the survey", func() bool { return len(s.Damaged()) == 1 })
	b = mustBucket(t, s, 3)
	v := b.Acquire()
	for range 20 {
		if err := readAll(v); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "part 2 block 0") {
			t.Fatal(err)
		}
	}
	v.Release()
	if n := log.count("store file is corrupt") + log.count("store background work failed"); told.Load() != 1 || n != 0 || s.Stats().DamagedFiles != 1 {
		t.Errorf("told %d times, %d log lines besides, %d damaged files", told.Load(), n, s.Stats().DamagedFiles)
	}
	if err := s.DropBucket(3); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the removal", func() bool { return len(s.Damaged()) == 0 })
	mustClose(t, s)
}

// A compaction of Pebble's that meets damage is not begun again and again.
func TestDamagedCompaction(t *testing.T) {
	testkit.CheckLeaks(t)
	d := newMemDisk(vfs.NewMem())
	random := rand.New(rand.NewPCG(seedOf(t), 1))
	definition := func() []byte { // large enough for a block of its own
		b := make([]byte, 5_000)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	large := [][]byte{definition(), definition()}
	mark := large[1][2_500:][:32] // the second shares its block with nothing
	s := mustOpen(t, d.options())
	mustCommit(t, mustBucket(t, s, 3), &Edit{Flushed: 1, Definitions: large})
	if err := s.in.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	name, data := tableWith(t, d, string(mark))
	data[bytes.Index(data, mark)] ^= 1
	writeFile(t, d.mem, "data/"+name, data)

	o := d.options()
	log := newCountingHandler()
	o.Logger = slog.New(log)
	s = mustOpen(t, o)
	b := mustBucket(t, s, 3)
	small := [][]byte{[]byte("a definition")}
	for i := range uint64(2) {
		mustCommit(t, b, &Edit{Flushed: i + 2, Definitions: small})
		if err := s.in.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	const failed = "store background work failed"
	waitFor(t, "the compaction", func() bool { return log.count(failed) > 0 })
	for i := range uint64(5000) {
		mustCommit(t, b, &Edit{Flushed: i + 4, Definitions: small})
	}
	if n := log.count(failed); n > 2+int(time.Since(began)/time.Second) { // a second lies between the first two
		t.Errorf("%d compactions have failed", n)
	}
	if found := s.Damaged(); len(found) != 1 || found[0].File != name || log.count("store file is damaged") != 1 {
		t.Errorf("%v, told %d times", found, log.count("store file is damaged"))
	}
	mustClose(t, s)
}
