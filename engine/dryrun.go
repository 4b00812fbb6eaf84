package engine

import (
	"fmt"

	"headgate/actors"
	"headgate/engine/point"
	"headgate/engine/store"
)

// A dry run takes the same steps as a write, up to where the bucket's actor would hear of
// it: it reads the schema and the series and leaves nothing in them. Its answer is that of
// a write at that moment; what others write in between may change it.

// checkDefine says of what batch lacks what the actor would say if it were asked to define
// it. What the resolver has looked at already, and nobody else has changed, the actor
// takes: fields, their types, and measurements.
func (w *writer) checkDefine(st *actors.State, batch *point.Batch) error {
	for i := range batch.NewSeries {
		if n := len(batch.NewSeries[i].Key); n > keyBytesMax {
			return w.e.errorOf(fmt.Errorf("%w: %d bytes, over %d", store.ErrSeriesKey, n, keyBytesMax))
		}
	}
	if n := st.Store.Stats().Series; int(n)+len(batch.NewSeries) > w.e.o.SeriesPerBucketMax {
		w.resolver.limits.refuseSeries(n)
		return errAgain
	}
	return nil
}
