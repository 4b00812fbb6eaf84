package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/actors"
	"headgate/engine/point"
	"headgate/engine/store"
)

// DeleteRequest selects the points to delete: those of every series that meets
// all conditions, with a time in [Min, Max], nanoseconds, both inclusive.
type DeleteRequest struct {
	Bucket   BucketID
	Min, Max int64
	// Predicate is a conjunction; empty selects every series. The key
	// _measurement stands for the measurement.
	Predicate []TagCondition
}

// TagCondition compares a series' tag with a value. A series without the tag
// does not meet it, whether or not it is turned around: what a deletion does not
// name it leaves alone.
type TagCondition struct {
	Key, Value string
	// Not turns the comparison around.
	Not bool
}

// Delete deletes the points that r selects, as p. It returns nil once they are
// gone for good: no query sees them, and no crash brings them back. Points that
// were answered before Delete began are deleted; of points that are written at
// the same time some may be. A measurement that loses its last point loses its
// fields with it, so that they may come back with other types.
//
// Errors are those of [Engine.Write], apart from Invalid and Unprocessable, and
// Unauthorized. After Indeterminate (Options.DeleteTimeout or ctx ended the wait)
// the points may yet be deleted, and the same deletion may be asked for again.
func (e *Engine) Delete(ctx context.Context, p *Principal, r DeleteRequest) error {
	b, ok := e.BucketByID(r.Bucket)
	if !ok {
		return errBucketNotFound()
	}
	if err := p.CanDelete(b); err != nil {
		return err
	}
	filter := r.tagFilter()
	return e.deletePoints(ctx, r.Bucket, r.Min, r.Max, func(v *store.View, measurement string) ([]point.SeriesInfo, error) {
		if !r.meets(measurement) {
			return nil, nil
		}
		return v.SeriesWhere(measurement, filter)
	})
}

// measurementKey is the key by which a condition names the measurement.
const measurementKey = "_measurement"

// meets reports whether a measurement meets the conditions on it.
func (r *DeleteRequest) meets(measurement string) bool {
	for _, c := range r.Predicate {
		if c.Key == measurementKey && (c.Value == measurement) == c.Not {
			return false
		}
	}
	return true
}

// tagFilter is the conditions on tags.
func (r *DeleteRequest) tagFilter() *point.TagFilter {
	all := &point.TagFilter{Op: point.TagAnd}
	for _, c := range r.Predicate {
		if c.Key == measurementKey {
			continue
		}
		// To a filter, a tag that a series does not have is the empty string, which
		// no tag is.
		all.Terms = append(all.Terms, &point.TagFilter{Op: point.TagNotEqual, Key: c.Key})
		op := point.TagEqual
		if c.Not {
			op = point.TagNotEqual
		}
		all.Terms = append(all.Terms, &point.TagFilter{Op: op, Key: c.Key, Value: c.Value})
	}
	if len(all.Terms) == 0 {
		return nil
	}
	return all
}

// chooseSeries lists the series of a measurement that a deletion means.
type chooseSeries func(v *store.View, measurement string) ([]point.SeriesInfo, error)

// deletePoints deletes the points of the chosen series in [from, to]. Like a
// write it is resolved in the caller's goroutine, against a snapshot, and it
// holds credit until it has been answered.
func (e *Engine) deletePoints(ctx context.Context, id BucketID, from, to int64, choose chooseSeries) error {
	from, to = max(from, point.TimeMin), min(to, point.TimeMax)
	if from > to {
		return nil
	}
	e.shard.MakeRoom(ctx)
	a, err := e.admitDelete(ctx, id)
	if err != nil {
		return e.deleteError(err)
	}
	defer a.Release()
	deadline := time.Now().Add(e.o.DeleteTimeout)
	for range resolveTriesMax {
		st := a.bucket.State()
		if st.Unavailable != nil {
			return e.deleteError(st.Unavailable)
		}
		// The snapshot is younger than st: of series that have gone since, the epoch tells.
		d := actors.Delete{Min: from, Max: to, Epoch: st.Epoch}
		d.Series, err = resolveDelete(ctx, a, st.Store, choose)
		if err == nil {
			if d.Series.IsEmpty() {
				return nil
			}
			err = a.bucket.Delete(ctx, d, time.Until(deadline))
		}
		if !errors.Is(err, actors.ErrStale) {
			return e.deleteError(err)
		}
	}
	return &Error{Kind: Unavailable, RetryAfter: time.Second, Message: "the bucket's series keep changing; nothing was deleted"}
}

// seriesInfoBytes is charged for each series that a deletion looks at.
const seriesInfoBytes = 64

// resolveDelete makes the set of the chosen series. The error is ErrStale when b
// is not the bucket's store any more.
func resolveDelete(ctx context.Context, a *Admission, b *store.Bucket, choose chooseSeries) (*roaring.Bitmap, error) {
	v := b.SnapshotAll()
	if v == nil {
		return nil, actors.ErrStale
	}
	defer v.Close()
	set := roaring.New()
	var ids []uint32
	for _, name := range v.Measurements() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		series, err := choose(v, name)
		if err != nil {
			return nil, err
		}
		if err := a.Grow(seriesInfoBytes * int64(len(series))); err != nil {
			return nil, err
		}
		ids = ids[:0]
		for i := range series {
			ids = append(ids, uint32(series[i].ID))
		}
		set.AddMany(ids)
	}
	set.RunOptimize()
	return set, nil
}

// deleteError is errorOf for a deletion: what was not written there was not
// deleted here.
func (e *Engine) deleteError(err error) error {
	if err == nil {
		return nil
	}
	own := *e.errorOf(err)
	if own.Kind == Indeterminate {
		what := "the log failed"
		switch {
		case errors.Is(err, context.Canceled):
			what = "cancelled"
		case errors.Is(err, context.DeadlineExceeded):
			what = fmt.Sprintf("timeout (Options.DeleteTimeout is %s)", e.o.DeleteTimeout)
		}
		own.Message = what + ": the points may yet be deleted; the deletion may be sent again"
		return &own
	}
	own.Message = strings.ReplaceAll(strings.ReplaceAll(own.Message, "nothing was written", "nothing was deleted"), "anything was written", "anything was deleted")
	return &own
}
