package datadir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"headgate/engine"
	"headgate/engine/datadir"
	"headgate/engine/point"
	"headgate/engine/testkit"
)

// seedOf is what the environment says, so that a run can be repeated, or the time.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("HEADGATE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("HEADGATE_SEED=%d", seed)
	return seed
}

// start is the time of the first point of every test.
const start = int64(1_700_000_000_000_000_000)

// site is a data directory and what has been written to it.
type site struct {
	t   *testing.T
	dir string
	e   *engine.Engine
	org point.ID
	// buckets are the names, in order of creation.
	buckets []string
}

func openSite(t *testing.T, dir string) *site {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Options{Dir: dir, AuthDisabled: true, MemoryBytesMax: 64 << 20, MemtableBytesMax: 256 << 10, FlushAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, e: e}
	t.Cleanup(func() { _ = e.Close() })
	org, err := e.DefaultOrganization()
	if err != nil {
		t.Fatal(err)
	}
	s.org = org.ID
	return s
}

func (s *site) close() {
	s.t.Helper()
	if err := s.e.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) bucket(name string) engine.Bucket {
	s.t.Helper()
	b, ok := s.e.BucketByName(s.org, name)
	if !ok {
		var err error
		b, err = s.e.CreateBucket(s.t.Context(), s.e.Operator(), engine.BucketRequest{OrgID: s.org, Name: name})
		if err != nil {
			s.t.Fatal(err)
		}
		s.buckets = append(s.buckets, name)
	}
	return b
}

func (s *site) write(bucket, lines string) {
	s.t.Helper()
	if err := s.e.Write(s.t.Context(), s.bucket(bucket).ID, []byte(lines), engine.Nanosecond); err != nil {
		s.t.Fatal(err)
	}
}

