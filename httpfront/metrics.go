package httpfront

import (
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// Metrics counts what an engine and the server over it do. It has a registry of
// its own: nothing is global, and several engines of one process have several.
//
// Make it before the engine, give the engine its Listener, and give it to the
// server in Options.Metrics.
type Metrics struct {
	registry *prometheus.Registry
	// server is set by New, before any request. Atomic: a scrape may come earlier.
	server atomic.Pointer[Server]

	// points counts the points written. Atomic.
	points                   atomic.Uint64
	values                   prometheus.Counter
	lineBytes, wireBytes     prometheus.Counter
	dropped                  *prometheus.CounterVec
	malformed                prometheus.Counter
	dryRuns                  *prometheus.CounterVec
	writes                   *prometheus.CounterVec
	writesOK                 prometheus.Counter // of writes
	refused                  *prometheus.CounterVec
	parse, queue, sync       prometheus.Histogram
	wait, body               prometheus.Histogram
	bucketsFailed            *prometheus.CounterVec
	recoveredPoints, records prometheus.Gauge
}

// NewMetrics makes metrics that all stand at zero.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string) prometheus.Histogram {
		// 16 us to 16 s, a factor of two a step: an fsync is anywhere in between.
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(16e-6, 2, 21)})
		m.registry.MustRegister(h)
		return h
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "headgate_points_written_total",
		Help: "Points that are durable and visible."}, func() float64 { return float64(m.points.Load()) }))
	m.values = counter("headgate_values_written_total", "Field values of those points.")
	m.dropped = vector("headgate_points_dropped_total", "Points left out of a batch that was otherwise written, by reason.", "reason")
	m.malformed = counter("headgate_lines_malformed_total", "Malformed lines; nothing of their batches was written.")
	m.dryRuns = vector("headgate_dry_runs_total", "Writes with dry_run=true, by outcome: ok, or the code of the error.", "outcome")
	m.writes = vector("headgate_writes_total", "Writes that passed the gate, by outcome: ok, or the code of the error.", "outcome")
	m.writesOK = m.writes.WithLabelValues(outcomeOK)
	m.refused = vector("headgate_gate_refusals_total", "Writes that were refused before their body was read, by reason.", "reason")
	m.lineBytes = counter("headgate_line_protocol_bytes_total", "Line protocol received, decompressed.")
	m.wireBytes = counter("headgate_body_bytes_total", "Write bodies received, as sent.")
	m.wait = histogram("headgate_write_wait_seconds", "Time that a write waits at the gate until it is admitted.")
	m.body = histogram("headgate_write_body_seconds", "Time to receive and inflate a write's body.")
	m.parse = histogram("headgate_write_parse_seconds", "Time to parse and resolve a batch.")
	m.queue = histogram("headgate_write_queue_seconds", "Time that a batch waits for its bucket.")
	m.sync = histogram("headgate_write_sync_seconds", "Time from the bucket until a batch is durable and visible.")
	m.bucketsFailed = vector("headgate_bucket_failures_total", "Times that a bucket stopped taking writes, by whether an operator is needed.", "quarantined")
	// A series that begins with its first event has no increase then, which an alert
	// would wait for in vain.
	for kind, status := range statusOf {
		if status != 0 {
			m.writes.WithLabelValues(engine.Kind(kind).String())
		}
	}
	for _, quarantined := range []bool{false, true} {
		m.bucketsFailed.WithLabelValues(strconv.FormatBool(quarantined))
	}
	m.recoveredPoints = gauge("headgate_recovered_points", "Points that the last start recovered from the log.")
	m.records = gauge("headgate_recovered_records", "Records that the last start recovered from the log.")
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), (*scrape)(m))
	return m
}

// Listener is the events of an engine that m counts.
func (m *Metrics) Listener() engine.EventListener {
	return engine.EventListener{
		WriteDone: m.writeDone,
		WriteRefused: func(i engine.RefuseInfo) {
			m.refused.WithLabelValues(i.Reason).Inc()
		},
		BucketFailed: func(i engine.BucketFailInfo) {
			m.bucketsFailed.WithLabelValues(strconv.FormatBool(i.Quarantined)).Inc()
		},
		RecoveryProgress: func(i engine.RecoveryInfo) {
			m.recoveredPoints.Set(float64(i.Points))
			m.records.Set(float64(i.Records))
		},
	}
}

