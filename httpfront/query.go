package httpfront

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// queryRequest is what a client asks of /query.
type queryRequest struct {
	engine.Query
	// orgID or org is whose databases are meant, the principal's if both are empty.
	orgID, org string
	epoch      epoch
	chunked    bool
	pretty     bool
	// accept is the Accept header.
	accept string
}

// chunkRowsDefault is how many rows a chunk has when the client does not say.
const chunkRowsDefault = 10000

// queryV1 is /query, for any method: InfluxQL. Statements that change anything
// need POST. Unlike InfluxDB's it heeds org and orgID: databases are the token's
// organization's only when neither is given.
func queryV1(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) {
	q, err := s.parseQuery(c)
	if err != nil {
		s.writeError(c, err, v1)
		return
	}
	if q.orgID != "" || q.org != "" {
		org, err := s.organizationOf(q.orgID, q.org)
		if err != nil {
			s.writeError(c, err, v1)
			return
		}
		p = p.In(org.ID)
	}
	f, contentType := newFormat(q)
	if q.Text == "" {
		c.SetContentType(contentType)
		c.SetBody(f.end(nil))
		return
	}
	if n := s.queries.Add(1); n > int64(s.options.QueriesMax) {
		s.queries.Add(-1)
		s.writeError(c, &engine.Error{Kind: engine.Overloaded,
			Message: "too many queries are running: Options.QueriesMax is " + strconv.Itoa(s.options.QueriesMax)}, v1)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	st := newStream(cancel, q.chunked, acceptsGzip(c))
	stop := connOf(c).watch(cancel)
	st.onClose = func() {
		stop()
		s.queries.Add(-1)
	}
	go s.runQuery(ctx, st, p, q, f)
	c.SetContentType(contentType)
	whole, err := st.wait()
	switch {
	case err != nil:
		st.Close()
		s.writeError(c, queryError(err), v1)
	case whole != nil:
		c.SetBody(whole)
		st.Close()
	default:
		if st.gzip {
			c.Response.Header.Set(fasthttp.HeaderContentEncoding, "gzip")
		}
		c.SetBodyStream(st, -1)
	}
}

// runQuery runs q and formats its results into st. It owns f, and is the only
// one that writes to st.
func (s *Server) runQuery(ctx context.Context, st *stream, p *engine.Principal, q *queryRequest, f format) {
	err := func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				s.log.panicked("query", v)
				err = engine.Errorf(engine.Internal, "%s", internalMessage)
			}
		}()
		err = s.engine.Query(ctx, p, q.Query, func(r engine.Result) error {
			st.buf.data = f.result(st.buf.data, &r)
			if f.held() > s.options.QueryHeldBytesMax {
				return engine.Errorf(engine.TooLarge, "the answer is over Options.QueryHeldBytesMax, %d bytes, which this format has to hold; ask for chunked=true, JSON or CSV",
					s.options.QueryHeldBytesMax)
			}
			return st.flush(ctx)
		})
		if err == nil {
			st.buf.data = f.end(st.buf.data)
		}
		return err
	}()
	if err != nil && st.sent && ctx.Err() == nil {
		s.log.internal(err) // the client sees its connection end early
	}
	st.finish(ctx, err)
}

// queryError is what a client hears when its query was ended from outside.
func queryError(err error) error {
	if errors.Is(err, context.Canceled) {
		return &engine.Error{Kind: engine.Unavailable, Message: "query was cancelled: the server is shutting down", Err: err}
	}
	return err
}

// parseQuery reads the parameters, wherever they are: a form in the body comes
// before the URL.
func (s *Server) parseQuery(c *fasthttp.RequestCtx) (*queryRequest, error) {
	b := getBuffer()
	defer putBuffer(b)
	if err := s.readSmallBody(c, b); err != nil {
		return nil, err
	}
	contentType := string(c.Request.Header.ContentType())
	form, err := readForm(c, b.data, contentType)
	if err != nil {
		return nil, err
	}
	q := &queryRequest{accept: string(c.Request.Header.Peek(fasthttp.HeaderAccept))}
	q.ReadOnly = !c.IsPost()
	q.Text = strings.TrimSpace(form("q"))
	if q.Text == "" {
		mediaType, _, err := mime.ParseMediaType(contentType)
		if err != nil {
			return nil, &missingQueryError{engine.Errorf(engine.Invalid, "%w", err)}
		}
		if mediaType == "application/vnd.influxql" {
			q.Text = string(b.data)
		}
	}
	q.orgID, q.org = form("orgID"), form("org")
	q.Database, q.RetentionPolicy, q.epoch = form("db"), form("rp"), parseEpoch(form("epoch"))
	if params := form("params"); params != "" {
		d := json.NewDecoder(strings.NewReader(params))
		d.UseNumber()
		if err := d.Decode(&q.Params); err != nil {
			return nil, engine.Errorf(engine.Invalid, "error parsing query parameters: %w", err)
		}
	}
	// An answer that is not chunked comes in chunks all the same, so that no long
	// series is ever held whole; its format puts them together again.
	q.ChunkSize = chunkRowsDefault
	q.pretty = form("pretty") == "true"
	if q.chunked = form("chunked") == "true"; q.chunked {
		if n, err := strconv.Atoi(form("chunk_size")); err == nil && n > 0 {
			q.ChunkSize = n
		}
	}
	return q, nil
}

// readForm returns the look-up of form parameters. The first value counts. A
// multipart form may bring its query as a file.
func readForm(c *fasthttp.RequestCtx, body []byte, contentType string) (func(string) string, error) {
	url := c.QueryArgs()
	fromURL := func(name string) string { return string(url.Peek(name)) }
	if !c.IsPost() && !c.IsPut() && !c.IsPatch() {
		return fromURL, nil
	}
	mediaType, params, _ := mime.ParseMediaType(contentType) // an odd type is no form
	values := make(map[string]string)
	switch mediaType {
	case "application/x-www-form-urlencoded":
		args := fasthttp.AcquireArgs()
		defer fasthttp.ReleaseArgs(args)
		args.ParseBytes(body)
		for k, v := range args.All() {
			if _, ok := values[string(k)]; !ok {
				values[string(k)] = string(v)
			}
		}
	case "multipart/form-data":
		mr := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for {
			part, err := mr.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, engine.Errorf(engine.Invalid, "unable to read form: %w", err)
			}
			v, err := io.ReadAll(part)
			if err != nil {
				return nil, engine.Errorf(engine.Invalid, "unable to read form: %w", err)
			}
			if _, ok := values[part.FormName()]; !ok {
				values[part.FormName()] = string(v)
			}
		}
	default:
		return fromURL, nil
	}
	return func(name string) string {
		if v, ok := values[name]; ok {
			return v
		}
		return fromURL(name)
	}, nil
}
