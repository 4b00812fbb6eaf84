package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A power cut at any operation of a change, or of writing the journal anew, leaves the
// catalogue as it was before the change or as it is after it; once the change has been
// acknowledged, only that. Unsynced writes are lost, torn, or zeros of full length, and
// an unsynced rename has happened or not.
func TestCrashAtEveryOperation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalName)
	var before, after string // what the catalogue may have
	points := 0
	check := func(what string, b []byte) {
		points++
		got, _, err := read(b)
		if err != nil || got != before && (after == "" || got != after) {
			t.Errorf("%s: %v\n%s\nwant\n%s\nor\n%s", what, err, got, before, after)
		}
	}
	journal := func() []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	armed := false
	ops, real := osFileOps(), lazyOps()
	ops.sync, ops.syncDir = real.sync, real.syncDir
	ops.write = func(f *os.File, b []byte, off int64) error {
		if armed && off > 0 { // not a new file, which has no name yet
			old := journal()[:off]
			check("the write lost", old)
			for n := 0; n <= len(b); n += 7 {
				check(fmt.Sprint("the write torn at ", n), append(old[:off:off], b[:n]...))
				check(fmt.Sprint("zeros from ", n), append(append(old[:off:off], b[:n]...), make([]byte, len(b)-n)...))
			}
			check("the write kept", append(old[:off:off], b...))
		}
		return real.write(f, b, off)
	}
	ops.rename = func(from, to string) error {
		if !armed {
			return real.rename(from, to)
		}
		check("the rename lost", journal())
		err := real.rename(from, to)
		check("the rename kept", journal())
		return err
	}
	c := open(t, dir, Options{ops: &ops})
	org := putOrg(t, c, "acme")
	armed = true
	for i := range 12 {
		before, after = dumpText(c.View()), ""
		if i%4 == 3 {
			if err := c.journal.rewrite(dump(c.View())); err != nil {
				t.Fatal(err)
			}
			check("rewritten", journal())
		}
		err := c.Update(func(tx *Tx) error {
			id := tx.NewID()
			if err := tx.PutBucket(Bucket{ID: id, OrgID: org, Name: fmt.Sprint("b", i)}); err != nil {
				return err
			}
			after = dumpText(tx.View)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if before, after = dumpText(c.View()), ""; before == "" {
			t.Fatal("nothing has changed")
		}
		check("acknowledged", journal())
	}
	t.Logf("%d crashes", points)
}
