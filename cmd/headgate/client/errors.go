package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// errorBytesMax is how much of an error's text is read.
const errorBytesMax = 1 << 20

// Error is an answer with a status of 400 or more.
type Error struct {
	// Status is the HTTP status, Code what the server calls it, such as "invalid".
	Status  int
	Code    string
	Message string
	// RetryAfter is how long the server asks to wait, 0 when it does not say.
	RetryAfter time.Duration
	// Line is the first malformed line, from 1, 0 when there is none.
	Line int
	// Partial is whether the server tells Written and Dropped: how many points of the
	// batch it has taken and left out.
	Partial          bool
	Written, Dropped int
	// Malformed is how many lines are malformed.
	Malformed int
	// Lines are the points that were dropped or the lines that are malformed, or the
	// first of them.
	Lines []LineError
	// Authorized is whether a token was sent.
	Authorized bool
	// NotSetUp is whether a server that answers 401 has not been set up yet.
	NotSetUp bool
	// Path is what was asked for.
	Path string

	noToken string // Options.NoToken
}

// LineError says why a line was not taken.
type LineError struct {
	// Line counts from 1 in the batch.
	Line                                     int
	Code, Message, Series, Field, Have, Want string
}

// Error is one line that names the next step when there is one.
func (e *Error) Error() string {
	text := strings.TrimSpace(e.Message)
	if text == "" {
		text = http.StatusText(e.Status)
	}
	first, _, more := strings.Cut(text, "\n")
	if more {
		first += " ..."
	}
	return fmt.Sprintf("the server answers %d: %s%s", e.Status, first, e.hint())
}

func (e *Error) hint() string {
	switch {
	case e.NotSetUp:
		return " (the server is not set up: headgate setup does that, and keeps its token as a profile)"
	case e.Path == "/api/v2/setup" && e.Status == http.StatusUnprocessableEntity && strings.HasPrefix(e.Message, "onboarding has already been completed"):
		return " (headgate config create keeps a profile with a token of it)"
	case e.Status == http.StatusUnauthorized && !e.Authorized && e.noToken != "":
		return " (no token: " + e.noToken + ")"
	case e.Status == http.StatusUnauthorized && !e.Authorized:
		return " (no token: give --token, set HEADGATE_TOKEN or run headgate config create)"
	case e.Status == http.StatusUnauthorized:
		return " (the token is unknown or may not do this: headgate token list shows what tokens may do)"
	case strings.Contains(e.Message, "Please provide either orgID or org"):
		return " (no organization: give --org, set HEADGATE_ORG or run headgate config create)"
	case e.Status == http.StatusNotFound && strings.HasPrefix(e.Message, "bucket "):
		return " (headgate bucket list shows what there is, headgate bucket create makes one)"
	case e.Status == http.StatusNotFound && strings.HasPrefix(e.Message, "organization "):
		return " (headgate org list shows what there is)"
	case e.Status == http.StatusNotFound && (strings.HasPrefix(e.Message, "path not found") || strings.HasPrefix(e.Message, "404 page")):
		return " (is it Headgate that runs there?)"
	case e.Status == http.StatusRequestEntityTooLarge && e.Path == writePath && strings.Contains(e.Message, "(--"): // it names the limit
		return " (send less at once with --batch-bytes, or allow more)"
	case e.Status == http.StatusRequestEntityTooLarge && e.Path == writePath:
		return " (send less at once with --batch-bytes, or allow more with the server's --max-body)"
	}
	return ""
}

// Temporary is whether the same request may be taken later.
func (e *Error) Temporary() bool {
	return e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests ||
		e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
}

// UnreachableError is a server that does not answer.
type UnreachableError struct {
	Host string
	Err  error
	// TLS is whether the server takes only TLS and was asked without.
	TLS bool
}

func (e *UnreachableError) Error() string {
	switch text := e.Err.Error(); {
	case e.TLS:
		return fmt.Sprintf("%s speaks HTTPS only: write https:// for it", e.Host)
	case strings.Contains(text, noHTTPS):
		return fmt.Sprintf("%s does not speak HTTPS: write http:// for it", e.Host)
	case strings.Contains(text, badCertificate):
		return fmt.Sprintf("%s has a certificate that is not trusted: %v (SSL_CERT_FILE names certificates to trust; --skip-verify takes any)", e.Host, e.Err)
	}
	return fmt.Sprintf("no answer from %s: %v (is the server running? \"headgate serve\" starts one; --host or HEADGATE_HOST says where it is)", e.Host, e.Err)
}

const (
	noHTTPS        = "server gave HTTP response to HTTPS client"
	badCertificate = "x509: "
)

// Temporary is whether the server may answer later: not one that is there and speaks
// otherwise.
func (e *UnreachableError) Temporary() bool {
	text := e.Err.Error()
	return !e.TLS && !strings.Contains(text, noHTTPS) && !strings.Contains(text, badCertificate)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// readError makes an Error of an answer. The caller closes its body.
func readError(resp *http.Response, authorized bool) *Error {
	e := &Error{Status: resp.StatusCode, Authorized: authorized}
	text, err := io.ReadAll(io.LimitReader(resp.Body, errorBytesMax))
	if err != nil && len(text) == 0 {
		e.Message = err.Error()
	}
	var said struct {
		Code, Message, Error     string
		Line, Malformed, Dropped int
		Written                  *int
		Errors                   []LineError
	}
	if json.Unmarshal(text, &said) == nil && said.Message+said.Error != "" {
		e.Code, e.Message, e.Line, e.Malformed, e.Dropped, e.Lines = said.Code, said.Message, said.Line, said.Malformed, said.Dropped, said.Errors
		if e.Message == "" {
			e.Message = said.Error
		}
		if said.Written != nil {
			e.Partial, e.Written = true, *said.Written
		}
	} else if len(text) > 0 {
		e.Message = string(text)
	}
	if v := resp.Header.Get("Retry-After"); v != "" {
		if n, err := strconv.Atoi(v); err == nil && n > 0 {
			e.RetryAfter = time.Duration(n) * time.Second
		} else if at, err := http.ParseTime(v); err == nil {
			e.RetryAfter = max(0, time.Until(at))
		}
	}
	return e
}
