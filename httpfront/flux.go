package httpfront

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"mime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// fluxRequest is the body of /api/v2/query in JSON.
type fluxRequest struct {
	Query   string          `json:"query"`
	Type    string          `json:"type"`
	AST     json.RawMessage `json:"ast"`
	Extern  json.RawMessage `json:"extern"`
	Params  map[string]any  `json:"params"`
	Now     time.Time       `json:"now"`
	Dialect fluxDialect     `json:"dialect"`

	// Of InfluxQL: the bucket, or the database and retention policy.
	Bucket          string `json:"bucket"`
	Database        string `json:"db"`
	RetentionPolicy string `json:"rp"`
}

// fluxDialect is how the answer is to be written.
type fluxDialect struct {
	Header         *bool    `json:"header"`
	Delimiter      string   `json:"delimiter"`
	Annotations    []string `json:"annotations"`
	CommentPrefix  string   `json:"commentPrefix"`
	DateTimeFormat string   `json:"dateTimeFormat"`
}

const (
	typeFlux     = "flux"
	typeInfluxQL = "influxql"

	mediaTypeFlux = "application/vnd.flux"
	csvType       = "text/csv; charset=utf-8"
)

// queryV2 is POST /api/v2/query: Flux, or InfluxQL.
func queryV2(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) {
	r, org, err := s.parseFlux(c)
	if err == nil {
		err = p.Active()
	}
	if err != nil {
		s.writeError(c, err, compact)
		return
	}
	if n := s.queries.Add(1); n > int64(s.options.QueriesMax) {
		s.queries.Add(-1)
		s.writeError(c, &engine.Error{Kind: engine.Overloaded,
			Message: "too many queries are running: Options.QueriesMax is " + strconv.Itoa(s.options.QueriesMax)}, compact)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	st := newStream(cancel, false, acceptsGzip(c))
	stop := connOf(c).watch(cancel)
	st.onClose = func() {
		stop()
		s.queries.Add(-1)
	}
	go s.runQueryV2(ctx, st, func() error {
		if r.Type == typeInfluxQL {
			return s.runInfluxQL(ctx, st, p.In(org.ID), r)
		}
		return s.engine.Flux(ctx, p, org.ID, r.flux(), &streamWriter{ctx: ctx, st: st})
	})
	whole, err := st.wait()
	switch {
	case err != nil:
		st.Close()
		s.writeError(c, queryError(err), compact)
	case whole != nil:
		c.SetContentType(csvType)
		c.SetBody(whole)
		st.Close()
		compressAnswer(c)
	default:
		c.SetContentType(csvType)
		if st.gzip {
			c.Response.Header.Set(fasthttp.HeaderContentEncoding, "gzip")
		}
		c.SetBodyStream(st, -1)
	}
}

// runQueryV2 ends st with what query writes into it, or with its error.
func (s *Server) runQueryV2(ctx context.Context, st *stream, query func() error) {
	err := func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				s.log.panicked("query", v)
				err = engine.Errorf(engine.Internal, "%s", internalMessage)
			}
		}()
		return query()
	}()
	if err != nil && st.sent && ctx.Err() == nil {
		// The status has gone. What clients look for then is a table of errors.
		s.log.internal(err)
		st.buf.data = appendErrorTable(st.buf.data, queryError(err))
		err = nil
	}
	st.finish(ctx, err)
}

// runInfluxQL writes the answer to InfluxQL as /query writes CSV; but a statement
// that fails fails the request.
func (s *Server) runInfluxQL(ctx context.Context, st *stream, p *engine.Principal, r *fluxRequest) error {
	f := &csvFormat{statement: -1}
	return s.engine.Query(ctx, p, r.influxQL(), func(res engine.Result) error {
		if res.Err != nil {
			return engine.Errorf(engine.Invalid, "%w", res.Err)
		}
		st.buf.data = f.result(st.buf.data, &res)
		return st.flush(ctx)
	})
}

// streamWriter writes into a stream.
type streamWriter struct {
	ctx context.Context
	st  *stream
}

func (w *streamWriter) Write(p []byte) (int, error) {
	w.st.buf.data = append(w.st.buf.data, p...)
	return len(p), w.st.flush(w.ctx)
}

