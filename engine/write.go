package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"headgate/actors"
	"headgate/engine/lineproto"
	"headgate/engine/point"
	"headgate/engine/record"
	"headgate/engine/store"
)

// Write writes a batch of line protocol into a bucket. It returns nil once every
// point is durable and visible, and otherwise an [*Error]:
//
//   - Invalid: a line is malformed (Error.Line); nothing was written.
//   - Unprocessable: points were dropped (Error.Partial says which and why); the
//     others are durable and visible.
//   - TooLarge, NotFound: nothing was written, and trying again cannot help.
//   - Overloaded, Unavailable: nothing was written; try again after RetryAfter.
//   - Indeterminate: the wait ended first (Options.WriteTimeout or ctx); the
//     batch may yet become durable, and may be sent again.
//
// The engine does not keep lineProtocol.
func (e *Engine) Write(ctx context.Context, id BucketID, lineProtocol []byte, p Precision) error {
	if int64(len(lineProtocol)) > e.o.bodyBytesMax() {
		return e.tooLarge(len(lineProtocol))
	}
	a, err := e.Admit(ctx, id, int64(len(lineProtocol)))
	if err != nil {
		return err
	}
	defer a.Release()
	return e.WriteAdmitted(ctx, a, lineProtocol, WriteOptions{Precision: p})
}

// WriteOptions says how to take one batch. The zero value is nanoseconds, from nobody
// in particular.
type WriteOptions struct {
	// Precision is the unit of the timestamps. Default: nanoseconds.
	Precision Precision
	// DryRun gives the answer that the write would get now, and writes and defines
	// nothing.
	DryRun bool
	// Time is what points without a timestamp get. Default: now. A batch that may have
	// been stored already overwrites itself when it is sent again with the same time.
	Time time.Time
	// From is asked who sent the batch, if lines of it are rejected; see
	// [Engine.Rejected]. Default: unknown.
	From Sender
}

// WriteAdmitted is Write for a caller that holds an admission for the body.
func (e *Engine) WriteAdmitted(ctx context.Context, a *Admission, body []byte, o WriteOptions) error {
	ready := a.bytes
	a.bucket.Share().Ready(ready)
	defer a.bucket.Share().Done(ready)
	w := e.writers.Get().(*writer)
	err := w.write(ctx, a, body, o)
	w.reset()
	e.writers.Put(w)
	if err != nil && !o.DryRun {
		e.keepRejected(a.bucket.id, body, err, o.From)
	}
	return err
}

// bodyBytesMax is the largest batch: Options.InflatedBodyBytesMax, and never
// more than the gate could admit.
func (o *Options) bodyBytesMax() int64 {
	return min(o.InflatedBodyBytesMax, o.inFlightBytesMax()-requestBytes)
}

// BodyBytesMax is the largest batch of line protocol that can ever be admitted.
func (e *Engine) BodyBytesMax() int64 { return e.o.bodyBytesMax() }

func (e *Engine) tooLarge(n int) *Error {
	knob := "Options.InflatedBodyBytesMax (--max-inflated-body)"
	if e.o.bodyBytesMax() < e.o.InflatedBodyBytesMax {
		knob = "what Options.MemoryBytesMax (--memory) leaves for one batch"
	}
	return Errorf(TooLarge, "batch is %d bytes, over %s: %d", n, knob, e.o.bodyBytesMax())
}

// writer is what one write needs, kept for the next one.
type writer struct {
	e        *Engine
	parser   lineproto.Parser
	resolver resolver
	// parseBytesMax is what the batch at hand may take in memory: granted once, and
	// good for every time that it is parsed.
	parseBytesMax int64
	defs          record.Definitions
	record        []byte
}

// recordBytesKept is the largest record buffer that a writer keeps.
const recordBytesKept = 4 << 20

func newWriter(e *Engine) *writer {
	return &writer{e: e, resolver: resolver{limits: limits{o: &e.o, series: -1}}}
}

func (w *writer) reset() {
	w.resolver.reset()
	w.resolver.limits.reset()
	if cap(w.record) > recordBytesKept {
		w.record = nil
	}
}

// resolveTriesMax bounds how often a batch is resolved again because the schema
// changed under it. Each time somebody else made progress.
const resolveTriesMax = 16

