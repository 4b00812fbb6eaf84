package httpfront

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// deleteRequestDecode is the body of a deletion. Its name is in what encoding/json
// says of a member of the wrong type, and so is part of the contract.
type deleteRequestDecode struct {
	Start     string `json:"start"`
	Stop      string `json:"stop"`
	Predicate string `json:"predicate"`
}

// deleteV2 is POST /api/v2/delete.
func deleteV2(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) {
	r, err := s.parseDelete(c, p)
	if err == nil && r != nil {
		err = s.engine.Delete(s.ctx, p, *r)
	}
	if err != nil {
		s.writeError(c, err, compact)
		return
	}
	noContent(c)
}

// parseDelete reads and checks everything, in CONTRACT's order. It returns nil
// for a deletion that cannot match anything.
func (s *Server) parseDelete(c *fasthttp.RequestCtx, p *engine.Principal) (*engine.DeleteRequest, error) {
	b := getBuffer()
	defer putBuffer(b)
	if err := s.readSmallBody(c, b); err != nil {
		return nil, err
	}
	r, fields, err := decodeDelete(b.data)
	if err != nil {
		return nil, err
	}
	if fields.equal {
		return nil, engine.Errorf(engine.NotImplemented, "delete by field is not supported")
	}
	args := c.QueryArgs()
	org, err := s.organization(args)
	if err != nil {
		return nil, err
	}
	bucket, err := s.bucketToDelete(args, org.ID)
	if err != nil {
		return nil, err
	}
	if err := p.CanDelete(bucket); err != nil {
		return nil, err
	}
	r.Bucket = bucket.ID
	if fields.notEqual || r.Min > r.Max {
		return nil, nil
	}
	return r, nil
}

// bucketToDelete finds what bucketID, or else bucket, names. Here an id-shaped
// name is an id only.
func (s *Server) bucketToDelete(args *fasthttp.Args, org point.ID) (engine.Bucket, error) {
	v := args.Peek("bucketID")
	byID := len(v) > 0
	if !byID {
		v = args.Peek("bucket")
	}
	if len(v) == 0 {
		return engine.Bucket{}, engine.Errorf(engine.Invalid, "Please provide either bucketID or bucket")
	}
	id, err := point.ParseID(stringOf(v))
	switch {
	case err == nil:
		if b, ok := s.engine.BucketByID(id); ok && b.OrgID == org {
			return b, nil
		}
	case byID:
		return engine.Bucket{}, engine.Errorf(engine.Invalid, "%w", err)
	default:
		if b, ok := s.engine.BucketByName(org, stringOf(v)); ok {
			return b, nil
		}
	}
	return engine.Bucket{}, errBucketNotFound(v)
}

// fieldConditions says how a predicate names _field.
type fieldConditions struct{ equal, notEqual bool }

func decodeDelete(body []byte) (*engine.DeleteRequest, fieldConditions, error) {
	var fields fieldConditions
	fail := func(err error) (*engine.DeleteRequest, fieldConditions, error) {
		return nil, fields, engine.Errorf(engine.Invalid, "error decoding json body: %w", err)
	}
	var raw json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&raw); err != nil {
		return fail(err)
	}
	var d deleteRequestDecode
	if err := json.Unmarshal(raw, &d); err != nil {
		return fail(errors.New("Invalid delete predicate node request: " + err.Error())) //nolint:staticcheck // InfluxDB's words
	}
	start, err := time.Parse(time.RFC3339Nano, d.Start)
	if err != nil {
		return fail(errors.New("invalid RFC3339Nano for field start, please format your time with RFC3339Nano format, example: 2009-01-02T23:00:00Z"))
	}
	if !storable(start) {
		return fail(errors.New("invalid start time, start time must not be before " + timeText(point.TimeMin)))
	}
	stop, err := time.Parse(time.RFC3339Nano, d.Stop)
	if err != nil {
		return fail(errors.New("invalid RFC3339Nano for field stop, please format your time with RFC3339Nano format, example: 2009-01-01T23:00:00Z"))
	}
	if !storable(stop) {
		return fail(errors.New("invalid stop time, stop time must not be after " + timeText(point.TimeMax)))
	}
	r := &engine.DeleteRequest{Min: start.UnixNano(), Max: stop.UnixNano()}
	if r.Predicate, err = parsePredicate(d.Predicate); err != nil {
		return fail(err)
	}
	for _, cond := range r.Predicate {
		if cond.Key == "_field" {
			fields.equal = fields.equal || !cond.Not
			fields.notEqual = fields.notEqual || cond.Not
		}
	}
	return r, fields, nil
}

// storable reports whether a point may have the time t.
func storable(t time.Time) bool {
	return !t.Before(time.Unix(0, point.TimeMin)) && !t.After(time.Unix(0, point.TimeMax))
}

func timeText(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
