package datadir_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"headgate/engine/datadir"
	"headgate/engine/point"
	"headgate/engine/store/disk"
)

// repairAndCompare repairs and expects what is left to be want without what lost says.
func repairAndCompare(t *testing.T, dir string, buckets []string, want map[string]string, lost func(key string) bool) {
	t.Helper()
	if _, err := datadir.Repair(t.Context(), datadir.RepairOptions{Options: datadir.Options{Dir: dir}}); err != nil {
		t.Fatal(err)
	}
	s := openSite(t, dir)
	defer s.close()
	s.buckets = buckets
	left := maps.Clone(want)
	maps.DeleteFunc(left, func(k, _ string) bool { return lost(k) })
	if len(left) == len(want) {
		t.Fatal("nothing is lost")
	}
	got := s.contents()
	for k, v := range left {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	for k, v := range got {
		if _, ok := left[k]; !ok {
			t.Errorf("%s is %q, and should be lost", k, v)
		}
	}
}

// A record of the log that is gone takes along what only it had and defined, and
// nothing else.
func TestLostRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openSite(t, dir)
	write := func(n int) {
		// Each defines a series that the next one uses.
		s.write("b", fmt.Sprintf("m,k=%d v=%d %d\nm,k=%d v=0 %d", n, n, start+int64(n), n+1, start+int64(n)))
	}
	for n := range 5 {
		write(n)
	}
	s.flush()
	for n := 5; n < 12; n++ {
		write(n)
	}
	id := s.bucket("b").ID
	want := s.contents()
	s.close()

	db, err := pebble.Open(filepath.Join(dir, "shard-0001", "log"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	const gone = 9 // wrote m,k=8 and m,k=9, and defined the latter
	key := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(id)), gone)
	if err := db.Delete(key, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// One that is cancelled changes nothing.
	ctx, cancel := context.WithCancel(t.Context())
	_, err = datadir.Repair(ctx, datadir.RepairOptions{Options: datadir.Options{Dir: dir}, Confirm: func(*datadir.Report) bool { cancel(); return true }})
	if left, gerr := filepath.Glob(filepath.Join(dir, "repaired-*")); !errors.Is(err, context.Canceled) || gerr != nil || len(left) > 0 || datadir.Unfinished(dir) != nil {
		t.Errorf("cancelled: %v, %v, %v", err, left, gerr)
	}
	r := check(t, dir)
	if len(r.Problems) != 2 || r.Problems[0].RecordFirst != gone || r.Problems[0].RecordLast != gone || r.Problems[0].Name != "b" ||
		r.Problems[1].RecordFirst != gone+1 || r.Problems[1].Rows != 1 || !strings.Contains(r.Problems[1].String(), "whose name is lost") {
		t.Errorf("%d problems: %v", len(r.Problems), r.Problems)
	}
	repairAndCompare(t, dir, []string{"b"}, want, func(k string) bool {
		return strings.HasSuffix(k, fmt.Sprint(" ", start+8)) || strings.Contains(k, "k=9 ")
	})
}

// Definitions that are gone take along the points of what they name.
func TestLostDefinitions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openSite(t, dir)
	for n := range 4 {
		var lines strings.Builder
		for i := range 50 {
			fmt.Fprintf(&lines, "m,k=%d v=%d %d\n", n, i, start+int64(i))
			fmt.Fprintf(&lines, "old f%d=%d %d\n", n, i, start+int64(i))
			fmt.Fprintf(&lines, "own%d,k=%d v=%d %d\n", n, n, i, start+int64(i))
		}
		s.write("b", lines.String())
		s.flush() // each makes a chunk of definitions
	}
	id := s.bucket("b").ID
	want := s.contents()
	s.close()

	st, err := disk.Open(disk.Options{Dir: filepath.Join(dir, "shard-0001", "data")})
	if err != nil {
		t.Fatal(err)
	}
	b, err := st.Bucket(point.BucketID(id))
	if err != nil {
		t.Fatal(err)
	}
	var chunks [][]byte
	n := 0
	if err := b.Definitions(func(chunk []byte) error {
		if n != 2 {
			chunks = append(chunks, append([]byte(nil), chunk...))
		}
		n++
		return nil
	}); err != nil || n < 4 {
		t.Fatal(n, err)
	}
	if err := b.Commit(t.Context(), &disk.Edit{Definitions: chunks, ReplaceDefinitions: true}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	r := check(t, dir)
	if r.Sound() {
		t.Fatal("nothing is found")
	}
	repairAndCompare(t, dir, []string{"b"}, want, func(k string) bool {
		return strings.Contains(k, "m,k=2 ") || strings.Contains(k, " f2 ") || strings.Contains(k, "own2")
	})
}

// What a check says of a damaged file of the log: which file, by its name in the data
// directory, once; which records, and that what they had cannot be told.
func TestDamagedLogFile(t *testing.T) {
	const records = 12
	for _, tt := range []struct {
		record int
		want   []string // of the texts of the problems, in their order
	}{
		{7, []string{
			`^log: shard-0001/log/00000\d\.log is damaged at offset \d+: it held records that were synced \(group \d+\)
    lost if it is cut out: the records in it that cannot be read: those named below, if there are any, and any that came last in a bucket, which leave no trace$`,
			`^log: bucket "b" \([0-9a-f]{16}\), record 7: missing, and later ones are there
    lost if it is cut out: what this record wrote, deleted or defined; which points that is cannot be told any more$`,
		}},
		{1, []string{
			`^log: shard-0001/log/00000\d\.log is damaged`,
			`^log: bucket "b" \([0-9a-f]{16}\), record 1: missing`,
			`^data: the log of bucket [0-9a-f]{16} begins at record 2, and the data store ends at record 0: the log has lost what is between them, or the data store its newest edits
    lost if it is cut out: what of the data store cannot be read from its other files: what is known of it is named below, and nothing is known to be lost if nothing is$`,
		}},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		s := openSite(t, dir)
		s.bucket("b")
		for n := range records {
			s.write("b", fmt.Sprintf("m%d s=\"record-%02d\" %d", n, n+1, start+int64(n)))
		}
		s.close()
		logs, err := filepath.Glob(filepath.Join(dir, "shard-0001", "log", "*.log"))
		if err != nil || len(logs) != 1 {
			t.Fatal(logs, err)
		}
		b, err := os.ReadFile(logs[0])
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, fmt.Appendf(nil, "record-%02d", tt.record))
		if at < 0 {
			t.Fatalf("record %d is not in %s", tt.record, logs[0])
		}
		b[at] ^= 1
		if err := os.WriteFile(logs[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := check(t, dir)
		if len(r.Problems) != len(tt.want) {
			t.Fatalf("record %d: %v", tt.record, r.Problems)
		}
		for i, want := range tt.want {
			if text := r.Problems[i].String(); !regexp.MustCompile(want).MatchString(text) {
				t.Errorf("record %d: problem %d is\n%s\nwant\n%s", tt.record, i, text, want)
			}
		}
		var damage []string
		all, err := datadir.Inspect(t.Context(), datadir.InspectOptions{Options: datadir.Options{Dir: dir}, Damaged: func(what string) { damage = append(damage, what) }})
		if err != nil || len(all) != 1 || all[0].LogPoints != records-1 || len(damage) == 0 || damage[0] != r.Problems[0].What {
			t.Errorf("record %d: inspect tells of %q, and of %+v, %v", tt.record, damage, all, err)
		}
		if _, err := datadir.Repair(t.Context(), datadir.RepairOptions{Options: datadir.Options{Dir: dir}}); err != nil {
			t.Error(err)
		}
	}
}

// What is said of other damage: each place once, and no more than can be known.
func TestDamageTexts(t *testing.T) {
	flip := func(t *testing.T, path string, at int) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[(at+len(b))%len(b)] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := func(t *testing.T, pattern string) string {
		t.Helper()
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) != 1 {
			t.Fatal(pattern, names, err)
		}
		return names[0]
	}
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		// problem begins the text of one problem, and no other has the same file. note is
		// in a note.
		problem, file, note string
	}{
		{"manifest", func(t *testing.T, dir string) { flip(t, one(t, dir+"/shard-0001/data/MANIFEST-*"), 20) },
			"data: shard-0001/data/MANIFEST-000001 is damaged at offset 0: edits follow\n", "MANIFEST", ""},
		{"sstable is missing", func(t *testing.T, dir string) {
			if err := os.Remove(one(t, dir+"/shard-0001/data/*.sst")); err != nil {
				t.Fatal(err)
			}
		}, "data: a file is missing: ", "(type sstable)", ""},
		{"data store's log", func(t *testing.T, dir string) { flip(t, one(t, dir+"/shard-0001/data/*.log"), 80) },
			"data: bucket \"b\" (ID), part 1: the part has no directory: that is lost, or the part was about to be removed\n    lost if it is cut out: 3 points with 3 values in 3 blocks, of 3 measurements whose names are lost\n", "no directory", ""},
		{"end of the catalog", func(t *testing.T, dir string) { flip(t, dir+"/catalog/journal", -1) },
			"catalog: bucket without a name (ID): the bucket has points", "does not know it",
			"bytes that are no whole change: one that a crash has cut off and nobody was told of, or the last one, damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := openSite(t, dir)
			s.write("b", fmt.Sprintf("m1 v=1 %d\nm2 v=1 %d\nm3 v=1 %d", start, start, start))
			s.flush()
			s.write("b", fmt.Sprintf("m1 v=2 %d", start+1))
			id := s.bucket("b").ID
			left := filepath.Join(t.TempDir(), "left") // as a crash leaves it
			if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			s.close()
			tt.damage(t, left)
			r := check(t, left)
			found := 0
			for _, p := range r.Problems {
				if strings.HasPrefix(p.String(), strings.ReplaceAll(tt.problem, "ID", id.String())) {
					found++
				} else if strings.Contains(p.String(), tt.file) {
					t.Errorf("once more: %s", p)
				}
			}
			if found != 1 || tt.note != "" && !strings.Contains(strings.Join(r.Notes, "\n"), tt.note) {
				t.Errorf("%d are %q:\n%v\n%q", found, tt.problem, r.Problems, r.Notes)
			}
			if _, err := datadir.Repair(t.Context(), datadir.RepairOptions{Options: datadir.Options{Dir: left}}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Numbers of one are in the singular.
func TestSingular(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openSite(t, dir)
	s.write("b", fmt.Sprintf("m v=1 %d", start))
	s.flush()
	s.close()
	tables, err := filepath.Glob(dir + "/shard-0001/data/*.sst")
	if err != nil || len(tables) != 1 {
		t.Fatal(tables, err)
	}
	b, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	b[10] ^= 1
	if err := os.WriteFile(tables[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	check(t, dir).WriteText(&text, true)
	for _, want := range []string{": all of the part: 1 point with 1 value in 1 block, of 1 measurement\n", ": 1 bucket; ", "data store: 1 part, 1 block, ", " bytes, 1 point, 1 value\n1 problem\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s\nhas no %q", text.String(), want)
		}
	}
}

// A record whose own checksum fails is told without the log's prefix and without the
// bucket once more, in another form.
func TestDamagedRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openSite(t, dir)
	for n := range 3 {
		s.write("b", fmt.Sprintf("m v=%d %d", n, start+int64(n)))
	}
	id := s.bucket("b").ID
	s.close()
	db, err := pebble.Open(filepath.Join(dir, "shard-0001", "log"), &pebble.Options{FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	key := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(id)), 2)
	if err := errors.Join(db.Set(key, []byte("not what was appended"), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	r := check(t, dir)
	if len(r.Problems) == 0 {
		t.Fatal("nothing is found")
	}
	if p := r.Problems[0]; p.RecordFirst != 2 || p.RecordLast != 2 || strings.Contains(p.What, "wal:") || strings.Contains(p.What, "bucket") || !strings.Contains(p.Lost, "what this record wrote") {
		t.Errorf("%s", p)
	}
}

// quiet is a logger of Pebble's that says nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
