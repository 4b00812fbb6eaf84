package flux

import (
	"context"
	"runtime"
	"strings"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/codes"
	"github.com/influxdata/flux/values"
)

// watchedScope is a scope in which no name is found once the query has ended. Flux asks
// for its context only between tables, while forty functions that each call the one
// before twice would keep a processor busy for ever. Every call looks names up, whether
// it is interpreted or compiled for rows.
type watchedScope struct {
	values.Scope
	ctx context.Context
}

// Lookup does not return when the query has ended. It panics, which Run and Flux's
// sources recover from. A worker of Flux's dispatcher would wait for ever to tell of the
// panic, as the dispatcher holds its mutex while it waits for its workers, and so it just
// ends: that of the query's context is told anyway.
func (s watchedScope) Lookup(name string) (values.Value, bool) {
	if s.ctx.Err() != nil {
		if inWorker() {
			runtime.Goexit()
		}
		panic(&flux.Error{Code: codes.ResourceExhausted, Msg: "query ended", Err: context.Cause(s.ctx)})
	}
	return s.Scope.Lookup(name)
}

// inWorker reports whether a worker of Flux's dispatcher is the caller.
func inWorker() bool {
	pcs := make([]uintptr, 256)
	for skip := 0; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			if f, more = frames.Next(); strings.Contains(f.Function, "flux/execute.(*poolDispatcher).run") {
				return true
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}

func (s watchedScope) Nest(o values.Object) values.Scope {
	return watchedScope{values.NewNestedScope(s, o), s.ctx}
}

func (s watchedScope) Copy() values.Scope { return watchedScope{s.Scope.Copy(), s.ctx} }