func (m *Metrics) writeDone(i engine.WriteInfo) {
	if i.DryRun {
		m.dryRuns.WithLabelValues(outcome(i.Err)).Inc()
		return
	}
	m.lineBytes.Add(float64(i.BodyBytes))
	m.points.Add(uint64(i.Points))
	m.values.Add(float64(i.Values))
	for reason, n := range i.Dropped {
		m.dropped.WithLabelValues(reason).Add(float64(n))
	}
	if i.Err == nil {
		m.writesOK.Inc()
	} else {
		m.writes.WithLabelValues(outcome(i.Err)).Inc()
		var e *engine.Error
		if errors.As(i.Err, &e) {
			m.malformed.Add(float64(e.Malformed))
		}
	}
	m.wait.Observe(i.Wait.Seconds())
	m.body.Observe(i.Body.Seconds())
	m.parse.Observe(i.Parse.Seconds())
	if i.Points > 0 {
		m.queue.Observe(i.Queue.Seconds())
		m.sync.Observe(i.Sync.Seconds())
	}
}

// Registry is where m's metrics are registered; an embedder may add its own, or
// gather from it.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// attach has m show the requests and the engine of s.
func (m *Metrics) attach(s *Server) {
	for _, r := range s.router.all {
		r.count = new(routeCount)
	}
	m.server.Store(s)
}

// countedStatuses are the statuses that are told apart; the rest is "other".
var countedStatuses = [...]int{200, 201, 204, 301, 308, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 431, 500, 501, 503}

// routeCount counts a route's requests by status, the last one being "other".
// Atomic.
type routeCount [len(countedStatuses) + 1]atomic.Uint64

func (m *Metrics) requestDone(r *route, status int) {
	for i, s := range countedStatuses {
		if s == status {
			r.count[i].Add(1)
			return
		}
	}
	r.count[len(countedStatuses)].Add(1)
}

var requestsDesc = prometheus.NewDesc("headgate_http_requests_total", "Requests answered, by route and status.", []string{"method", "route", "status"}, nil)

// scrape collects what others count: the routes and the engine.
type scrape Metrics

// Describe sends nothing, which makes the collector an unchecked one: what there
// is depends on the server.
func (*scrape) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *scrape) Collect(ch chan<- prometheus.Metric) {
	s := m.server.Load()
	if s == nil {
		return
	}
	for _, r := range s.router.all {
		for i := range r.count {
			n := r.count[i].Load()
			if n == 0 {
				continue
			}
			status := "other"
			if i < len(countedStatuses) {
				status = strconv.Itoa(countedStatuses[i])
			}
			ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(n), r.method, r.pattern, status)
		}
	}
	collectStats(s.engine.Stats(), m.points.Load(), ch)
	collectConveniences(s, ch)
	collectBuild(&s.options, ch)
	gaugeOf(ch, "headgate_queries_running", "Queries that run.", float64(s.queries.Load()))
	counterOf(ch, "headgate_http_connections_refused_total", "Connections that were closed at once because of --max-connections or --max-connections-per-ip.", float64(s.connections.refused.Load()))
	gaugeOf(ch, "headgate_http_connections", "Open connections.", float64(s.http.GetOpenConnectionsCount()))
}

func gaugeOf(ch chan<- prometheus.Metric, name, help string, v float64) {
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, v)
}

func counterOf(ch chan<- prometheus.Metric, name, help string, v float64) {
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, v)
}

// metricsText is GET /metrics, in Prometheus' text format.
func metricsText(s *Server, c *fasthttp.RequestCtx, _ *engine.Principal) {
	if s.options.MetricsDisabled {
		metricsOff(c)
		return
	}
	families, err := s.metrics.registry.Gather()
	if err != nil {
		s.log.internal(err) // what could be gathered is still shown
	}
	b := getBuffer()
	defer putBuffer(b)
	w := &appendWriter{b}
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	encoder := expfmt.NewEncoder(w, format)
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			s.writeError(c, err, compact)
			return
		}
	}
	c.SetContentType(string(format))
	c.SetBody(b.data)
}

// appendWriter makes a buffer an io.Writer.
type appendWriter struct{ b *buffer }

func (w *appendWriter) Write(p []byte) (int, error) {
	w.b.data = append(w.b.data, p...)
	return len(p), nil
}
