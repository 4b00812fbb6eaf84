package engine

import (
	"context"
	"errors"
	"fmt"

	"headgate/actors"
	"headgate/engine/influxql"
	"headgate/engine/store"
)

// Query is one request's InfluxQL, its database and its parameters.
type Query = influxql.Query

// Result is one statement's answer, or a part of it.
type Result = influxql.Result

// Row is one series of a Result.
type Row = influxql.Row

// Message is a remark beside a statement's answer.
type Message = influxql.Message

// Query runs InfluxQL as p (the operator where nil) and passes each result to
// emit, in order; an error of emit stops it. A text that does not parse is an
// Invalid error, and nothing has run. A statement that fails says so in its
// Result.Err.
//
// A query that takes longer than Options.QueryTimeout ends with an error in the
// Result of the statement that was running.
//
// Each statement reads a snapshot: it sees what was answered before it began,
// and no write waits for it.
func (e *Engine) Query(ctx context.Context, p *Principal, q Query, emit func(Result) error) error {
	if p == nil {
		p = e.Operator()
	}
	if !e.recovered.Load() {
		return e.recoveringError()
	}
	if q.Now == nil {
		q.Now = e.o.Now
	}
	if q.Limits.MaxBufferBytes == 0 {
		q.Limits.MaxBufferBytes = e.o.QueryBytesMax
	}
	h := &queryHost{e: e, p: p}
	defer h.close()
	running := ctx
	if t := e.o.QueryTimeout; t > 0 {
		var cancel context.CancelFunc
		running, cancel = context.WithTimeoutCause(ctx, t, fmt.Errorf("it took longer than %s (Options.QueryTimeout, --query-timeout)", t))
		defer cancel()
	}
	err := influxql.Run(running, h, q, func(r Result) error {
		if r.Err != nil && isDamage(r.Err) {
			r.Err = damageError(r.Err)
		}
		return emit(r)
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil // the statement has said so
	}
	var parse *influxql.ParseError
	if errors.As(err, &parse) {
		return &Error{Kind: Invalid, Message: parse.Error(), Err: err}
	}
	if isDamage(err) {
		return damageError(err)
	}
	return err
}

func (e *Engine) recoveringError() *Error {
	return &Error{Kind: Unavailable, RetryAfter: e.shard.Gate().RetryAfter(), Message: "recovering after start"}
}

// snapshot returns what is visible of a bucket now, without what is beyond its
// retention period. The caller closes it.
func (e *Engine) snapshot(id BucketID) (*store.View, error) {
	b := e.bucket(id)
	if b == nil {
		return nil, Errorf(NotFound, "bucket %q not found", id.String())
	}
	for range snapshotTriesMax {
		st := b.State()
		if st.Store == nil {
			return nil, e.errorOf(st.Unavailable)
		}
		if v := st.Store.Snapshot(); v != nil {
			return v, nil
		}
		// The bucket is being rebuilt, and its state is about to say so.
	}
	return nil, e.errorOf(&actors.UnavailableError{Bucket: id, Reason: actors.Recovering})
}

const snapshotTriesMax = 3