// appendErrorTable ends an answer with an error, as InfluxDB does.
func appendErrorTable(dst []byte, err error) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	_ = w.WriteAll([][]string{nil, {"#datatype", "string", "string"}, {"#group", "true", "true"}, {"#default", "", ""}, // memory only: cannot fail
		{"", "error", "reference"}, {"", err.Error(), ""}})
	return append(dst, b.Bytes()...)
}

// parseFlux reads a query: first the body, then the organization. As InfluxDB has
// it, whatever is wrong with either is invalid.
func (s *Server) parseFlux(c *fasthttp.RequestCtx) (*fluxRequest, engine.Organization, error) {
	r, err := s.decodeFlux(c)
	var org engine.Organization
	if err == nil {
		org, err = s.organization(c.QueryArgs())
	}
	var e *engine.Error
	var slow *slowBodyError
	if err != nil && !errors.As(err, &slow) && (!errors.As(err, &e) || e.Kind == engine.Invalid || e.Kind == engine.NotFound) {
		err = engine.Errorf(engine.Invalid, "failed to decode request body: %w", err)
	}
	return r, org, err
}

func (s *Server) decodeFlux(c *fasthttp.RequestCtx) (*fluxRequest, error) {
	b := getBuffer()
	defer putBuffer(b)
	body, err := s.readQueryBody(c, b)
	if err != nil {
		return nil, err
	}
	r := new(fluxRequest)
	mediaType, _, _ := mime.ParseMediaType(string(c.Request.Header.ContentType())) // anything else is JSON
	if mediaType == mediaTypeFlux {
		r.Query = string(body)
	} else {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(r); err != nil {
			return nil, err
		}
		r.AST, r.Extern = bytes.Clone(r.AST), bytes.Clone(r.Extern)
	}
	if r.Type == "" {
		r.Type = typeFlux
	}
	if r.Dialect.Delimiter == "" {
		r.Dialect.Delimiter = ","
	}
	return r, r.validate()
}

// readQueryBody reads a body and inflates it if need be. The result is good until
// b is put back.
func (s *Server) readQueryBody(c *fasthttp.RequestCtx, b *buffer) ([]byte, error) {
	enc, err := parseEncoding(c.Request.Header.ContentEncoding())
	if err != nil {
		return nil, err
	}
	if enc == identity {
		err := s.readSmallBody(c, b)
		return b.data, err
	}
	in := getBuffer()
	defer putBuffer(in)
	if err := s.readSmallBody(c, in); err != nil {
		return nil, err
	}
	l := limit{s.options.QueryBodyBytesMax, "request body", "Options.QueryBodyBytesMax"}
	err = s.inflaters.inflate(b, in.data, enc, l, &charge{})
	return b.data, err
}

// validate says what is wrong, in InfluxDB's words.
func (r *fluxRequest) validate() error {
	d := &r.Dialect
	switch {
	case r.Query == "" && (len(r.AST) == 0 || string(r.AST) == "null"):
		return errors.New("request body requires either query or AST")
	case r.Type != typeFlux && r.Type != typeInfluxQL:
		return errors.New("unknown query type: " + r.Type)
	case r.Type == typeInfluxQL && r.Bucket == "" && r.Database == "":
		return errors.New("bucket parameter is required for influxql queries")
	case len(d.CommentPrefix) > 1:
		return errors.New("invalid dialect comment prefix: must be length 0 or 1")
	case utf8.RuneCountInString(d.Delimiter) != 1:
		return errors.New("invalid dialect delimeter: must be length 1")
	}
	if delimiter, _ := utf8.DecodeRuneInString(d.Delimiter); delimiter == utf8.RuneError || strings.ContainsRune("\"\r\n\x00", delimiter) {
		return errors.New("invalid dialect delimeter character")
	}
	for _, a := range d.Annotations {
		switch a {
		case "group", "datatype", "default":
		default:
			return errors.New("unknown dialect annotation type: " + a)
		}
	}
	switch d.DateTimeFormat {
	case "", "RFC3339", "RFC3339Nano":
		return nil
	}
	return errors.New("unknown dialect date time format: " + d.DateTimeFormat)
}

