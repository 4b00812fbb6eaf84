package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// probeName is a file beside the journal that has no meaning.
const probeName = "probe"

// probeBytes is how much a probe writes: a block, for which the disk must have room.
const probeBytes = 4 << 10

// Probe reports whether a change could be made durable now. It waits for the change
// that is under way, mends a journal that an earlier one has left broken, and writes
// and syncs a file beside the journal, so that the journal does not grow by it. It
// takes as long as the disk does: whoever cannot wait calls it in a goroutine.
func (c *Catalog) Probe() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if c.journal.broken != nil {
		if err := c.journal.rewrite(dump(c.view.Load())); err != nil {
			return err
		}
		c.opts.Logger.Info("the catalog takes changes again")
	}
	f, err := os.OpenFile(filepath.Join(c.journal.dir, probeName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		err = c.journal.ops.write(f, make([]byte, probeBytes), 0)
		if err == nil {
			err = c.journal.ops.sync(f)
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("catalog: probe: %w", err)
	}
	return nil
}
