package flux

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"sync/atomic"
	_ "unsafe" // for linkname

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/codes"
	"github.com/influxdata/flux/execute"
	"github.com/influxdata/flux/plan"
)

// BugError is a panic of Flux's engine, or of ours under it, or a table that makes no
// sense. It ends the query and nothing else.
type BugError struct {
	// In is where it is: the kind of a transformation, or a part of the query.
	In string
	// What is what was panicked with, or is wrong with the table.
	What string
	// Script is the query's, and Stack that of the goroutine. They are for the log.
	Script, Stack string
}

func (e *BugError) Error() string {
	return e.In + ": " + e.What + ": this is a bug of the query engine, and the server's log has its stack"
}

// bug is the error of a bug that was noticed just now.
func (r *run) bug(in, what string) error {
	b := &BugError{In: in, What: what, Script: r.q.script(), Stack: string(debug.Stack())}
	return &Error{Internal: true, Message: b.Error(), Err: b}
}

// panicked is the error of a panic that was recovered from just now. Flux panics with
// some errors of scripts, and when the query has used up its memory.
func (r *run) panicked(in string, v any) error {
	if err, ok := v.(error); ok && flux.ErrorCode(err) != codes.Unknown && flux.ErrorCode(err) != codes.Internal {
		return r.classify(err)
	}
	if err, ok := v.(error); ok && wrongType.MatchString(err.Error()) {
		return &Error{Message: fmt.Sprintf("%s: schema collision: %v: fields of several types are in one table; filter for one of them, or make them one type before, as with toFloat()", in, err), Err: err}
	}
	return r.bug(in, fmt.Sprintf("panic: %v", v))
}

// wrongType is what Flux's table builder panics with when rows of another type come into a
// table that it has begun.
var wrongType = regexp.MustCompile(`^column .* is not of type \w+$`)

// script is the query as text, or as the tree that it came as.
func (q *Query) script() string {
	if q.Text != "" {
		return q.Text
	}
	return string(q.AST)
}

// transformations are Flux's, by kind. Flux has no other place to guard all of them.
//
//go:linkname transformations github.com/influxdata/flux/execute.procedureToTransformation
var transformations map[plan.ProcedureKind]execute.CreateTransformation

// guardAll guards every transformation that there is.
func guardAll() {
	for kind, create := range transformations {
		transformations[kind] = guard(kind, create)
	}
}

func guard(kind plan.ProcedureKind, create execute.CreateTransformation) execute.CreateTransformation {
	return func(id execute.DatasetID, mode execute.AccumulationMode, spec plan.ProcedureSpec, a execute.Administration) (execute.Transformation, execute.Dataset, error) {
		t, d, err := create(id, mode, spec, a)
		if r := runOf(a.Context()); err == nil && r != nil {
			t = &guarded{Transformation: t, dataset: d, kind: string(kind), run: r}
			d = &guardedDataset{Dataset: d, kind: string(kind), run: r}
		}
		return t, d, err
	}
}

// guarded makes errors of a transformation's panics. Flux's dispatcher would recover from
// them too, but does not say where they were; and it waits for its workers while it holds
// the mutex that one needs to tell of its panic.
type guarded struct {
	execute.Transformation
	dataset execute.Dataset
	kind    string
	run     *run
}

// recovered is deferred. A goroutine that ends, as it does when the query has, is none of
// its business.
func (g *guarded) recovered(err *error) {
	if v := recover(); v != nil {
		*err = g.run.fail(g.run.panicked(g.kind, v))
	}
}

// RetractTable implements execute.Transformation.
func (g *guarded) RetractTable(id execute.DatasetID, key flux.GroupKey) (err error) {
	defer g.recovered(&err)
	return g.Transformation.RetractTable(id, key)
}

// Process implements execute.Transformation.
func (g *guarded) Process(id execute.DatasetID, t flux.Table) (err error) {
	defer g.recovered(&err)
	return g.Transformation.Process(id, t)
}

// UpdateWatermark implements execute.Transformation.
func (g *guarded) UpdateWatermark(id execute.DatasetID, mark execute.Time) (err error) {
	defer g.recovered(&err)
	return g.Transformation.UpdateWatermark(id, mark)
}

// UpdateProcessingTime implements execute.Transformation.
func (g *guarded) UpdateProcessingTime(id execute.DatasetID, t execute.Time) (err error) {
	defer g.recovered(&err)
	return g.Transformation.UpdateProcessingTime(id, t)
}

// Finish implements execute.Transformation. What comes after hears of the end even when
// there is a panic on the way to it.
func (g *guarded) Finish(id execute.DatasetID, err error) {
	defer func() {
		if v := recover(); v != nil {
			g.dataset.Finish(g.run.fail(g.run.panicked(g.kind, v)))
		}
	}()
	g.Transformation.Finish(id, err)
}

// guardedDataset has what comes after a transformation see only tables whose columns are
// all of one length. Flux's engine does not look: it leaves rows out, or fills them up with
// nulls, or panics where the columns are read.
type guardedDataset struct {
	execute.Dataset
	kind string
	run  *run
}

// AddTransformation implements execute.Node.
func (d *guardedDataset) AddTransformation(t execute.Transformation) {
	d.Dataset.AddTransformation(&checked{Transformation: t, from: d})
}

// checked is a transformation that comes after a guarded one. Once that has finished it hears
// no more of it: union finishes again after an error, and Flux's results panic then.
type checked struct {
	execute.Transformation
	from     *guardedDataset
	finished atomic.Bool
}

// Process implements execute.Transformation.
func (c *checked) Process(id execute.DatasetID, t flux.Table) error {
	if c.finished.Load() {
		return nil
	}
	return c.Transformation.Process(id, &checkedTable{t, c.from})
}

// Finish implements execute.Transformation.
func (c *checked) Finish(id execute.DatasetID, err error) {
	if !c.finished.Swap(true) {
		c.Transformation.Finish(id, err)
	}
}

// checkedTable is a table that a transformation made.
type checkedTable struct {
	flux.Table
	from *guardedDataset
}

// Do implements flux.Table.
func (t *checkedTable) Do(f func(flux.ColReader) error) error {
	return t.Table.Do(func(cr flux.ColReader) error {
		for j, c := range cr.Cols() {
			if n := columnOf(cr, j).Len(); n != cr.Len() {
				return t.from.run.fail(t.from.run.bug(t.from.kind, fmt.Sprintf("column %q has %d rows of %d", c.Label, n, cr.Len())))
			}
		}
		return f(cr)
	})
}