// delete deletes measurements.
func (s *site) delete(bucket string, measurements ...string) {
	s.t.Helper()
	for _, m := range measurements {
		err := s.e.Delete(s.t.Context(), s.e.Operator(), engine.DeleteRequest{
			Bucket: s.bucket(bucket).ID, Min: point.TimeMin, Max: point.TimeMax, Predicate: []engine.TagCondition{{Key: "_measurement", Value: m}},
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// flush puts everything that is in memory into the data store.
func (s *site) flush() {
	s.t.Helper()
	if err := s.e.Compact(s.t.Context(), s.e.Operator()); err != nil {
		s.t.Fatal(err)
	}
}

// contents is every value, by bucket, measurement, tags, field and time.
func (s *site) contents() map[string]string {
	s.t.Helper()
	found := make(map[string]string)
	for _, name := range s.buckets {
		err := s.e.Query(s.t.Context(), nil, engine.Query{Database: name, Text: "SELECT * FROM /.*/ GROUP BY *"}, func(r engine.Result) error {
			if r.Err != nil {
				return r.Err
			}
			for _, row := range r.Series {
				keys := slices.Sorted(maps.Keys(row.Tags))
				series := name + " " + row.Name
				for _, k := range keys {
					if row.Tags[k] != "" {
						series += "," + k + "=" + row.Tags[k]
					}
				}
				for _, v := range row.Values {
					for i := 1; i < len(v); i++ {
						if v[i] != nil {
							found[fmt.Sprint(series, " ", row.Columns[i], " ", v[0].(time.Time).UnixNano())] = fmt.Sprint(v[i])
						}
					}
				}
			}
			return nil
		})
		if err != nil {
			s.t.Fatalf("query %s: %v", name, err)
		}
	}
	return found
}

// fill writes to two buckets: much that is flushed, some of it overwritten, and some
// that stays in the log.
func (s *site) fill(rng *rand.Rand) {
	s.t.Helper()
	round := func(n int, offset int64) {
		for _, bucket := range []string{"one", "two"} {
			var lines strings.Builder
			for i := range n {
				at := start + (offset+int64(i))*1e9
				fmt.Fprintf(&lines, "cpu,host=h%d,zone=z%d usage=%v,count=%di %d\n", rng.IntN(40), rng.IntN(2), rng.Float64(), rng.IntN(1000), at)
				if i%7 == 0 {
					fmt.Fprintf(&lines, "log,host=h%d text=\"%x\",ok=%v %d\n", rng.IntN(40), rng.Uint64(), rng.IntN(2) == 0, at)
				}
				if i%5 == 0 {
					fmt.Fprintf(&lines, "m%d v=%d %d\n", rng.IntN(30), rng.IntN(9), at)
				}
			}
			s.write(bucket, lines.String())
		}
	}
	for i := range int64(4) {
		for j := range int64(3) {
			round(300, i*1_000_000+j*200)
		}
		s.flush()
	}
	for i := range int64(10) {
		round(30, 500_000+i*20)
		s.write("two", fmt.Sprintf("new%d,k=v%d a=1 %d\nnew%d,k=w b=2 %d\n", i, i, start, i/2, start+1))
	}
}

// copyDir copies a directory.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, dir string) *datadir.Report {
	t.Helper()
	r, err := datadir.Check(t.Context(), datadir.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// digest says what files a directory has.
func digest(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&s, "%s %d %x\n", path, len(b), bytes.NewReader(b).Size())
		if !strings.HasSuffix(path, ".sst") {
			s.Write(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

func TestCheckSound(t *testing.T) {
	rng := rand.New(rand.NewPCG(seedOf(t), 1))
	dir := filepath.Join(t.TempDir(), "data")
	s := openSite(t, dir)
	if _, err := datadir.Check(t.Context(), datadir.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("of an open directory: %v", err)
	}
	s.fill(rng)
	s.close()
	before := digest(t, dir)
	var last datadir.Progress
	r, err := datadir.Check(t.Context(), datadir.Options{Dir: dir, Progress: func(p datadir.Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Sound() || r.Buckets != 2 || r.Records == 0 || r.Parts == 0 || r.Blocks == 0 {
		t.Errorf("%+v", r)
	}
	if last.Bytes != last.BytesTotal || last.Bytes == 0 {
		t.Errorf("progress ended at %+v", last)
	}
	for _, o := range []datadir.InspectOptions{{}, {Series: true, Parts: true, Blocks: true, Bucket: "two"}} {
		o.Dir = dir
		if _, err := datadir.Inspect(t.Context(), o); err != nil {
			t.Error(err)
		}
	}
	if r, err := datadir.Repair(t.Context(), datadir.RepairOptions{Options: datadir.Options{Dir: dir}}); err != nil || !r.Sound() || r.Kept != "" {
		t.Errorf("repair of what is sound: %+v, %v", r, err)
	}
	if digest(t, dir) != before {
		t.Error("looking has changed something")
	}
	if _, err := datadir.Check(t.Context(), datadir.Options{Dir: t.TempDir()}); !errors.Is(err, datadir.ErrNotFound) {
		t.Errorf("of an empty directory: %v", err)
	}
}

func TestInspect(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := openSite(t, dir)
	var lines strings.Builder
	for i := range int64(1000) {
		fmt.Fprintf(&lines, "cpu,host=h%d usage=%di,name=\"n%d\" %d\n", i%4, i, i%3, start+i*1e9)
	}
	s.write("b", lines.String())
	s.flush()
	s.write("b", fmt.Sprintf("mem,host=h0 free=1.5,used=2 %d\nmem,host=h0 free=3 %d", start, start+1))
	s.bucket("empty")
	s.close()
	if r := check(t, dir); r.Rows != 1000 || r.Values != 2000 || r.LogRows != 2 || r.LogValues != 3 {
		t.Errorf("%+v", r)
	}
	all, err := datadir.Inspect(t.Context(), datadir.InspectOptions{Options: datadir.Options{Dir: dir}, Series: true, Parts: true, Blocks: true})
	if err != nil || len(all) != 2 || all[0].Name != "b" || all[1].Name != "empty" {
		t.Fatalf("%+v, %v", all, err)
	}
	b := all[0]
	if b.Points != 1000 || b.Values != 2000 || b.Series != 5 || b.LogRecords != 1 || b.LogPoints != 2 || b.LogValues != 3 || len(b.Windows) != 1 || len(b.Parts) != 1 || len(b.SeriesKeys) != 5 || b.BytesPerValue <= 0 {
		t.Errorf("%+v", b)
	}
	if len(b.Measurements) != 2 || b.Measurements[0].Name != "cpu" || b.Measurements[0].Series != 4 || len(b.Measurements[0].Fields) != 2 ||
		b.Measurements[0].Fields[0] != (datadir.FieldInfo{Name: "usage", Type: "integer"}) || b.Measurements[1].Points != 0 || b.Measurements[1].LogPoints != 2 || b.Measurements[0].LogPoints != 0 {
		t.Errorf("%+v", b.Measurements)
	}
	if len(b.Blocks) != 1 || b.Blocks[0].Measurement != "cpu" || b.Blocks[0].SeriesFirst != "cpu,host=h0" || !slices.ContainsFunc(b.Blocks[0].Sections, func(s datadir.SectionInfo) bool {
		return s.Name == `field "usage"` && s.Type == "integer" && s.Values == 1000 && s.Encoding != ""
	}) {
		t.Errorf("%+v", b.Blocks)
	}
	if _, err := datadir.Inspect(t.Context(), datadir.InspectOptions{Options: datadir.Options{Dir: dir}, Bucket: "none"}); err == nil {
		t.Error("a bucket that is not there is inspected")
	}
}

// Whatever byte of a stopped directory is damaged: check names it or nothing is lost,
// repair makes it sound, and what it did not name reads as before.
func TestRepair(t *testing.T) {
	seed := seedOf(t)
	rng := rand.New(rand.NewPCG(seed, 2))
	base := filepath.Join(t.TempDir(), "base")
	s := openSite(t, base)
	s.fill(rng)
	s.close()
	s = openSite(t, base) // what was in the logs of Pebble is in sstables now
	s.buckets = []string{"one", "two"}
	s.delete("two", "m1", "m2", "new3")
	s.write("two", fmt.Sprintf("m1 v=\"text\" %d\nm1 w=true %d", start, start+5))
	s.flush()
	for i := range 20 {
		s.write("one", fmt.Sprintf("cpu,host=late%d usage=%d %d", i, i, start-int64(i)*1e9))
		if i == 10 {
			s.delete("two", "m3")
		}
	}
	want := s.contents()
	buckets := make(map[string]point.ID)
	for _, b := range s.buckets {
		buckets[b] = s.bucket(b).ID
	}
	s.close()
	if r := check(t, base); !r.Sound() {
		t.Fatalf("%+v", r)
	}
	var files []string
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if info, ierr := d.Info(); err == nil && ierr == nil && !d.IsDir() && info.Size() > 0 {
			rel, _ := filepath.Rel(base, path)
			files = append(files, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tries := testkit.Rounds(4)
	harmless, lossless := 0, 0
	for i := range tries {
		dir := filepath.Join(t.TempDir(), "d")
		copyDir(t, base, dir)
		torn := false
		var names []string
		for range 1 + rng.IntN(3)/2 {
			// Files are chosen, not bytes: else all damage is in blocks.
			name := files[rng.IntN(len(files))]
			what, asTorn := damage(t, rng, filepath.Join(dir, name))
			torn = torn || asTorn
			names = append(names, name)
			t.Logf("%d: %s %s", i, name, what)
		}
		found, lost := testRepaired(t, dir, buckets, want, names, torn)
		if found == 0 {
			harmless++
		} else if lost == 0 {
			lossless++
		}
	}
	t.Logf("of %d: %d harmless, %d repaired without a loss", tries, harmless, lossless)
}

// damage does something to a file. torn says that a crash could have left it so.
func damage(t *testing.T, rng *rand.Rand, path string) (what string, torn bool) {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "is gone already", false
	}
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Base(path)
	switch n := rng.IntN(8); {
	case n == 0:
		what, err = "removed", os.Remove(path)
	case n == 1 && len(b) > 0:
		n := rng.IntN(len(b))
		what, err = fmt.Sprintf("cut to %d of %d", n, len(b)), os.Truncate(path, int64(n))
		torn = strings.HasSuffix(base, ".log") || base == "journal"
	case len(b) > 0:
		at, n := rng.IntN(len(b)), 1+rng.IntN(3)*rng.IntN(300)
		for j := at; j < min(at+n, len(b)); j++ {
			b[j] ^= byte(1 + rng.IntN(255))
		}
		what, err = fmt.Sprintf("%d bytes of %d changed at %d", n, len(b), at), os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return what, torn
}

// testRepaired checks, repairs and opens a damaged directory, and compares.
func testRepaired(t *testing.T, dir string, ids map[string]point.ID, want map[string]string, names []string, torn bool) (found, lost int) {
	t.Helper()
	r := check(t, dir)
	dry, err := datadir.Repair(t.Context(), datadir.RepairOptions{Options: datadir.Options{Dir: dir}, DryRun: true})
	if err != nil || len(dry.Problems) != len(r.Problems) || dry.Kept != "" {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	repaired, err := datadir.Repair(t.Context(), datadir.RepairOptions{Options: datadir.Options{Dir: dir}})
	if err != nil {
		t.Fatalf("%v\n%d problems: %v", err, len(r.Problems), r.Problems[:min(3, len(r.Problems))])
	}
	if len(r.Problems) > 0 {
		if b, err := os.ReadFile(filepath.Join(repaired.Kept, "report.txt")); err != nil || len(b) == 0 {
			t.Errorf("report: %d bytes, %v", len(b), err)
		}
	}
	if after := check(t, dir); !after.Sound() {
		t.Fatalf("after repair: %v", after.Problems)
	}
	s := openSite(t, dir)
	defer s.close()
	buckets := slices.Sorted(maps.Keys(ids))
	got := make(map[string]string)
	for _, b := range buckets {
		if _, ok := s.e.BucketByName(s.org, b); ok {
			s.buckets = []string{b}
			maps.Copy(got, s.contents())
			continue
		}
		if !slices.ContainsFunc(r.Problems, func(p datadir.Problem) bool { return p.Place == datadir.InCatalog }) {
			t.Fatalf("bucket %s is gone in silence", b)
		}
		recovered := "recovered-" + ids[b].String()
		s.buckets = []string{recovered}
		for k, v := range s.contents() {
			got[b+strings.TrimPrefix(k, recovered)] = v
		}
	}
	// What was overwritten, or deleted, comes back where what did it is lost.
	stale := torn || len(r.Problems) > 0
	for k, v := range got {
		if w := want[k]; w != v && !stale {
			t.Errorf("%s is %q, was %q", k, v, w)
		}
	}
	var named int64
	for _, p := range r.Problems {
		named += p.Values
	}
	for k := range want {
		if _, ok := got[k]; !ok {
			lost++
		}
	}
	if lost > 0 && len(r.Problems) == 0 && !torn {
		t.Errorf("%d values lost in silence", lost)
	}
	if vague := slices.ContainsFunc(r.Problems, func(p datadir.Problem) bool { return p.Block == nil && p.Part == 0 }); !vague && !torn && int64(lost) > named {
		t.Errorf("%d values lost, %d named", lost, named)
	}
	// What comes next is taken as ever.
	s.bucket("after")
	s.write("after", fmt.Sprintf("m v=1 %d", start))
	for _, b := range buckets {
		s.write(b, fmt.Sprintf("cpu,host=h1,zone=z0 after=1 %d", start))
		s.flush()
	}
	for _, p := range r.Problems {
		if p.String() == "" || p.Lost == "" {
			t.Errorf("%+v", p)
		}
	}
	if testing.Verbose() && len(r.Problems) > 0 {
		t.Logf("    %d problems, %d of %d values lost, %d named, first: %.500s", len(r.Problems), lost, len(want), named, r.Problems[0])
	}
	return len(r.Problems), lost
}

// A backup has every write that was answered before it began, and of each bucket's
// writes the first so many.
func TestBackupWhileWriting(t *testing.T) {
	s := openSite(t, filepath.Join(t.TempDir(), "data"))
	const writers = 3
	var acked [writers]atomic.Int64
	var ids [writers]point.ID
	for w := range writers {
		ids[w] = s.bucket(fmt.Sprintf("b%d", w)).ID
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				var lines strings.Builder
				for i := range 40 {
					fmt.Fprintf(&lines, "m%d,k=%d n=%di %d\n", n%5, i, n, start+n*1e9)
				}
				if err := s.e.Write(context.Background(), ids[w], []byte(lines.String()), engine.Nanosecond); err != nil {
					t.Error(err)
					return
				}
				acked[w].Store(n)
			}
		})
	}
	for round := range testkit.Rounds(3) {
		for acked[0].Load() < int64(round+1)*60 {
			if t.Failed() {
				break
			}
			s.flush() // parts come and go, and the log is truncated
		}
		var before [writers]int64
		for w := range writers {
			before[w] = acked[w].Load()
		}
		var archive bytes.Buffer
		m, err := s.e.Backup(t.Context(), nil, "test", &archive)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(datadir.TempDir(s.dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what the backup was made from is still there: %v", err)
		}
		verified, err := datadir.Verify(t.Context(), bytes.NewReader(archive.Bytes()))
		if err != nil || verified.Bytes() != m.Bytes() || verified.Version != "test" {
			t.Fatalf("%+v, %v", verified, err)
		}
		dir := filepath.Join(t.TempDir(), "restored")
		if _, err := datadir.Restore(t.Context(), datadir.Options{Dir: dir}, &archive); err != nil {
			t.Fatal(err)
		}
		if r := check(t, dir); !r.Sound() {
			t.Fatalf("restored: %v", r.Problems)
		}
		restored := openSite(t, dir)
		for w := range writers {
			restored.buckets = []string{fmt.Sprintf("b%d", w)}
			counts := make(map[string]int)
			for k, v := range restored.contents() {
				counts[v]++
				_ = k
			}
			n := int64(len(counts))
			for i := int64(1); i <= n; i++ {
				if counts[fmt.Sprint(i)] != 40 {
					t.Errorf("round %d, bucket %d: write %d of %d has %d of 40 points", round, w, i, n, counts[fmt.Sprint(i)])
				}
			}
			if n < before[w] {
				t.Errorf("round %d, bucket %d: %d writes, %d were answered before", round, w, n, before[w])
			}
			restored.write(restored.buckets[0], fmt.Sprintf("m0 n=1i %d", start)) // it goes on
		}
		restored.close()
	}
	cancel()
	wg.Wait()
}

// inflate undoes an archive's compression.
func inflate(t *testing.T, archive []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := z.DecodeAll(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// deflate does it again.
func deflate(t *testing.T, files []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(files, nil)
}

func TestRestoreRefuses(t *testing.T) {
	s := openSite(t, filepath.Join(t.TempDir(), "data"))
	s.write("b", fmt.Sprintf("m v=1 %d", start))
	s.close()
	var archive bytes.Buffer
	m, err := datadir.Backup(t.Context(), datadir.Options{Dir: s.dir}, "test", &archive)
	if err != nil {
		t.Fatal(err)
	}
	whole := archive.Bytes()
	empty := func(dir string) bool {
		names, err := os.ReadDir(dir)
		return err == nil && len(names) == 0
	}
	dir := t.TempDir()
	for n := 0; n < len(whole); n += 1 + len(whole)/40 {
		bad := slices.Clone(whole)
		bad[n] ^= 0x20
		for what, b := range map[string][]byte{"cut": whole[:n], "changed": bad} {
			_, err := datadir.Restore(t.Context(), datadir.Options{Dir: dir}, bytes.NewReader(b))
			if err == nil {
				// Compression has more than one way to say the same: another offset in a
				// run of zeros, say.
				if what == "cut" || !bytes.Equal(inflate(t, b), inflate(t, whole)) {
					t.Fatalf("%s at %d of %d: accepted", what, n, len(whole))
				}
				dir = t.TempDir()
				continue
			}
			if !empty(dir) {
				t.Fatalf("%s at %d: something is left", what, n)
			}
			namedOnce(t, err)
		}
	}
	// What the stream's own checksum does not see, the manifest does.
	for _, f := range m.Files {
		if f.Bytes == 0 {
			continue
		}
		files := inflate(t, whole)
		files[bytes.Index(files, []byte(f.Path+"\x00"))+512] ^= 0x20
		_, err := datadir.Restore(t.Context(), datadir.Options{Dir: dir}, bytes.NewReader(deflate(t, files)))
		if !errors.Is(err, datadir.ErrArchive) || !strings.Contains(err.Error(), f.Path) {
			t.Fatalf("%s changed: %v", f.Path, err)
		}
		if !empty(dir) {
			t.Fatalf("%s changed: something is left", f.Path)
		}
	}
	if _, err := datadir.Restore(t.Context(), datadir.Options{Dir: s.dir}, bytes.NewReader(whole)); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a directory that has something: %v", err)
	}
	later := deflate(t, bytes.Replace(inflate(t, whole), []byte(`"format": 1`), []byte(`"format": 2`), 1))
	_, err = datadir.Restore(t.Context(), datadir.Options{Dir: dir}, bytes.NewReader(later))
	_, verr := datadir.Verify(t.Context(), bytes.NewReader(later))
	for _, err := range []error{err, verr} {
		if err == nil || !strings.Contains(err.Error(), "format 2") {
			t.Fatalf("of another format: %v", err)
		}
		namedOnce(t, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := datadir.Restore(cancelled, datadir.Options{Dir: dir}, bytes.NewReader(whole)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	} else {
		namedOnce(t, err)
	}
	if _, err := datadir.Restore(t.Context(), datadir.Options{Dir: dir}, bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	restored := openSite(t, dir)
	restored.buckets = []string{"b"}
	if got := restored.contents(); len(got) != 1 {
		t.Errorf("restored: %v", got)
	}
	restored.close()
	if err := os.WriteFile(filepath.Join(dir, "unfinished"), []byte("restore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(t.Context(), engine.Options{Dir: dir, AuthDisabled: true}); !errors.Is(err, datadir.ErrUnfinished) {
		t.Errorf("a half restored directory is opened: %v", err)
	}
	if _, err := datadir.Repair(t.Context(), datadir.RepairOptions{Options: datadir.Options{Dir: dir}}); !errors.Is(err, datadir.ErrUnfinished) || strings.Contains(err.Error(), "repair") {
		t.Errorf("repair of a half restored directory: %v", err)
	} else {
		namedOnce(t, err)
	}
}

// namedOnce expects that an error begins with the package, and names it only there.
func namedOnce(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); strings.LastIndex(text, "datadir: ") != 0 {
		t.Errorf("%q", text)
	}
}
