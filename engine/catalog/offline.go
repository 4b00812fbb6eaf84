package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"headgate/engine/point"
)

// What tools do with a catalog that no process has open, or take from one that is.

// Lock keeps processes from opening the catalog in dir until the result is closed. It
// fails if one has it open. A directory without a catalog cannot be locked, and
// needs not: nil.
func Lock(dir string) (io.Closer, error) {
	if _, err := os.Stat(filepath.Join(dir, lockName)); errors.Is(err, os.ErrNotExist) {
		return nopCloser{}, nil
	}
	l, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	return lockCloser{l}, nil
}

// ErrInUse is wrapped by the error for a directory that another process has open.
var ErrInUse = errors.New("in use by another process")

const lockName = "LOCK"

type lockCloser struct{ l *dirLock }

func (c lockCloser) Close() error { return c.l.unlock() }

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

// Loaded is what Load has found.
type Loaded struct {
	// View is the catalog, as far as it can be read. Never nil.
	View *View
	// Damage is what is wrong with the journal, in its order; errors.Is finds
	// ErrCorrupt in each. If there is any, View has what can be read nevertheless.
	Damage []error
	// TornBytes is the length of a torn end, which was never acknowledged.
	TornBytes int64
	// Missing is set when there is no journal.
	Missing bool
}

// Load reads the catalog in dir and changes nothing. Only what keeps it from looking
// is an error.
func Load(dir string) (*Loaded, error) {
	r := &Loaded{View: newView()}
	path := filepath.Join(dir, journalName)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		r.Missing = true
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	j := &journal{dir: dir}
	if err := j.read(path, b, r.View.replay(new(edit))); err == nil {
		r.TornBytes = int64(len(b)) - j.end
		return r, nil
	} else if !errors.Is(err, ErrCorrupt) {
		return nil, err
	} else {
		r.Damage = append(r.Damage, err)
	}
	r.View = newView()
	r.salvage(path, b)
	return r, nil
}

// salvage applies every change that can be read and still makes sense.
func (r *Loaded) salvage(path string, b []byte) {
	e := new(edit)
	var last uint64
	for at := 0; at < len(b); {
		sequence, payload, what := parseRecord(b[at:])
		if what != "" {
			at++
			continue
		}
		if last != 0 && sequence > last+1 {
			lost := fmt.Sprintf("record %d", last+1)
			if sequence-1 > last+1 {
				lost = fmt.Sprintf("records %d to %d", last+1, sequence-1)
			}
			r.Damage = append(r.Damage, fmt.Errorf("%w: %s: %s cannot be read", ErrCorrupt, path, lost))
		}
		last = sequence
		var changes []change
		if err := json.Unmarshal(payload, &changes); err != nil {
			r.Damage = append(r.Damage, fmt.Errorf("%w: %s: offset %d: record %d: %w", ErrCorrupt, path, at, sequence, err))
		}
		for _, ch := range changes {
			if err := r.View.apply(e, ch); err != nil {
				r.Damage = append(r.Damage, fmt.Errorf("%w: %s: offset %d: record %d: a change of a %s has to be left out: %w", ErrCorrupt, path, at, sequence, ch.Kind, err))
			}
		}
		at += recordHeaderLen + len(payload)
	}
}

// Adopt gives buckets that have points and are not in the view an entry, so that the
// points can be read: a bucket recovered-ID of the oldest organization, or of a new
// one called recovered if there is none. It returns the entries.
func (r *Loaded) Adopt(ids []point.ID, now time.Time) ([]Bucket, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	v, e := r.View, new(edit)
	now = now.UTC().Round(0)
	var org point.ID
	if orgs := v.Organizations(); len(orgs) > 0 {
		org = orgs[0].ID
	} else {
		tx := &Tx{View: v, e: e, now: now}
		org = tx.NewID()
		if err := v.put(e, &Organization{ID: org, Name: "recovered", CreatedAt: now, UpdatedAt: now}); err != nil {
			return nil, err
		}
	}
	var made []Bucket
	for _, id := range ids {
		b := &Bucket{ID: id, OrgID: org, Name: "recovered-" + id.String(), Window: 7 * 24 * time.Hour, CreatedAt: now, UpdatedAt: now}
		if err := v.put(e, b); err != nil {
			return nil, err
		}
		made = append(made, *b)
	}
	return made, nil
}

// WriteTo writes the view as a new catalog into dir, which it creates and which must
// not have one. It is synced on return.
func (v *View) WriteTo(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, journalName)); err == nil {
		return fmt.Errorf("catalog: %s has a catalog", dir)
	}
	j := &journal{dir: dir, ops: osFileOps()}
	return errors.Join(j.rewrite(dump(v)), j.close())
}
