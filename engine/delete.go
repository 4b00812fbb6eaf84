package engine

import "context"

// DeleteRequest selects the points to delete: those of every series that meets
// all conditions, with a time in [Min, Max], nanoseconds, both inclusive.
type DeleteRequest struct {
	Bucket   BucketID
	Min, Max int64
	// Predicate is a conjunction; empty selects every series. The key
	// _measurement stands for the measurement.
	Predicate []TagCondition
}

// TagCondition compares a series' tag with a value.
type TagCondition struct {
	Key, Value string
	// Not turns the comparison around.
	Not bool
}

// Delete checks that p may delete points of the bucket. Deleting single points
// is not implemented: the error is NotImplemented, and nothing is deleted. A
// whole bucket can be deleted with [Engine.DeleteBucket].
func (e *Engine) Delete(_ context.Context, p *Principal, r DeleteRequest) error {
	b, ok := e.BucketByID(r.Bucket)
	if !ok {
		return errBucketNotFound()
	}
	if err := p.CanDelete(b); err != nil {
		return err
	}
	return errDeleteNotImplemented()
}

func errDeleteNotImplemented() *Error {
	return Errorf(NotImplemented, "not implemented: deleting points; delete the bucket or database instead, or let a retention period expire them")
}
