package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"headgate/engine/flux"
	"headgate/engine/point"
	"headgate/engine/store"
)

// FluxQuery is one request's Flux, and how its answer is to be written.
type FluxQuery = flux.Query

// FluxDialect is how a FluxQuery's answer is written.
type FluxDialect = flux.Dialect

// Flux runs a query in Flux as p (the operator where nil) on the buckets of an
// organization, and writes its results to w as annotated CSV. Buckets that p may
// not read do not exist for it.
//
// Each bucket is read as it was when the query first named it: what was answered
// before the query began is there. q.Now and q.BytesMax are Options.Now and
// Options.QueryBytesMax unless they are set.
//
// Errors: Invalid for a script that does not parse, compile or run, and what of
// Flux is not supported; NotFound for a bucket; TooLarge for a query that needs
// more memory than it may have; Unprocessable for one that takes longer than
// Options.QueryTimeout. Nothing has been written when the script is at fault, but
// for what only its points show.
func (e *Engine) Flux(ctx context.Context, p *Principal, org point.ID, q FluxQuery, w io.Writer) error {
	if p == nil {
		p = e.Operator()
	}
	if !e.recovered.Load() {
		return e.recoveringError()
	}
	if q.Now.IsZero() {
		q.Now = e.o.Now()
	}
	if q.BytesMax == 0 {
		q.BytesMax = e.o.QueryBytesMax
	}
	h := &fluxHost{e: e, p: p, org: org}
	defer h.close()
	running := ctx
	if t := e.o.QueryTimeout; t > 0 {
		var cancel context.CancelFunc
		running, cancel = context.WithTimeoutCause(ctx, t,
			Errorf(Unprocessable, "query was stopped: it took longer than %s (Options.QueryTimeout, --query-timeout)", t))
		defer cancel()
	}
	return fluxError(flux.Run(running, h, q, w))
}

// FluxAST is the tree of a script in Flux, as JSON. The error is Invalid for one
// that does not parse.
func FluxAST(text string) ([]byte, error) {
	tree, err := flux.AST(text)
	return tree, fluxError(err)
}

// FluxSyntaxError is one place where a script does not parse.
type FluxSyntaxError = flux.SyntaxError

// FluxAnalyze lists what is wrong with the syntax of a script, nil for nothing.
func FluxAnalyze(text string) []FluxSyntaxError { return flux.Analyze(text) }

// FluxBug is the cause of an error that is a bug of the query engine.
type FluxBug = flux.BugError

// FluxSuggestion is a function that a script in Flux may call without an import.
type FluxSuggestion = flux.Suggestion

// FluxSuggestions lists the functions that a script in Flux may call, by name. The list
// is shared: leave it as it is.
func FluxSuggestions() ([]FluxSuggestion, error) {
	list, err := flux.Suggestions()
	return list, fluxError(err)
}

// fluxError gives an error of package flux its kind.
func fluxError(err error) error {
	var missing *flux.NotFoundError
	var e *flux.Error
	switch {
	case isDamage(err):
		return damageError(err)
	case errors.As(err, &missing):
		return &Error{Kind: NotFound, Message: "failed to initialize execute state: " + err.Error(), Err: err}
	case errors.As(err, &e):
		kind := Invalid
		switch {
		case e.TooLarge:
			kind = TooLarge
		case e.Internal:
			kind = Internal
		}
		return &Error{Kind: kind, Message: e.Message, Err: err}
	}
	return err
}

// fluxHost is what one caller's Flux reads. It is used by several goroutines.
type fluxHost struct {
	e   *Engine
	p   *Principal
	org point.ID

	mu sync.Mutex
	// views are the snapshots that the query has been given. Guarded by mu.
	views []*store.View
}

var _ flux.Host = (*fluxHost)(nil)

func (h *fluxHost) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.views {
		v.Close()
	}
}

// Snapshot implements flux.Host.
func (h *fluxHost) Snapshot(_ context.Context, name, id string) (point.Reader, error) {
	var b Bucket
	found := false
	if name != "" {
		b, found = h.e.BucketByName(h.org, name)
	} else if bucketID, err := point.ParseID(id); err == nil {
		b, found = h.e.BucketByID(bucketID)
		found = found && b.OrgID == h.org
	} else {
		return nil, &flux.Error{Message: fmt.Sprintf("invalid bucket id %q: %s", id, err), Err: err}
	}
	if !found || h.p.CanRead(b) != nil {
		return nil, &flux.NotFoundError{Bucket: name + id}
	}
	v, err := h.e.snapshot(b.ID)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.views = append(h.views, v)
	h.mu.Unlock()
	return v, nil
}

// Buckets implements flux.Host.
func (h *fluxHost) Buckets(context.Context) ([]flux.Bucket, error) {
	all, err := h.e.Buckets(h.p, BucketFilter{OrgID: h.org})
	if err != nil {
		return nil, err
	}
	list := make([]flux.Bucket, len(all))
	for i, b := range all {
		list[i] = flux.Bucket{Name: b.Name, ID: b.ID.String(), OrganizationID: b.OrgID.String(), RetentionPeriod: b.RetentionPeriod}
	}
	return list, nil
}
