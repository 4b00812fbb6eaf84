package actors

import (
	"context"
	"fmt"

	"headgate/engine/point"
)

// drop is the removal of one bucket, from the first DropBucket until one of them has
// succeeded. Its work is done by a goroutine of its own, one at a time, which whoever
// calls DropBucket meanwhile joins; so no deadline of a caller's leaves it half done.
type drop struct {
	b *Bucket // nil if the bucket was not open
	// done is closed when the work has ended, with err set, which is nil if nothing is
	// left; nil while nobody works. Guarded by Shard.mu.
	done chan struct{}
	err  error
}

// DropBucket stops a bucket and removes its records and points. Writes in flight are
// answered first; later ones get ErrDropped. It is durable when it returns nil. If ctx
// ends first the work goes on, and after any error calling it again joins that or
// begins where it has ended; until then the bucket cannot be opened.
func (s *Shard) DropBucket(ctx context.Context, id point.BucketID) error {
	s.MakeRoom(ctx)
	s.mu.Lock()
	d := s.drops[id]
	if d == nil {
		d = &drop{b: s.buckets[id]}
		s.drops[id] = d
		delete(s.buckets, id)
	}
	if d.done == nil {
		if s.closed {
			s.mu.Unlock()
			return fmt.Errorf("drop bucket %s: %w", id, ErrClosing)
		}
		d.done = make(chan struct{})
		s.dropping.Go(func() { s.drop(id, d) })
	}
	done := d.done
	s.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("drop bucket %s: %w", id, ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.err != nil {
		return fmt.Errorf("drop bucket %s: %w", id, d.err)
	}
	return nil
}

func (s *Shard) drop(id point.BucketID, d *drop) {
	err := s.remove(id, d.b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.err = err; err == nil {
		delete(s.drops, id)
	}
	close(d.done)
	d.done = nil
}

// remove does what there is to do; each step may have been done before.
func (s *Shard) remove(id point.BucketID, b *Bucket) error {
	if b != nil {
		b.send(&drain{})
		// The log answers all that is in flight, with an error if need be, or hangs; and
		// Close does not wait for what hangs.
		select {
		case <-b.drained:
		case <-b.stopped: // Close was faster, and the message is lost
		case <-s.ctx.Done():
			return ErrClosing
		}
		s.system.Root.Poison(b.pid)
		select {
		case <-b.stopped:
		case <-s.ctx.Done():
			return ErrClosing
		}
	}
	log := s.currentLog()
	if err := log.Drop(uint64(id)); err != nil {
		s.notice(log)
		return err
	}
	if s.o.Data == nil {
		return nil
	}
	return s.o.Data.DropBucket(id)
}
