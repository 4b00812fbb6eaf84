package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// SettleRequest is a request that makes a server do at once what it would do some
// day in the background: write down what it holds in memory, or merge its files.
type SettleRequest struct {
	// Target is the name of the target it is for.
	Target string
	// Method is GET or POST, Path begins with a slash and may have a query.
	Method, Path string
}

// ParseSettleRequest reads NAME=[METHOD,]PATH; the method is POST unless given.
func ParseSettleRequest(text string) (SettleRequest, error) {
	name, rest, _ := strings.Cut(text, "=")
	r := SettleRequest{Target: name, Method: http.MethodPost, Path: rest}
	if method, path, ok := strings.Cut(rest, ","); ok && (method == http.MethodGet || method == http.MethodPost) {
		r.Method, r.Path = method, path
	}
	if name == "" || !strings.HasPrefix(r.Path, "/") {
		return r, fmt.Errorf("bench: settle request %q is not NAME=[METHOD,]PATH with GET or POST and a path that begins with a slash", text)
	}
	return r, nil
}

// validateSettleRequests checks that each is for one of the targets.
func validateSettleRequests(options string, requests []SettleRequest, targets []CompareTarget) error {
	names := map[string]bool{}
	for _, t := range targets {
		names[t.Name] = true
	}
	for _, r := range requests {
		if !names[r.Target] {
			return fmt.Errorf("bench: %s.SettleRequests has one for %q, which is no target", options, r.Target)
		}
	}
	return nil
}

// send sends the request and waits, however long, for the answer.
func (r SettleRequest) send(ctx context.Context, rawURL, token string) error {
	t, err := ParseTarget(rawURL)
	if err != nil {
		return err
	}
	client, base := newHTTPClient(t)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, r.Method, base+r.Path, nil)
	if err != nil {
		return fmt.Errorf("bench: settle request: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Token "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("bench: settle request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, text)
	}
	if err != nil {
		return fmt.Errorf("bench: settle request %s %s: %w", r.Method, r.Path, err)
	}
	return nil
}

// fillTarget writes data to one target, sends what it is to be sent then, and waits
// until it has gone quiet.
func fillTarget(ctx context.Context, data FillOptions, t CompareTarget, requests []SettleRequest, calm, settleMax time.Duration) (*FillReport, error) {
	data.URL = t.URL
	fmt.Fprintf(data.Progress, "load %s: %s\n", t.Name, data.text())
	r, err := Fill(ctx, data)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	for _, req := range requests {
		if req.Target != t.Name {
			continue
		}
		if err := req.send(ctx, t.URL, data.Token); err != nil {
			return nil, err
		}
	}
	if t.PID == 0 {
		pause(ctx, settleMax)
	} else if _, err := settle(ctx, t.PID, calm, settleMax); err != nil {
		return nil, err
	}
	r.SettleSeconds = time.Since(begin).Seconds()
	return r, context.Cause(ctx)
}
