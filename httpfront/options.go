package httpfront

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"
)

// Options configures a Server. The zero value of each field means its default.
type Options struct {
	// Version is Headgate's own version, without a leading v: clients see
	// v2.9.1+headgate.<Version>. Default "dev".
	Version string
	// Commit is what /health names as the commit. Default "unknown".
	Commit string

	// BodyBytesMax is the largest request body as sent. Default 32 MiB. A larger
	// one is refused before it is read, when it says its length.
	BodyBytesMax int64
	// InflatedBodyBytesMax is the largest body after decompression. Default
	// 128 MiB; it should not be over the engine's limit of that name.
	InflatedBodyBytesMax int64
	// QueryBodyBytesMax is the largest body of a query, a deletion or a management
	// request. Default 10 MiB.
	QueryBodyBytesMax int64
	// HeaderBytesMax is the largest request line and headers together; a query in
	// a URL counts. It is also each connection's read buffer, held as long as the
	// connection is open. Default 16 KiB.
	HeaderBytesMax int

	// HeaderReadTimeout bounds the reading of a request's header, from its first
	// byte (a connection's first request: from when it was accepted). Default 30 s.
	HeaderReadTimeout time.Duration
	// BodyReadTimeout bounds the reading of one request body. Too short, and large
	// batches over slow lines fail with 408; too long, and slow clients hold their
	// credit. Default 2 min.
	BodyReadTimeout time.Duration
	// WriteTimeout bounds each write to a connection, not the whole answer: a
	// query may take its time, a client that stopped reading may not. Default 30 s.
	WriteTimeout time.Duration
	// IdleTimeout closes a connection without requests. Default 5 min.
	IdleTimeout time.Duration
	// ConnectionsMax is how many connections are open at once. One more is closed
	// without an answer, which every client takes for a reason to try again later,
	// whereas some drop their data on any 503. One costs some 8 KiB, 22 KiB once it has written, which
	// the engine's memory budget does not know of. Default 65536.
	ConnectionsMax int
	// ConnectionsPerIPMax is how many of them one address may have, so that it cannot
	// keep others out. Unix sockets have none. Default seven eighths of ConnectionsMax:
	// many an agent comes through a proxy.
	ConnectionsPerIPMax int
	// QueriesMax is how many queries run at once; one more is refused with 503.
	// Default 256.
	QueriesMax int

	// IdempotencyKeysMax is how many Idempotency-Keys of writes are remembered, with the
	// answers; over it the oldest are forgotten, and such a write that is sent again is
	// written again. Default 100,000.
	IdempotencyKeysMax int
	// IdempotencyBytesMax is how much memory they may take. Default 16 MiB, but at most a
	// 64th of the engine's MemoryBytesMax.
	IdempotencyBytesMax int64
	// IdempotencyWindow is how long they are remembered, from the answer on. It should be
	// longer than any client goes on trying. Default 1 h.
	IdempotencyWindow time.Duration
	// RejectedFollowersMax is how many clients may follow rejected points at once, each
	// over a connection; one more gets 503. Default 64.
	RejectedFollowersMax int

	// QueryHeldBytesMax bounds what is held of one answer that cannot be sent while
	// its query runs: MessagePack without chunked=true. Default 64 MiB.
	QueryHeldBytesMax int64

	// TLS, when set, is how connections are encrypted.
	TLS *tls.Config
	// PprofEnabled serves /debug/pprof, to everyone.
	PprofEnabled bool
	// MetricsDisabled answers /metrics with 403.
	MetricsDisabled bool
	// Metrics is what /metrics shows. Give it the engine's events by
	// [Metrics.Listener] to have the engine's counts. Default: a fresh one, without.
	// It belongs to one Server.
	Metrics *Metrics
	// Logger gets what an operator should know, rate-limited. Default: discards.
	Logger *slog.Logger
}

// EnsureDefaults fills in the zero fields.
func (o *Options) EnsureDefaults() {
	setDefault(&o.Version, "dev")
	setDefault(&o.Commit, "unknown")
	setDefault(&o.BodyBytesMax, 32<<20)
	setDefault(&o.InflatedBodyBytesMax, 128<<20)
	setDefault(&o.QueryBodyBytesMax, 10<<20)
	setDefault(&o.HeaderBytesMax, 16<<10)
	setDefault(&o.HeaderReadTimeout, 30*time.Second)
	setDefault(&o.BodyReadTimeout, 2*time.Minute)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.IdleTimeout, 5*time.Minute)
	setDefault(&o.ConnectionsMax, 64<<10)
	setDefault(&o.ConnectionsPerIPMax, max(1, o.ConnectionsMax/8*7))
	setDefault(&o.QueriesMax, 256)
	setDefault(&o.IdempotencyKeysMax, 100_000)
	setDefault(&o.IdempotencyBytesMax, 16<<20)
	setDefault(&o.IdempotencyWindow, time.Hour)
	setDefault(&o.RejectedFollowersMax, 64)
	setDefault(&o.QueryHeldBytesMax, 64<<20)
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate says which field has a value that cannot work. Call EnsureDefaults first.
func (o *Options) Validate() error {
	for _, f := range []struct {
		name string
		v    int64
	}{
		{"BodyBytesMax", o.BodyBytesMax}, {"InflatedBodyBytesMax", o.InflatedBodyBytesMax},
		{"QueryBodyBytesMax", o.QueryBodyBytesMax}, {"QueryHeldBytesMax", o.QueryHeldBytesMax},
		{"HeaderReadTimeout", int64(o.HeaderReadTimeout)}, {"BodyReadTimeout", int64(o.BodyReadTimeout)},
		{"WriteTimeout", int64(o.WriteTimeout)}, {"IdleTimeout", int64(o.IdleTimeout)},
		{"ConnectionsMax", int64(o.ConnectionsMax)}, {"ConnectionsPerIPMax", int64(o.ConnectionsPerIPMax)}, {"QueriesMax", int64(o.QueriesMax)},
		{"IdempotencyKeysMax", int64(o.IdempotencyKeysMax)}, {"IdempotencyBytesMax", o.IdempotencyBytesMax}, {"IdempotencyWindow", int64(o.IdempotencyWindow)},
		{"RejectedFollowersMax", int64(o.RejectedFollowersMax)},
	} {
		if f.v < 0 {
			return fmt.Errorf("httpfront: Options.%s is negative", f.name)
		}
	}
	if o.HeaderBytesMax < 1<<10 {
		return fmt.Errorf("httpfront: Options.HeaderBytesMax is %d, below the least that works, 1024", o.HeaderBytesMax)
	}
	return nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
