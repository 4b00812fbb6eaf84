package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Options says which server, and as whom.
type Options struct {
	// Host is the server: http://, https:// or unix:///path of its socket. Without a
	// scheme it is http://. Default http://127.0.0.1:8086.
	Host string
	// Token is sent with each request, unless it is empty.
	Token string
	// NoToken says why there is no Token, for the error of a server that wants one. Default:
	// how to give one.
	NoToken string
	// UserAgent names the caller. Default "headgate".
	UserAgent string
	// Headers are sent with each request, too.
	Headers http.Header
	// Debug is told the first line and the headers of each request and answer, without the
	// token. Default nobody.
	Debug io.Writer
	// SkipVerify takes any certificate of an https server.
	SkipVerify bool
}

// Client asks one server. It may be used by several goroutines at once.
type Client struct {
	options Options
	base    string
	http    *http.Client
}

// DefaultHost is where a server listens unless it is told otherwise.
const DefaultHost = "http://127.0.0.1:8086"

// connectTimeout bounds how long a server may take to answer a connection.
const connectTimeout = 10 * time.Second

// probeTimeout bounds what is asked of a server only to explain an error.
const probeTimeout = 2 * time.Second

// New returns a client. It does not connect; an error is about Options.Host.
func New(o Options) (*Client, error) {
	if o.Host == "" {
		o.Host = DefaultHost
	}
	if o.UserAgent == "" {
		o.UserAgent = "headgate"
	}
	dial := &net.Dialer{Timeout: connectTimeout}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dial.DialContext, TLSHandshakeTimeout: connectTimeout,
		MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
	}
	if o.SkipVerify {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	c := &Client{options: o, http: &http.Client{Transport: t}}
	if o.Debug != nil {
		c.http.Transport = &debugTransport{next: t, w: o.Debug}
	}
	if path, ok := strings.CutPrefix(o.Host, "unix://"); ok {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial.DialContext(ctx, "unix", path)
		}
		c.base = "http://headgate"
		return c, nil
	}
	base := o.Host
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no address of a server: write http://HOST:PORT, https://HOST:PORT or unix:///PATH", WithoutUser(o.Host))
	}
	c.base = strings.TrimRight(base, "/")
	return c, nil
}

// Host is the server as Options named it.
func (c *Client) Host() string { return c.options.Host }

// SameServer is whether two hosts, as Options.Host takes them, are one server by their names
// alone: what differs in letter case, default port, user, a slash at the end or the name of
// the loopback address does not differ.
func SameServer(a, b string) bool { return serverOf(a) == serverOf(b) }

// serverOf is the one way to write a host.
func serverOf(host string) string {
	if host == "" {
		host = DefaultHost
	}
	if strings.HasPrefix(host, "unix://") {
		return host
	}
	if !strings.Contains(host, "://") {
		host = "http://" + host
	}
	u, err := url.Parse(host)
	if err != nil {
		return host
	}
	name, port := strings.ToLower(u.Hostname()), u.Port()
	if ip := net.ParseIP(name); name == "localhost" || ip != nil && ip.IsLoopback() {
		name = "localhost"
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(name, port) + strings.TrimRight(u.Path, "/")
}

// WithoutUser is a host, as Options has it, without the user and password that may stand in a URL.
func WithoutUser(host string) string {
	scheme, rest, ok := strings.Cut(host, "://")
	switch at := strings.LastIndexByte(host, '@'); {
	case at < 0 || scheme == "unix":
		return host
	case ok:
		return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
	default:
		return host[at+1:]
	}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Request is what Do sends.
type Request struct {
	Method, Path string
	Query        url.Values
	Headers      http.Header
	// Body may be nil.
	Body io.Reader
}

// Do sends a request. The answer's status is below 400, and its body the caller's to
// close; any other answer is an *Error. A server that cannot be reached is an
// *UnreachableError.
func (c *Client) Do(ctx context.Context, r Request) (*http.Response, error) {
	target := c.base + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, r.Body)
	if err != nil {
		return nil, err
	}
	for _, headers := range []http.Header{c.options.Headers, r.Headers} {
		for name, values := range headers {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if c.options.Token != "" {
		req.Header.Set("Authorization", "Token "+c.options.Token)
	}
	req.Header.Set("User-Agent", c.options.UserAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL is told by host
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &UnreachableError{Host: WithoutUser(c.options.Host), Err: err, TLS: c.speaksTLS(ctx, err)}
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		e := readError(resp, c.options.Token != "")
		e.noToken = c.options.NoToken
		e.Path, e.NotSetUp = r.Path, resp.StatusCode == http.StatusUnauthorized && c.notSetUp(ctx)
		return nil, e
	}
	return resp, nil
}

// speaksTLS is whether the server, which was asked without, hung up with err because it
// takes nothing but TLS. Its certificate does not matter for that.
func (c *Client) speaksTLS(ctx context.Context, err error) bool {
	u, errURL := url.Parse(c.base)
	hungUp := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || strings.Contains(err.Error(), "malformed HTTP response")
	if !hungUp || errURL != nil || u.Scheme != "http" || strings.HasPrefix(c.options.Host, "unix://") {
		return false
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// notSetUp is whether the server says that it may be set up, which it does not ask a token
// for. One that does not say counts as set up.
func (c *Client) notSetUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/api/v2/setup", nil)
	if err != nil {
		return false
	}
	req.Header.Set("User-Agent", c.options.UserAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var said struct{ Allowed bool }
	return resp.StatusCode == http.StatusOK && json.NewDecoder(io.LimitReader(resp.Body, errorBytesMax)).Decode(&said) == nil && said.Allowed
}

// JSON sends in as JSON, unless it is nil, and decodes the answer into out, unless that is.
func (c *Client) JSON(ctx context.Context, method, path string, query url.Values, in, out any) error {
	r := Request{Method: method, Path: path, Query: query}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		r.Body = bytes.NewReader(b)
		r.Headers = http.Header{"Content-Type": {"application/json"}}
	}
	resp, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%s %s answers what is no JSON (is it Headgate that runs there?): %w", method, path, err)
	}
	return nil
}
