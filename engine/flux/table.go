package flux

import (
	"context"
	"errors"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/arrow"
)

// table is rows in memory that have been read.
type table struct {
	key     flux.GroupKey
	cols    []flux.ColMeta
	buffers []*arrow.TableBuffer
	used    bool
	onDone  func()
}

var _ flux.Table = (*table)(nil)

func (t *table) Key() flux.GroupKey { return t.key }

func (t *table) Cols() []flux.ColMeta { return t.cols }

func (t *table) Empty() bool { return len(t.buffers) == 0 }

// Do implements flux.Table.
func (t *table) Do(f func(flux.ColReader) error) error {
	if t.used {
		return errors.New("flux: table already read")
	}
	t.used = true
	var err error
	for i, b := range t.buffers {
		if err == nil {
			err = f(b)
		}
		b.Release()
		t.buffers[i] = nil
	}
	t.done()
	return err
}

// Done implements flux.Table.
func (t *table) Done() {
	if t.used {
		return
	}
	t.used = true
	for _, b := range t.buffers {
		b.Release()
	}
	t.done()
}

func (t *table) done() {
	if t.onDone != nil {
		t.onDone()
		t.onDone = nil
	}
}

// tablesUnderWayMax is how many tables may have been read and not released.
const tablesUnderWayMax = 64

// gate bounds how many tables are under way, so that reading does not run ahead of
// what is done with them.
type gate struct{ places chan struct{} }

func newGate(n int) *gate { return &gate{places: make(chan struct{}, n)} }

func (g *gate) enter(ctx context.Context) error {
	select {
	case g.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *gate) leave() { <-g.places }
