package engine

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"headgate/engine/catalog"
	"headgate/engine/point"
)

// The bounds of retention periods and windows.
const (
	retentionPeriodMin = time.Hour
	windowMin          = time.Hour
	day                = 24 * time.Hour
)

// defaultWindow is the window of a bucket that asks for none.
func defaultWindow(retention time.Duration) time.Duration {
	switch {
	case retention == 0 || retention >= 180*day:
		return 7 * day
	case retention >= 2*day:
		return day
	}
	return windowMin
}

// newRetention checks the retention period and window (0 for the default) of a
// new bucket and returns the window to use. A period that cannot be is an Internal
// error, as InfluxDB answers it.
func newRetention(retention, window time.Duration) (time.Duration, error) {
	switch {
	case retention < 0:
		return 0, Errorf(Unprocessable, "expiration seconds cannot be negative")
	case window < 0:
		return 0, Errorf(Unprocessable, "shard-group duration seconds cannot be negative")
	case retention > 0 && retention < retentionPeriodMin:
		return 0, Errorf(Internal, "retention policy duration must be at least %s", retentionPeriodMin)
	case window == 0:
		return defaultWindow(retention), nil
	}
	window = max(window, windowMin)
	if retention > 0 && window > retention {
		return 0, Errorf(Internal, "retention policy duration must be greater than the shard duration")
	}
	return window, nil
}

// changedRetention is newRetention for a bucket that has a window already: it
// stays unless another is given.
func changedRetention(retention, window, old time.Duration) (time.Duration, error) {
	fitting, err := newRetention(retention, 0)
	switch {
	case err != nil:
		return fitting, err
	case window < 0:
		return newRetention(retention, window)
	case window == 0:
		window = old
	}
	window = max(window, windowMin)
	if retention > 0 && window > retention {
		return 0, Errorf(Unprocessable, "shard-group duration must also be updated to be smaller than new retention duration")
	}
	return window, nil
}

func checkBucketName(name string) error {
	switch {
	case strings.HasPrefix(name, "_"):
		return Errorf(Invalid, "bucket name %s is invalid. Buckets may not start with underscore", name)
	case strings.Contains(name, `"`):
		return Errorf(Invalid, "bucket name %s is invalid. Bucket names may not include quotation marks", name)
	}
	return nil
}

func errBucketNotFound() error { return Errorf(NotFound, "bucket not found") }

func bucketPermission(action Action, b *Bucket) Permission {
	return Permission{Action: action, Type: catalog.Buckets, ID: b.ID, OrgID: b.OrgID}
}

// BucketFilter selects buckets; zero fields select all.
type BucketFilter struct {
	OrgID point.ID
	ID    BucketID
	// Name selects by name unless nil; the empty name is one.
	Name *string
	// After leaves out everything up to this bucket.
	After BucketID
	Page
}

// Buckets lists the buckets that p may read: those of one organization by name,
// else all by id. The error is NotFound if the filter names a bucket or an
// organization that does not exist.
func (e *Engine) Buckets(p *Principal, f BucketFilter) ([]Bucket, error) {
	v := e.catalog.View()
	if _, ok := v.Organization(f.OrgID); f.OrgID != 0 && !ok {
		return nil, errOrganizationNotFound()
	}
	var all []*Bucket
	switch {
	case f.ID != 0:
		b, ok := v.Bucket(f.ID)
		if !ok || f.OrgID != 0 && b.OrgID != f.OrgID {
			return nil, errBucketNotFound()
		}
		all = []*Bucket{b}
	case f.Name != nil && f.OrgID != 0:
		if b, ok := v.BucketByName(f.OrgID, *f.Name); ok {
			all = []*Bucket{b}
		}
	default:
		all = v.Buckets(f.OrgID)
	}
	list := []Bucket{}
	found := false
	for _, b := range all {
		if f.Name != nil && *f.Name != b.Name {
			continue
		}
		found = true
		if p.allows(bucketPermission(ActionRead, b)) {
			list = append(list, *b)
		}
	}
	if f.Name != nil && !found {
		return nil, Errorf(NotFound, "bucket %q not found", *f.Name)
	}
	if f.After != 0 {
		if f.Descending {
			slices.Reverse(list)
			f.Descending = false
		}
		if i := slices.IndexFunc(list, func(b Bucket) bool { return b.ID == f.After }); i >= 0 {
			list = list[i+1:]
		}
	}
	return paged(list, f.Page), nil
}

// Bucket returns one bucket. Errors: NotFound, Unauthorized.
func (e *Engine) Bucket(p *Principal, id BucketID) (Bucket, error) {
	b, ok := e.BucketByID(id)
	if !ok {
		return Bucket{}, errBucketNotFound()
	}
	if err := p.require(bucketPermission(ActionRead, &b)); err != nil {
		return Bucket{}, err
	}
	return b, nil
}

// BucketRequest describes a bucket to make.
type BucketRequest struct {
	OrgID point.ID
	// Name is any text that does not start with an underscore and has no quotation
	// marks. An empty one is possible, but no write can name it.
	Name        string
	Description string
	// RetentionPeriod is how long points are kept, at least an hour; 0 is for ever.
	RetentionPeriod time.Duration
	// Window is the range of time that expires at once, at least an hour and at most
	// RetentionPeriod. Default: an hour, a day from 2 days of retention on, a week
	// from 180 days on.
	Window time.Duration
}

