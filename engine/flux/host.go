package flux

import (
	"context"
	"encoding/json"
	"time"

	"headgate/engine/point"
)

// Host is what a query reads, on behalf of one caller who is authenticated: what
// the caller may not read does not exist. It is used by several goroutines.
type Host interface {
	// Snapshot is the bucket as it is now. Only one of name and id is set. It
	// fails with a *NotFoundError when there is no such bucket.
	Snapshot(ctx context.Context, name, id string) (point.Reader, error)
	// Buckets lists the buckets that the caller may read, in the order in which
	// to show them.
	Buckets(ctx context.Context) ([]Bucket, error)
}

// Bucket is a row of buckets().
type Bucket struct {
	Name, ID, OrganizationID string
	// RetentionPolicy is the retention policy of the v1 API, if there is one.
	RetentionPolicy string
	// RetentionPeriod is 0 when points are kept for ever.
	RetentionPeriod time.Duration
}

// Query is one request.
type Query struct {
	// Text is the script. It comes before AST.
	Text string
	// AST is the script as a tree, in the JSON of [AST]. Optional.
	AST json.RawMessage
	// Extern is a file of the tree that is evaluated before the script: what
	// InfluxDB's own pages define variables with. Optional.
	Extern json.RawMessage
	// Params is what the script sees as params. Optional.
	Params map[string]any
	// Now is what now() says. Zero means the moment at which Run begins.
	Now time.Time
	// Dialect is how the answer is written.
	Dialect Dialect
	// BytesMax is the most memory that the query's tables may hold, in bytes; 0
	// means no limit.
	BytesMax int64

	// pushDownOff leaves everything to Flux's engine. For tests.
	pushDownOff bool
}

// Dialect is how annotated CSV is written.
type Dialect struct {
	// NoHeader leaves out the line of column names.
	NoHeader bool
	// Delimiter separates columns. Zero means a comma.
	Delimiter rune
	// Annotations are the lines of annotation, in order, of "datatype", "group" and
	// "default".
	Annotations []string
	// CommentPrefix begins the lines of annotation. Empty means "#".
	CommentPrefix string
}

// Error is a query that cannot run, or a limit that it met.
type Error struct {
	// TooLarge is set when the query needed more than Query.BytesMax.
	TooLarge bool
	// Internal is set when it is our fault, or that of Flux's engine.
	Internal bool
	Message  string
	Err      error
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// NotFoundError is a bucket that does not exist for the caller.
type NotFoundError struct{ Bucket string }

func (e *NotFoundError) Error() string { return "could not find bucket \"" + e.Bucket + "\"" }
