package flux

import (
	"context"

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

// Lookup panics when the query has ended: Flux recovers from that wherever functions
// run, and so does Run.
func (s watchedScope) Lookup(name string) (values.Value, bool) {
	if s.ctx.Err() != nil {
		panic(&flux.Error{Code: codes.ResourceExhausted, Msg: "query ended", Err: context.Cause(s.ctx)})
	}
	return s.Scope.Lookup(name)
}

func (s watchedScope) Nest(o values.Object) values.Scope {
	return watchedScope{values.NewNestedScope(s, o), s.ctx}
}

func (s watchedScope) Copy() values.Scope { return watchedScope{s.Scope.Copy(), s.ctx} }
