package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"headgate/engine/point"
)

// ErrClosed is the error of a change after Close.
var ErrClosed = errors.New("catalog: closed")

// ErrFull is the error of a change that would go over Options.RecordsMax.
var ErrFull = errors.New("catalog: full")

// Catalog is an open catalog. All methods may be called by any goroutine.
type Catalog struct {
	opts Options
	// view is the committed state. Atomic; written under mu, read by anyone.
	view atomic.Pointer[View]

	cache     *credentialCache
	passwords *passwordGate
	sessions  *sessions
	operator  atomic.Pointer[operatorPrincipal]

	mu      sync.Mutex // serialises changes
	journal *journal   // guarded by mu
	lock    *dirLock   // guarded by mu
	closed  bool       // guarded by mu
}

// Open opens the catalog in dir, which it creates when missing. It fails with
// [ErrCorrupt] if the journal is damaged, and if another process has it open.
func Open(dir string, o Options) (*Catalog, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	c := &Catalog{opts: o, lock: lock, cache: newCredentialCache(o.CachedPrincipalsMax), passwords: newPasswordGate(o), sessions: newSessions(o)}
	view := newView()
	j, dropped, err := openJournal(dir, *o.ops, view.replay(new(edit)))
	if err == nil {
		if err = o.ops.syncDir(filepath.Dir(dir)); err != nil {
			err = fmt.Errorf("catalog: sync %s: %w", filepath.Dir(dir), err)
			j.close()
		}
	}
	if err != nil {
		lock.unlock()
		return nil, err
	}
	if dropped > 0 {
		o.Logger.Warn("the catalog's journal ended in bytes that are no whole record, and they have been cut off: a crash has torn a change that nobody was told of, or the last change was damaged", "dir", dir, "bytes", dropped)
	}
	c.journal = j
	c.view.Store(view)
	return c, nil
}

// replay returns a function that brings the payload of a journal record into v.
func (v *View) replay(e *edit) func(payload []byte) error {
	return func(payload []byte) error {
		var changes []change
		if err := json.Unmarshal(payload, &changes); err != nil {
			return err
		}
		for _, ch := range changes {
			if err := v.apply(e, ch); err != nil {
				return err
			}
		}
		return nil
	}
}

// View returns the current state.
func (c *Catalog) View() *View { return c.view.Load() }

// Update runs fn on a transaction and, if fn returns nil, makes its changes
// durable and then visible, all or none of them. It returns fn's error as it is.
// One Update runs at a time; fn must not call Update.
//
// When the disk fails, nothing has changed in memory, and the next Update writes
// the whole catalog anew, so that it works again as soon as the disk does.
func (c *Catalog) Update(fn func(tx *Tx) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	working := *c.view.Load()
	working.generation++
	tx := &Tx{View: &working, e: new(edit), now: c.opts.Now().UTC().Round(0), recordsMax: c.opts.RecordsMax}
	if err := fn(tx); err != nil {
		return err
	}
	if len(tx.changes) == 0 {
		return nil
	}
	payload, err := json.Marshal(tx.changes)
	if err != nil {
		return fmt.Errorf("catalog: encode a change: %w", err)
	}
	if c.journal.broken != nil {
		if err := c.journal.rewrite(dump(c.view.Load())); err != nil {
			return err
		}
		c.opts.Logger.Info("the catalog takes changes again")
	}
	if err := c.journal.append(payload); err != nil {
		c.opts.Logger.Error("the catalog could not be written", "error", err)
		return err
	}
	c.view.Store(&working)
	if grown := c.journal.end - c.journal.baseEnd; grown > max(rewriteBytesMin, c.journal.baseEnd) {
		if err := c.journal.rewrite(dump(&working)); err != nil {
			c.opts.Logger.Warn("the catalog's journal could not be rewritten; it goes on growing", "error", err)
		}
	}
	return nil
}

// rewriteBytesMin is how much a journal grows at least before it is rewritten;
// beyond it, it has to have doubled, so that rewriting costs no more than writing.
const rewriteBytesMin = 1 << 20

// dumpBatch is how many records of a base share one journal record.
const dumpBatch = 512

// dump yields journal payloads that build v: each record after those it refers to.
func dump(v *View) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var batch []change
		flush := func() bool {
			if len(batch) == 0 {
				return true
			}
			b, err := json.Marshal(batch)
			if err != nil { // every record has been encoded before
				panic(fmt.Sprintf("catalog: encode a record again: %v", err))
			}
			batch = batch[:0]
			return yield(b)
		}
		for r := range v.allRecords() {
			ch, err := putChange(r)
			if err != nil {
				panic(fmt.Sprintf("catalog: encode a record again: %v", err))
			}
			if batch = append(batch, ch); len(batch) == dumpBatch && !flush() {
				return
			}
		}
		flush()
	}
}

func (v *View) allRecords() iter.Seq[record] {
	return func(yield func(record) bool) {
		_ = yieldAll(v.orgs, yield) && yieldAll(v.users, yield) && yieldAll(v.members, yield) && yieldAll(v.buckets, yield) &&
			yieldAll(v.auths, yield) && yieldAll(v.legacy, yield) && yieldAll(v.dbrps, yield) && yieldAll(v.dropped, yield)
	}
}

func yieldAll[V record](t table[point.ID, V], yield func(record) bool) bool {
	for _, r := range t.all() {
		if !yield(r) {
			return false
		}
	}
	return true
}

// Close ends the catalog. Views stay readable.
func (c *Catalog) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	return errors.Join(c.journal.close(), c.lock.unlock())
}
