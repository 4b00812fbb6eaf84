package engine

import (
	"fmt"
	"time"
	"unicode/utf8"

	"headgate/engine/lineproto"
)

// Kind classifies an error by what the caller can do about it. httpfront maps
// kinds to HTTP statuses; nothing below engine knows them.
type Kind uint8

// The kinds of errors.
const (
	// Internal: our own fault, and nothing the caller can change.
	Internal Kind = iota
	// Invalid: the request is malformed; sending it again fails again.
	Invalid
	// EmptyValue: a required value is empty.
	EmptyValue
	// Unauthorized: no credentials, unknown ones, or ones without permission.
	Unauthorized
	// Forbidden: the credentials are known but inactive.
	Forbidden
	// NotFound: a named resource does not exist.
	NotFound
	// MethodNotAllowed: the resource exists but does not do that.
	MethodNotAllowed
	// TooLarge: the request is over a limit of Options.
	TooLarge
	// UnsupportedEncoding: the body's encoding is not one we decode.
	UnsupportedEncoding
	// Unprocessable: well-formed, but some points were dropped ([Error.Partial]
	// is set), or a resource cannot have the wanted values.
	Unprocessable
	// Conflict: the name is taken.
	Conflict
	// NotImplemented: InfluxDB has it, Headgate does not.
	NotImplemented
	// Overloaded: refused before anything was written; try again after
	// [Error.RetryAfter].
	Overloaded
	// Unavailable: the bucket, the shard or the engine cannot take the request
	// now (recovering, failed disk, quarantined, shutting down); nothing was
	// written. Try again after [Error.RetryAfter].
	Unavailable
	// Indeterminate: we stopped waiting; the batch may yet become durable, and
	// sending it again is safe, since the same points overwrite themselves.
	Indeterminate

	kinds // how many there are
)

var kindNames = [kinds]string{
	Internal: "internal error", Invalid: "invalid", EmptyValue: "empty value", Unauthorized: "unauthorized",
	Forbidden: "forbidden", NotFound: "not found", MethodNotAllowed: "method not allowed", TooLarge: "request too large",
	UnsupportedEncoding: "unsupported media type", Unprocessable: "unprocessable entity", Conflict: "conflict",
	NotImplemented: "not implemented", Overloaded: "unavailable", Unavailable: "unavailable", Indeterminate: "unavailable",
}

// String returns the code that InfluxDB clients know the kind by.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// Error is every error that a method of Engine returns for a reason that a
// caller may want to tell apart. Use errors.As.
type Error struct {
	Kind Kind
	// Message is the whole text, in InfluxDB's words where it has some.
	Message string
	// Line is the number of the first malformed line, from 1, when Kind is
	// Invalid because line protocol did not parse; else 0.
	Line int
	// Malformed is then how many lines are malformed, and Lines the first
	// PointErrorsMax of them, in order.
	Malformed int
	Lines     []LineError
	// Partial is set when points of a batch were dropped and the rest, if any,
	// is durable and visible.
	Partial *PartialWrite
	// RetryAfter is how long the caller should wait before trying again; 0 when
	// trying again cannot help.
	RetryAfter time.Duration
	// Reason is RefuseInfo.Reason when the gate or the bucket refused, else "".
	Reason string
	// Err is the cause, or nil.
	Err error
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a kind. A %w verb sets the cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Kind: kind, Message: err.Error()}
	if u, ok := err.(interface{ Unwrap() error }); ok {
		e.Err = u.Unwrap()
	}
	return e
}

// LineError says what is wrong with one malformed line.
type LineError struct {
	// Line is its number in the batch, from 1.
	Line int `json:"line"`
	// Code is malformed.
	Code string `json:"code"`
	// Message is the reason.
	Message string `json:"message"`
	// Text is the line's beginning, lineTextBytesMax of it at most.
	Text string `json:"text"`
}

// lineTextBytesMax is how much of a malformed line is shown: where it is wrong is found
// by its number.
const lineTextBytesMax = 256

// codeMalformed is the code of lines that do not parse.
const codeMalformed = "malformed"

// malformed is the error of a batch with malformed lines.
func malformed(syntax *lineproto.SyntaxError) *Error {
	e := &Error{Kind: Invalid, Message: syntax.Error(), Line: syntax.Line, Malformed: syntax.Malformed, Err: syntax}
	for _, l := range syntax.Lines[:min(len(syntax.Lines), PointErrorsMax)] {
		e.Lines = append(e.Lines, LineError{Line: l.Line, Code: codeMalformed, Message: l.Reason, Text: beginning(l.Text, lineTextBytesMax)})
	}
	return e
}

// beginning is s cut to n bytes, or a few less: not inside a rune.
func beginning(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n]
}

// PartialWrite says what became of a batch of which points were dropped.
type PartialWrite struct {
	// Written and Dropped count points. Written points are durable and visible.
	Written, Dropped int
	// Points describes the first PointErrorsMax dropped points, in line order.
	Points []PointError
}

// PointErrorsMax is how many dropped points a PartialWrite describes.
const PointErrorsMax = 100

// PointError says why one point was dropped.
type PointError struct {
	// Line is the point's line number in the batch, from 1.
	Line int `json:"line"`
	// Series is the canonical series key.
	Series string `json:"series"`
	// Field is the field that is to blame, if one is.
	Field string `json:"field,omitempty"`
	// Code is field_type_conflict, beyond_retention, invalid_field_name,
	// string_too_long, series_limit, measurement_limit, field_limit, tag_limit,
	// name_too_long or tag_value_too_long.
	Code string `json:"code"`
	// Message says it in words.
	Message string `json:"message"`
	// Have is the type that the field has in the bucket, Want the type that the
	// point brought; empty unless Code is field_type_conflict.
	Have string `json:"have,omitempty"`
	Want string `json:"want,omitempty"`
}