// write brings one batch to the log. The steps are those of the package comment
// of actors: parse and resolve here, define what is new, encode, append.
func (w *writer) write(ctx context.Context, a *Admission, body []byte, o WriteOptions) (err error) {
	info := WriteInfo{Bucket: a.bucket.id, BodyBytes: len(body), DryRun: o.DryRun}
	defer func() {
		info.Err = err
		w.e.o.Events.WriteDone(info)
	}()
	start := time.Now()
	info.Wait, info.Body = a.admitted.Sub(a.asked), start.Sub(a.admitted)
	deadline := start.Add(w.e.o.WriteTimeout)
	now := w.e.o.Now().UnixNano()
	w.parseBytesMax = parseBytesFactor*int64(len(body)) + parseBytesMin
	for range resolveTriesMax {
		batch := point.GetBatch()
		st := a.bucket.State()
		if st.Unavailable != nil {
			return w.e.errorOf(st.Unavailable)
		}
		err := w.prepare(ctx, a, st, batch, body, o, now, deadline)
		if errors.Is(err, errAgain) {
			continue
		}
		if err != nil {
			return err
		}
		info.Parse = time.Since(start)
		partial := w.resolver.report(a.bucket.id, st.Store.SeriesKey)
		info.Dropped = w.resolver.droppedByCode()
		if batch.Points() == 0 {
			point.PutBatch(batch)
			return partial.error()
		}
		info.Points, info.Values = batch.Points(), batch.Values()
		partial.setWritten(info.Points)
		if o.DryRun {
			point.PutBatch(batch)
			return partial.error()
		}
		timing, err := w.append(ctx, a, st, batch, deadline)
		info.Queue, info.Sync = timing.Queue, timing.Sync
		switch {
		case errors.Is(err, actors.ErrStale):
			info.Points, info.Values = 0, 0
			continue
		case err != nil:
			info.Points, info.Values = 0, 0
			return w.e.errorOf(err)
		}
		return partial.error()
	}
	return &Error{Kind: Unavailable, RetryAfter: time.Second, Message: "the bucket's schema keeps changing; nothing was written"}
}

// errAgain asks for another round: the schema changed under the batch, or has no
// room for its new series.
var errAgain = errors.New("engine: resolve again")

// prepare parses body into batch, drops what must be dropped and has everything
// new defined. On success every row and column carries its id, but for those that a
// dry run does not define. On failure batch
// is nobody's: it is left to the collector, for the actor may still see it.
func (w *writer) prepare(ctx context.Context, a *Admission, st *actors.State, batch *point.Batch, body []byte, o WriteOptions, now int64, deadline time.Time) error {
	if err := a.TakeTurn(ctx, len(body)); err != nil {
		return err
	}
	defer a.EndTurn()
	lp := lineproto.Options{Precision: o.Precision, Now: now, Index: st.Index, Series: st.Store, Epoch: st.Epoch}
	if !o.Time.IsZero() {
		lp.Now = o.Time.UnixNano()
	}
	if o.DryRun {
		lp.Index = nil // which learns
	}
	if err := w.parse(a, batch, body, lp); err != nil {
		return err
	}
	a.charge(batch.MemoryBytes())
	w.resolver.resolve(batch, st.Store.Schema(), now, a.bucket.retention.Load())
	a.EndTurn() // defining may take long
	switch {
	case !needsDefine(batch):
		return nil
	case o.DryRun:
		return w.checkDefine(st, batch)
	}
	return w.define(ctx, a, st, batch, deadline)
}

// parseBytesFactor times its length, and parseBytesMin, is what a body may become
// in memory before its write has to take more credit. Bodies of real agents stay
// far below; one whose every line is a new measurement needs fifty times its length.
const (
	parseBytesFactor = 8
	parseBytesMin    = 1 << 20
)

// parse parses body into batch, taking more credit when it becomes more than
// bodies usually do.
func (w *writer) parse(a *Admission, batch *point.Batch, body []byte, o lineproto.Options) error {
	for {
		limit := w.parseBytesMax
		o.MemoryBytesMax = limit
		err := w.parser.Parse(batch, body, o)
		if err == nil {
			return nil
		}
		if !errors.Is(err, lineproto.ErrMemory) {
			return w.parseError(err, len(body))
		}
		more := 3 * limit
		if limit+more > w.e.o.inFlightBytesMax()*3/4 {
			return Errorf(TooLarge, "batch of %d bytes needs more than %d bytes of memory to parse, over what Options.MemoryBytesMax (--memory) leaves for one batch: send it in parts", len(body), limit)
		}
		if err := a.Grow(more); err != nil {
			return err
		}
		w.parseBytesMax += more
	}
}

