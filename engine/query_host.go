package engine

import (
	"context"
	"fmt"
	"slices"

	"headgate/engine/influxql"
	"headgate/engine/point"
	"headgate/engine/store"
)

// queryHost is what one caller's InfluxQL acts on. Errors go to the client as
// statement errors, so they keep InfluxDB's words.
type queryHost struct {
	e *Engine
	p *Principal
	// views are the snapshots that the query has been given.
	views []*store.View
}

// close lets go of the snapshots.
func (h *queryHost) close() {
	for _, v := range h.views {
		v.Close()
	}
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
	v, err := h.e.snapshot(b.ID)
	if err != nil {
		return nil, err
	}
	h.views = append(h.views, v)
	return v, nil
}

// SnapshotToDelete implements influxql.Host.
func (h *queryHost) SnapshotToDelete(_ context.Context, db string) (point.Reader, error) {
	b, err := h.e.BucketForDatabase(h.p, db, "")
	if err != nil {
		return nil, influxql.ErrDatabaseNotFound{Database: db}
	}
	if err := h.p.CanDelete(b); err != nil {
		return nil, err
	}
	v, err := h.e.snapshot(b.ID)
	if err != nil {
		return nil, err
	}
	h.views = append(h.views, v)
	return v, nil
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

// Delete implements influxql.Host. Whether the caller may is asked for every
// bucket before any is touched.
func (h *queryHost) Delete(ctx context.Context, r influxql.DeleteRequest) error {
	buckets := h.bucketsToDelete(r)
	if len(buckets) == 0 {
		return influxql.ErrDatabaseNotFound{Database: r.Database}
	}
	for _, b := range buckets {
		if err := h.p.CanDelete(b); err != nil {
			return err
		}
	}
	for i, b := range buckets {
		err := h.e.deletePoints(ctx, b.ID, r.Min, r.Max, func(v *store.View, measurement string) ([]point.SeriesInfo, error) {
			match := r.Series.Filter(measurement)
			if match == nil {
				return nil, nil
			}
			return slices.DeleteFunc(slices.Clone(v.Series(measurement)), func(s point.SeriesInfo) bool { return !match(s.Tags) }), nil
		})
		if err != nil && i > 0 {
			return fmt.Errorf("deleted from %d of %d buckets: %w", i, len(buckets), err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucketsToDelete lists the buckets that r is about, of those that the caller may
// read or write.
func (h *queryHost) bucketsToDelete(r influxql.DeleteRequest) []Bucket {
	if !r.AllRetentionPolicies {
		b, err := h.e.BucketForDatabase(h.p, r.Database, "")
		if err != nil {
			return nil
		}
		return []Bucket{b}
	}
	var buckets []Bucket
	v := h.e.catalog.View()
	for _, m := range v.DBRPs(h.p.OrgID) {
		b, ok := v.Bucket(m.BucketID)
		if !ok || m.Database != r.Database || h.p.CanRead(*b) != nil && h.p.CanWrite(*b) != nil {
			continue
		}
		if !slices.ContainsFunc(buckets, func(x Bucket) bool { return x.ID == b.ID }) {
			buckets = append(buckets, *b)
		}
	}
	return buckets
}