// CreateBucket makes a bucket that can be written to when it returns. Errors:
// Invalid for a bad name or no organization, NotFound for an unknown one,
// Conflict if the name is taken, Unprocessable or Internal for a bad retention
// period or window, Unauthorized.
func (e *Engine) CreateBucket(ctx context.Context, p *Principal, r BucketRequest) (Bucket, error) {
	if r.OrgID == 0 {
		return Bucket{}, Errorf(Invalid, "organization id must be provided")
	}
	if r.RetentionPeriod < 0 || r.Window < 0 {
		_, err := newRetention(r.RetentionPeriod, r.Window)
		return Bucket{}, err
	}
	if err := checkBucketName(r.Name); err != nil {
		return Bucket{}, err
	}
	if _, ok := e.OrganizationByID(r.OrgID); !ok {
		return Bucket{}, errOrganizationNotFound()
	}
	if err := p.require(Permission{Action: ActionWrite, Type: catalog.Buckets, OrgID: r.OrgID}); err != nil {
		return Bucket{}, err
	}
	if err := e.lockBuckets(ctx); err != nil {
		return Bucket{}, err
	}
	defer e.manageMu.Unlock()
	return e.createBucket(ctx, r, nil)
}

// createBucket makes a bucket and opens it. also, unless nil, adds to the
// transaction. e.manageMu is held.
func (e *Engine) createBucket(ctx context.Context, r BucketRequest, also func(*catalog.Tx, Bucket) error) (Bucket, error) {
	var b Bucket
	err := e.change(ctx, func(tx *catalog.Tx) error {
		if _, taken := tx.BucketByName(r.OrgID, r.Name); taken {
			return Errorf(Conflict, "bucket with name %s already exists", r.Name)
		}
		window, err := newRetention(r.RetentionPeriod, r.Window)
		if err != nil {
			return err
		}
		if _, ok := tx.Organization(r.OrgID); !ok {
			return errOrganizationNotFound()
		}
		b = Bucket{ID: tx.NewID(), OrgID: r.OrgID, Name: r.Name, Description: r.Description, RetentionPeriod: r.RetentionPeriod, Window: window, CreatedAt: tx.Now(), UpdatedAt: tx.Now()}
		if err := tx.PutBucket(b); err != nil || also == nil {
			return err
		}
		return also(tx, b)
	})
	if err != nil {
		return Bucket{}, err
	}
	if err := e.openBucket(b); err != nil {
		// Nobody has been told of the bucket: take it back.
		undo := e.catalog.Update(func(tx *catalog.Tx) error { return tx.DeleteBucket(b.ID) })
		if undo != nil {
			e.o.Logger.Error("a bucket that could not be opened stays in the catalogue", slog.String("bucket", b.ID.String()), slog.Any("error", undo))
		} else {
			e.dropBuckets(context.WithoutCancel(ctx), b.ID)
		}
		return Bucket{}, err
	}
	return b, nil
}

// BucketUpdate says what to change of a bucket; nil fields stay as they are.
type BucketUpdate struct {
	Name, Description *string
	RetentionPeriod   *time.Duration
	// Window 0 stays as it is.
	Window time.Duration
}

// UpdateBucket changes a bucket. A shorter retention period is in effect, for
// reading too, when it returns. Errors: NotFound, Invalid for a bad name,
// Conflict if it is taken, Unprocessable or Internal for a bad retention period
// or window, Unauthorized.
func (e *Engine) UpdateBucket(ctx context.Context, p *Principal, id BucketID, u BucketUpdate) (Bucket, error) {
	if err := e.lockBuckets(ctx); err != nil {
		return Bucket{}, err
	}
	defer e.manageMu.Unlock()
	var b Bucket
	err := e.change(ctx, func(tx *catalog.Tx) error {
		old, ok := tx.Bucket(id)
		if !ok {
			return errBucketNotFound()
		}
		if err := p.require(bucketPermission(ActionWrite, old)); err != nil {
			return err
		}
		b = *old
		if u.Name != nil && *u.Name != b.Name {
			if err := checkBucketName(*u.Name); err != nil {
				return err
			}
			if _, taken := tx.BucketByName(b.OrgID, *u.Name); taken {
				return Errorf(Conflict, "bucket name is not unique")
			}
			b.Name = *u.Name
		}
		if u.Description != nil {
			b.Description = *u.Description
		}
		if u.RetentionPeriod != nil || u.Window != 0 {
			if u.RetentionPeriod != nil {
				b.RetentionPeriod = *u.RetentionPeriod
			}
			window, err := changedRetention(b.RetentionPeriod, u.Window, b.Window)
			if err != nil {
				return err
			}
			b.Window = window
		}
		b.UpdatedAt = tx.Now()
		return tx.PutBucket(b)
	})
	if err != nil {
		return Bucket{}, err
	}
	e.retentionChanged(b)
	return b, nil
}

// DeleteBucket deletes a bucket and its points. Errors: NotFound, Unauthorized.
func (e *Engine) DeleteBucket(ctx context.Context, p *Principal, id BucketID) error {
	if err := e.lockBuckets(ctx); err != nil {
		return err
	}
	defer e.manageMu.Unlock()
	e.shard.MakeRoom(ctx)
	err := e.change(ctx, func(tx *catalog.Tx) error {
		b, ok := tx.Bucket(id)
		if !ok {
			return errBucketNotFound()
		}
		if err := p.require(bucketPermission(ActionWrite, b)); err != nil {
			return err
		}
		return tx.DeleteBucket(id)
	})
	if err == nil {
		e.dropBuckets(ctx, id)
	}
	return err
}