// parseError classifies what the parser says of a body of n bytes. It is a function of
// its own so that parse, which almost always succeeds, allocates nothing for errors.
func (w *writer) parseError(err error, n int) error {
	var syntax *lineproto.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return malformed(syntax)
	case errors.Is(err, lineproto.ErrBodyTooLong):
		return w.e.tooLarge(n)
	}
	return w.e.errorOf(err)
}

// define has the actor hand out the ids that batch lacks.
func (w *writer) define(ctx context.Context, a *Admission, st *actors.State, batch *point.Batch, deadline time.Time) error {
	err := a.bucket.Define(ctx, batch, time.Until(deadline))
	switch {
	case errors.Is(err, store.ErrConflict), errors.Is(err, actors.ErrStale):
		return errAgain
	case errors.Is(err, store.ErrMeasurementLimit), errors.Is(err, store.ErrFieldLimit):
		return errAgain // others were faster; the schema shows it now
	case errors.Is(err, store.ErrSeriesLimit):
		// Without them other points may decide the types of new fields.
		w.resolver.limits.refuseSeries(st.Store.Stats().Series)
		return errAgain
	case err != nil:
		return w.e.errorOf(err)
	}
	for _, t := range batch.Tables {
		for i, ref := range t.Series {
			if ref.IsNew() {
				t.Series[i] = point.SeriesRef(batch.NewSeries[ref.NewIndex()].ID)
			}
		}
	}
	return nil
}

func needsDefine(b *point.Batch) bool {
	if len(b.NewSeries) > 0 {
		return true
	}
	for _, t := range b.Tables {
		if t.ID == 0 {
			return true
		}
		for _, c := range t.Columns {
			if c.Field == 0 {
				return true
			}
		}
	}
	return false
}

// append encodes the batch and waits until it is durable and visible. The batch
// belongs to the actor afterwards.
func (w *writer) append(ctx context.Context, a *Admission, st *actors.State, batch *point.Batch, deadline time.Time) (actors.Timing, error) {
	pendings := st.Store.PendingFor(batch)
	for _, p := range pendings {
		p.AppendTo(&w.defs)
	}
	rec := record.Encode(w.record[:0], batch, &w.defs)
	if len(pendings) > 0 {
		w.defs.Reset()
	}
	w.record = nil // the log's until it says otherwise
	if len(rec) > w.e.recordBytesMax() {
		return actors.Timing{}, Errorf(TooLarge, "batch makes a log record of %d bytes, over the limit of %d that follows from Options.InflatedBodyBytesMax", len(rec), w.e.recordBytesMax())
	}
	packed := store.Pack(batch)
	timing, reusable, err := a.bucket.Append(ctx, batch, packed, rec, pendings, deadline, &a.bytes)
	if reusable {
		w.record = rec
	}
	return timing, err
}

// errorOf classifies an error from below.
func (e *Engine) errorOf(err error) *Error {
	var own *Error
	var over *actors.OverloadedError
	var unavailable *actors.UnavailableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &over):
		return &Error{Kind: Overloaded, Message: err.Error(), RetryAfter: over.RetryAfter, Err: err}
	case errors.As(err, &unavailable):
		refused := e.refuse(unavailable.Bucket, unavailable.Reason, err)
		if unavailable.Reason == actors.Failed && unavailable.Err != nil {
			refused.Message = fmt.Sprintf("bucket %s is out of service: %v; nothing was written", unavailable.Bucket, unavailable.Err)
		}
		return refused
	case errors.Is(err, store.ErrSchemaLimit), errors.Is(err, store.ErrSeriesKey):
		return &Error{Kind: Unprocessable, Message: err.Error() + "; nothing was written", Err: err}
	case errors.Is(err, actors.ErrDropped):
		return &Error{Kind: NotFound, Message: "bucket not found", Err: err}
	case errors.Is(err, actors.ErrIndeterminate):
		what := "the log failed"
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			what = "timeout"
		}
		return &Error{Kind: Indeterminate, RetryAfter: time.Second, Err: err,
			Message: what + ": the batch may yet be stored; it may be sent again safely, since the same points overwrite themselves"}
	case errors.Is(err, actors.ErrClosing):
		return e.refuse(0, actors.Closing, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: Unavailable, RetryAfter: time.Second, Message: "timeout before anything was written", Err: err}
	}
	e.o.Logger.Error("internal error", "error", err)
	if isDamage(err) {
		return damageError(err)
	}
	return &Error{Kind: Internal, Message: "An internal error has occurred - check server logs", Err: err}
}
