package influxql

import (
	"errors"
	"fmt"
)

// ParseError says that a query did not parse, and that nothing was run.
type ParseError struct {
	// Err is the parser's error.
	Err error
}

func (e *ParseError) Error() string { return "failed to parse query: " + e.Err.Error() }

func (e *ParseError) Unwrap() error { return e.Err }

// Statement errors, in InfluxDB's words.
var (
	// ErrDatabaseNameRequired: neither the statement nor the query names one.
	ErrDatabaseNameRequired = errors.New("database name required")
	// ErrNotExecuted: a statement before this one failed.
	ErrNotExecuted = errors.New("not executed")
	// ErrInterrupted: the context ended while the statement ran.
	ErrInterrupted = errors.New("query interrupted")
	// ErrInvalidName: a database or retention policy cannot be called that.
	ErrInvalidName = errors.New("invalid name")
)

// ErrDatabaseNotFound says that there is no such database, as far as the caller
// may see.
type ErrDatabaseNotFound struct{ Database string }

func (e ErrDatabaseNotFound) Error() string { return "database not found: " + e.Database }

// ErrRetentionPolicyNotFound says that the database has no such policy.
type ErrRetentionPolicyNotFound struct{ RetentionPolicy string }

func (e ErrRetentionPolicyNotFound) Error() string {
	return "retention policy not found: " + e.RetentionPolicy
}

// ErrNotImplemented names a statement that InfluxQL has and Headgate has not.
type ErrNotImplemented struct{ Statement string }

func (e ErrNotImplemented) Error() string { return "not implemented: " + e.Statement }

// ErrReadOnly names a statement that changes something in a query that must not.
type ErrReadOnly struct{ Statement string }

func (e ErrReadOnly) Error() string { return "method not allowed: " + e.Statement + " requires POST" }

// PanicError is a panic below a statement, as that statement's error. It is a bug
// worth reporting; the process and the other statements' data are unharmed.
type PanicError struct {
	// Statement is the statement's text.
	Statement string
	// Value is what was panicked with.
	Value any
	// Stack is where, for the log.
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("%s [panic:%v]", e.Statement, e.Value) }

// noDefaultPolicy is the error of statements that act on a database's default
// retention policy when there is none, the database itself included.
func noDefaultPolicy(database string) error {
	return fmt.Errorf("default retention policy not set for: %s", database)
}
