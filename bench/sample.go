package bench

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Metrics of a Headgate server that tell how many points share an fsync.
const (
	metricSyncs  = "headgate_wal_syncs_total"
	metricPoints = "headgate_points_written_total"
)

// serverSample is what the server and its process say of themselves at one moment.
type serverSample struct {
	process processSample
	// peakReset is set when the peak of the memory was measured anew from here.
	peakReset bool
	// metrics is nil when the server has no /metrics.
	metrics map[string]float64
}

func takeServerSample(ctx context.Context, t Target, token string, pid int) (serverSample, error) {
	var s serverSample
	s.metrics = scrape(ctx, t, token, metricSyncs, metricPoints)
	if pid == 0 {
		return s, nil
	}
	var err error
	if s.process, err = sampleProcess(pid); err != nil {
		return s, err
	}
	s.peakReset = resetPeak(pid)
	return s, nil
}

// newHTTPClient returns an ordinary client of the target, for all that is not
// measured. Its base address is returned too.
func newHTTPClient(t Target) (*http.Client, string) {
	var d net.Dialer
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, t.network, t.address)
		},
		MaxIdleConnsPerHost: 16,
	}}, "http://" + t.host + t.prefix
}

// scrape returns the sums over all labels of some metrics, nil when the server has
// none of them.
func scrape(ctx context.Context, t Target, token string, names ...string) map[string]float64 {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, base := newHTTPClient(t)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return nil
	}
	if token != "" {
		req.Header.Set("Authorization", "Token "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil
	}
	return sumMetrics(resp.Body, names)
}

// sumMetrics reads the Prometheus text format.
func sumMetrics(r io.Reader, names []string) map[string]float64 {
	var sums map[string]float64
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Bytes()
		name := line
		if end := bytes.IndexAny(line, "{ "); end >= 0 {
			name = line[:end]
		}
		for _, want := range names {
			if string(name) != want {
				continue
			}
			// A label may hold spaces, so the value is found from behind; no
			// exporter of ours adds a timestamp.
			value, err := strconv.ParseFloat(string(line[bytes.LastIndexByte(line, ' ')+1:]), 64)
			if err != nil || math.IsNaN(value) {
				continue
			}
			if sums == nil {
				sums = map[string]float64{}
			}
			sums[want] += value
		}
	}
	return sums
}