// flux is r for the engine.
func (r *fluxRequest) flux() engine.FluxQuery {
	delimiter, _ := utf8.DecodeRuneInString(r.Dialect.Delimiter)
	return engine.FluxQuery{
		Text: r.Query, AST: r.AST, Extern: r.Extern, Params: r.Params, Now: r.Now,
		Dialect: engine.FluxDialect{
			NoHeader: r.Dialect.Header != nil && !*r.Dialect.Header, Delimiter: delimiter,
			Annotations: r.Dialect.Annotations, CommentPrefix: r.Dialect.CommentPrefix,
		},
	}
}

// influxQL is r for the engine. A bucket stands for the database and retention
// policy of its name.
func (r *fluxRequest) influxQL() engine.Query {
	var q engine.Query
	q.Text, q.ReadOnly, q.ChunkSize, q.Params = r.Query, true, chunkRowsDefault, r.Params
	if !r.Now.IsZero() {
		now := r.Now
		q.Now = func() time.Time { return now }
	}
	q.Database, q.RetentionPolicy = r.Database, r.RetentionPolicy
	if r.Bucket != "" {
		q.Database, q.RetentionPolicy, _ = strings.Cut(r.Bucket, "/")
	}
	return q
}

// queryAnalyze is POST /api/v2/query/analyze: what is wrong with a script.
func queryAnalyze(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	r, err := s.decodeScript(c)
	if err != nil {
		s.writeError(c, err, compact)
		return
	}
	list := []engine.FluxSyntaxError{}
	if r.Type != typeInfluxQL {
		list = append(list, engine.FluxAnalyze(r.Query)...)
	}
	s.writeJSONLine(c, struct {
		Errors []engine.FluxSyntaxError `json:"errors"`
	}{list})
}

// queryAST is POST /api/v2/query/ast: the tree of a script.
func queryAST(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	r, err := s.decodeScript(c)
	var tree json.RawMessage
	if err == nil {
		tree, err = engine.FluxAST(r.Query)
		var e *engine.Error
		if errors.As(err, &e) && e.Kind == engine.Invalid {
			err = engine.Errorf(engine.Invalid, "invalid AST: %s", strings.TrimPrefix(e.Message, "compilation failed: "))
		}
	}
	if err != nil {
		s.writeError(c, err, compact)
		return
	}
	s.writeJSONLine(c, struct {
		AST json.RawMessage `json:"ast"`
	}{tree})
}

// fluxSuggestion is a function that a script may call, in InfluxDB's form.
type fluxSuggestion struct {
	Name   string            `json:"name"`
	Params map[string]string `json:"params"`
}

// querySuggestions is GET /api/v2/query/suggestions: the functions that there are.
func querySuggestions(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	list, err := engine.FluxSuggestions()
	if err != nil {
		s.writeError(c, err, compact)
		return
	}
	funcs := make([]fluxSuggestion, len(list))
	for i, f := range list {
		funcs[i] = fluxSuggestion(f)
	}
	s.writeJSONLine(c, struct {
		Funcs []fluxSuggestion `json:"funcs"`
	}{funcs})
}

// querySuggestion is GET /api/v2/query/suggestions/{name}: one of them.
func querySuggestion(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	list, err := engine.FluxSuggestions()
	if err != nil {
		s.writeError(c, err, compact)
		return
	}
	name := param(c, "name")
	for _, f := range list {
		if f.Name == name {
			s.writeJSONLine(c, fluxSuggestion(f))
			return
		}
	}
	s.writeError(c, engine.Errorf(engine.NotFound, "function %q not found", name), compact)
}

// decodeScript reads what analyze and ast are asked about.
func (s *Server) decodeScript(c *fasthttp.RequestCtx) (*fluxRequest, error) {
	b := getBuffer()
	defer putBuffer(b)
	body, err := s.readQueryBody(c, b)
	if err != nil {
		return nil, err
	}
	r := new(fluxRequest)
	if err := json.Unmarshal(body, r); err != nil {
		return nil, engine.Errorf(engine.Invalid, "invalid json: %w", err)
	}
	return r, nil
}

// writeJSONLine answers with v on one line.
func (s *Server) writeJSONLine(c *fasthttp.RequestCtx, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.writeError(c, err, compact)
		return
	}
	c.SetContentType(jsonType)
	c.SetBody(append(b, '\n'))
	compressAnswer(c)
}
