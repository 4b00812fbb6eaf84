package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// A catalog that is damaged anywhere is told from one that is not, and what can be
// read of it can be written anew and opened.
func TestLoadDamaged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "catalog")
	c, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var org point.ID
	const buckets = 5
	for i := range buckets {
		err := c.Update(func(tx *Tx) error {
			if i == 0 {
				org = tx.NewID()
				if err := tx.PutOrganization(Organization{ID: org, Name: "acme", CreatedAt: tx.Now(), UpdatedAt: tx.Now()}); err != nil {
					return err
				}
			}
			return tx.PutBucket(Bucket{ID: tx.NewID(), OrgID: org, Name: fmt.Sprint("b", i), Window: time.Hour, CreatedAt: tx.Now(), UpdatedAt: tx.Now()})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Lock(dir); err == nil {
		t.Error("a catalog that is open can be locked")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil {
		t.Error("a catalog that is locked can be opened")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, journalName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Load(dir)
	if err != nil || len(r.Damage) > 0 || r.TornBytes > 0 || len(r.View.Buckets(0)) != buckets {
		t.Fatalf("%+v, %v", r, err)
	}
	step := 7
	if testkit.RaceEnabled {
		step = 61
	}
	for at := 0; at < len(whole); at += step {
		bad := append([]byte(nil), whole...)
		bad[at] ^= 0x40
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Damage) == 0 && r.TornBytes == 0 {
			t.Errorf("byte %d of %d: not told", at, len(whole))
		}
		for _, d := range r.Damage {
			if !errors.Is(d, ErrCorrupt) {
				t.Error(d)
			}
		}
		if n := len(r.View.Buckets(0)); n < buckets-1 && len(r.View.Organizations()) > 0 {
			t.Errorf("byte %d of %d: %d of %d buckets are left", at, len(whole), n, buckets)
		}
		made, err := r.Adopt([]point.ID{12345}, time.Unix(1, 0))
		if err != nil || len(made) != 1 {
			t.Fatal(made, err)
		}
		fresh := filepath.Join(t.TempDir(), "fresh")
		if err := r.View.WriteTo(fresh); err != nil {
			t.Fatal(err)
		}
		if err := r.View.WriteTo(fresh); err == nil {
			t.Fatal("a catalog is written over another")
		}
		c, err := Open(fresh, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if b, ok := c.View().Bucket(12345); !ok || b.Name != "recovered-0000000000003039" || len(c.View().Buckets(0)) != len(r.View.Buckets(0)) {
			t.Errorf("byte %d: %+v %v", at, b, ok)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Load(t.TempDir()); err != nil || !r.Missing {
		t.Errorf("of an empty directory: %+v, %v", r, err)
	}
}
