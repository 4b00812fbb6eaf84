package flux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/codes"
	"github.com/influxdata/flux/csv"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/lang"
	"github.com/influxdata/flux/memory"
	"github.com/influxdata/flux/plan"

	"headgate/engine/point"
)

// run is one query while it runs. It travels in the context.
type run struct {
	host  Host
	q     *Query
	alloc *memory.Allocator

	mu sync.Mutex
	// snapshots are the buckets that have been named, by name and id.
	snapshots map[[2]string]point.Reader
	// err is the first error of the source, kept because Flux's engine wraps
	// errors in texts.
	err error
	// under counts the tables that have been read and not released.
	under *gate
}

type runKey struct{}

func runOf(ctx context.Context) *run { r, _ := ctx.Value(runKey{}).(*run); return r }

// fail keeps the first error of the source.
func (r *run) fail(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	return err
}

// snapshot is a bucket as it was when the query first named it.
func (r *run) snapshot(ctx context.Context, name, id string) (point.Reader, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{name, id}
	if s := r.snapshots[key]; s != nil {
		return s, nil
	}
	s, err := r.host.Snapshot(ctx, name, id)
	if err != nil {
		if r.err == nil {
			r.err = err
		}
		return nil, err
	}
	r.snapshots[key] = s
	return s, nil
}

// Run evaluates q and writes its results to w as annotated CSV, one after the
// other. The error is an *Error, a *NotFoundError, what host or w returned, or
// that of ctx: when that ends, or a read fails, Flux's engine may leave out rows and
// results and say nothing. Nothing has been written when it is of the script.
func Run(ctx context.Context, host Host, q Query, w io.Writer) error {
	register()
	if q.Now.IsZero() {
		q.Now = time.Now()
	}
	r := &run{host: host, q: &q, alloc: new(memory.Allocator), snapshots: make(map[[2]string]point.Reader), under: newGate(tablesUnderWayMax)}
	if q.BytesMax > 0 {
		r.alloc.Limit = &q.BytesMax
	}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, runKey{}, r))
	defer cancel()
	ctx = lang.ExecutionDependencies{Allocator: r.alloc}.Inject(ctx)
	err := r.run(ctx, w)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil && r.err == nil:
		return nil
	case r.err != nil && !overLimit(r.err):
		return r.err
	case r.err != nil:
		err = r.err
	}
	return r.classify(err)
}

func (r *run) run(ctx context.Context, w io.Writer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = r.panicked("the script or its plan", v)
		}
	}()
	tree, err := parse(r.q)
	if err != nil {
		return err
	}
	streams, now, err := evaluate(ctx, r.q, tree)
	if err != nil {
		return err
	}
	programs := make([]*lang.Program, len(streams))
	names := make(map[string]bool)
	for i, to := range streams {
		if programs[i], err = r.compile(ctx, to, now); err != nil {
			return err
		}
		for _, name := range resultNames(programs[i]) {
			if names[name] {
				return &Error{Message: fmt.Sprintf("tried to produce more than one result with the name %q", name)}
			}
			names[name] = true
		}
	}
	for _, p := range programs {
		if err := r.execute(ctx, p, w); err != nil {
			return err
		}
	}
	return nil
}

// compile plans one stream.
func (r *run) compile(ctx context.Context, to *flux.TableObject, now time.Time) (*lang.Program, error) {
	var options []lang.CompileOption
	if r.q.pushDownOff {
		options = append(options, lang.WithPhysPlanOpts(plan.RemovePhysicalRules(optionalRules()...)))
	}
	p, err := lang.CompileTableObject(ctx, to, now, options...)
	if err != nil {
		return nil, compileError(err)
	}
	return p, nil
}

// resultNames are the results that a program will have.
func resultNames(p *lang.Program) []string {
	var names []string
	_ = p.PlanSpec.BottomUpWalk(func(n plan.Node) error {
		if y, ok := n.ProcedureSpec().(plan.YieldProcedureSpec); ok {
			names = append(names, y.YieldName())
		}
		return nil
	})
	return names
}

// execute runs one program and writes its results.
func (r *run) execute(ctx context.Context, p *lang.Program, w io.Writer) error {
	query, err := p.Start(ctx, r.alloc)
	if err != nil {
		return err
	}
	defer query.Done()
	var results []flux.Result
	for res := range query.Results() {
		results = append(results, res)
	}
	if len(results) == 1 {
		return r.write(results[0], w)
	}
	// The engine fills all results at once, and would wait for ever if one were
	// not read while another is.
	slices.SortFunc(results, func(a, b flux.Result) int { return bytes.Compare([]byte(a.Name()), []byte(b.Name())) })
	held := make([]*heldResult, len(results))
	var wg sync.WaitGroup
	for i, res := range results {
		held[i] = &heldResult{name: res.Name()}
		wg.Go(func() { held[i].fill(r, res) })
	}
	wg.Wait()
	for _, h := range held {
		if h.err != nil {
			return h.err
		}
	}
	for _, h := range held {
		if err := r.write(h, w); err != nil {
			return err
		}
	}
	return nil
}

// write encodes one result.
func (r *run) write(res flux.Result, w io.Writer) error {
	d := &r.q.Dialect
	if d.CommentPrefix != "" && d.CommentPrefix != defaultCommentPrefix {
		w = &prefixWriter{w: w, prefix: d.CommentPrefix}
	}
	e := csv.NewResultEncoder(csv.ResultEncoderConfig{Annotations: d.Annotations, NoHeader: d.NoHeader, Delimiter: d.Delimiter})
	if _, err := e.Encode(w, res); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\r\n")
	return err
}

const defaultCommentPrefix = "#"

// heldResult is a result that is held whole.
type heldResult struct {
	name   string
	tables []flux.Table
	err    error
}

func (h *heldResult) fill(r *run, res flux.Result) {
	defer func() {
		if v := recover(); v != nil {
			h.err = r.panicked("yield", v)
		}
	}()
	h.err = res.Tables().Do(func(t flux.Table) error {
		held, err := execute.CopyTable(t)
		if err == nil {
			h.tables = append(h.tables, held)
		}
		return err
	})
}

func (h *heldResult) Name() string { return h.name }

func (h *heldResult) Tables() flux.TableIterator { return h }

func (h *heldResult) Do(f func(flux.Table) error) error {
	for _, t := range h.tables {
		if err := f(t); err != nil {
			return err
		}
	}
	return nil
}

// compileError is an error in the script.
func compileError(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Message: "compilation failed: " + err.Error(), Err: err, TooLarge: flux.ErrorCode(err) == codes.ResourceExhausted}
}

// classify makes an *Error of what Flux's engine says.
func (r *run) classify(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if overLimit(err) {
		return &Error{TooLarge: true, Message: fmt.Sprintf("query needs more than %d bytes of memory (Options.QueryBytesMax, --max-query-memory): narrow its time range, filter or aggregate first", r.q.BytesMax), Err: err}
	}
	return &Error{Internal: flux.ErrorCode(err) == codes.Internal, Message: err.Error(), Err: err}
}

// overLimit reports whether err is that the query has used up its memory, as Flux's
// engine, or the reader that was charged for what it held, has it.
func overLimit(err error) bool {
	var limit memory.LimitExceededError
	return flux.ErrorCode(err) == codes.ResourceExhausted || errors.As(err, &limit)
}
