package engine

import (
	"context"

	"headgate/engine/influxql"
	"headgate/engine/point"
)

// queryHost is what one caller's InfluxQL acts on. Errors go to the client as
// statement errors, so they keep InfluxDB's words.
type queryHost struct {
	e *Engine
	p *Principal
}

var _ influxql.Host = (*queryHost)(nil)

// Databases implements influxql.Host.
func (h *queryHost) Databases(context.Context) ([]string, error) { return h.e.Databases(h.p), nil }

// RetentionPolicies implements influxql.Host.
func (h *queryHost) RetentionPolicies(_ context.Context, db string) ([]influxql.RetentionPolicy, error) {
	return h.e.RetentionPolicies(h.p, db), nil
}

// Snapshot implements influxql.Host. A database that the caller may not read
// does not exist.
func (h *queryHost) Snapshot(_ context.Context, db, rp string) (point.Reader, error) {
	b, err := h.e.BucketForDatabase(h.p, db, rp)
	if err != nil || h.p.CanRead(b) != nil {
		for _, p := range h.e.RetentionPolicies(h.p, db) {
			if rp != "" && p.Name != rp {
				return nil, influxql.ErrRetentionPolicyNotFound{RetentionPolicy: rp}
			}
		}
		return nil, influxql.ErrDatabaseNotFound{Database: db}
	}
	return h.e.snapshot(b.ID)
}

// CreateDatabase implements influxql.Host.
func (h *queryHost) CreateDatabase(ctx context.Context, r influxql.CreateDatabase) error {
	return h.e.CreateDatabase(ctx, h.p, h.p.OrgID, r)
}

// DropDatabase implements influxql.Host.
func (h *queryHost) DropDatabase(ctx context.Context, db string) error {
	return h.e.DropDatabase(ctx, h.p, h.p.OrgID, db)
}

// CreateRetentionPolicy implements influxql.Host.
func (h *queryHost) CreateRetentionPolicy(ctx context.Context, r influxql.CreateRetentionPolicy) error {
	return h.e.CreateRetentionPolicy(ctx, h.p, h.p.OrgID, r)
}

// AlterRetentionPolicy implements influxql.Host.
func (h *queryHost) AlterRetentionPolicy(ctx context.Context, r influxql.AlterRetentionPolicy) error {
	return h.e.AlterRetentionPolicy(ctx, h.p, h.p.OrgID, r)
}

// DropRetentionPolicy implements influxql.Host.
func (h *queryHost) DropRetentionPolicy(ctx context.Context, db, rp string) error {
	return h.e.DropRetentionPolicy(ctx, h.p, h.p.OrgID, db, rp)
}

// Delete implements influxql.Host.
func (h *queryHost) Delete(_ context.Context, r influxql.DeleteRequest) error {
	b, err := h.e.BucketForDatabase(h.p, r.Database, "")
	if err != nil {
		return influxql.ErrDatabaseNotFound{Database: r.Database}
	}
	if err := h.p.CanDelete(b); err != nil {
		return err
	}
	return errDeleteNotImplemented()
}
