package influxql

import (
	"context"
	"time"

	"headgate/engine/point"
)

// Host is what statements act on. Every method is called from the goroutine of
// [Run], on behalf of one caller who is already authenticated: what the caller
// may not see does not exist.
//
// Errors become the statement's error with their own text, so they are written
// in InfluxDB's words.
type Host interface {
	// Databases lists the databases in the order in which to show them.
	Databases(ctx context.Context) ([]string, error)
	// RetentionPolicies lists the retention policies of a database, none when
	// there is no such database.
	RetentionPolicies(ctx context.Context, database string) ([]RetentionPolicy, error)
	// Snapshot is the bucket behind a database and retention policy as it is
	// now; an empty retentionPolicy means the default one. It fails with
	// [ErrDatabaseNotFound] or [ErrRetentionPolicyNotFound].
	Snapshot(ctx context.Context, database, retentionPolicy string) (point.Reader, error)

	// CreateDatabase succeeds when the database exists already.
	CreateDatabase(ctx context.Context, r CreateDatabase) error
	// DropDatabase succeeds when there is no such database.
	DropDatabase(ctx context.Context, database string) error
	// CreateRetentionPolicy succeeds when the same policy exists already.
	CreateRetentionPolicy(ctx context.Context, r CreateRetentionPolicy) error
	AlterRetentionPolicy(ctx context.Context, r AlterRetentionPolicy) error
	DropRetentionPolicy(ctx context.Context, database, name string) error
	// SnapshotToDelete is Snapshot of the default retention policy's bucket for a
	// caller who may delete from it, and perhaps not read it: the statement's tags are
	// told from its fields by it. Its error is ErrDatabaseNotFound if there is none, or
	// says that the caller may not.
	SnapshotToDelete(ctx context.Context, database string) (point.Reader, error)
	// Delete removes the points that r selects.
	Delete(ctx context.Context, r DeleteRequest) error
}

// RetentionPolicy is one row of SHOW RETENTION POLICIES.
type RetentionPolicy struct {
	Name string
	// Duration is the retention period; 0 means forever.
	Duration time.Duration
	// ShardGroupDuration is the width of a window.
	ShardGroupDuration time.Duration
	ReplicaN           int
	Default            bool
}

// CreateDatabase is a CREATE DATABASE statement.
type CreateDatabase struct {
	Name string
	// RetentionPolicy is the default policy that the statement asks for; nil
	// when it has no WITH clause.
	RetentionPolicy *RetentionPolicySpec
}

// RetentionPolicySpec is what a CREATE DATABASE ... WITH clause says about the
// default retention policy. Zero values are the server's to choose.
type RetentionPolicySpec struct {
	Name               string
	Duration           *time.Duration
	ReplicaN           *int
	ShardGroupDuration time.Duration
}

// CreateRetentionPolicy is a CREATE RETENTION POLICY statement.
type CreateRetentionPolicy struct {
	Database, Name string
	// Duration is the retention period; 0 means forever.
	Duration time.Duration
	ReplicaN int
	// ShardGroupDuration is 0 when the server is to choose it.
	ShardGroupDuration time.Duration
	// Default makes it the database's default policy.
	Default bool
}

// AlterRetentionPolicy is an ALTER RETENTION POLICY statement. A nil member stays
// as it is.
type AlterRetentionPolicy struct {
	Database, Name     string
	Duration           *time.Duration
	ReplicaN           *int
	ShardGroupDuration *time.Duration
	// Default makes it the database's default policy; false changes nothing.
	Default bool
}
