// Package httpfront is the InfluxDB v2 and v1 surface over an [engine.Engine]:
// the only package that knows HTTP, and the only one that knows fasthttp.
//
// Nouns:
//
//   - A route is a method, a path pattern, how its callers prove who they are,
//     how its errors look, and a handler (router.go).
//   - A body is a request's bytes, read into a buffer of ours and inflated,
//     charged to the bucket's admission as the bytes come (body.go).
//   - A stream is a query's answer on its way out while the query still runs
//     (stream.go).
//   - Metrics are counters that listen to the engine and to the routes
//     (metrics.go).
//
// Example:
//
//	m := httpfront.NewMetrics()
//	e, err := engine.Open(ctx, engine.Options{Dir: dir, Events: m.Listener()})
//	...
//	s := httpfront.New(e, httpfront.Options{Version: "0.1.0", Metrics: m})
//	ln, err := net.Listen("tcp", "127.0.0.1:8086")
//	...
//	go s.Serve(ln)
//	...
//	err = s.Shutdown(ctx) // answers what is in flight, before engine.Close
//
// # What stays true
//
//   - Every request gets exactly one answer, and every answer carries
//     X-Influxdb-Build and X-Influxdb-Version: those that fasthttp makes of a
//     broken request, and those that follow a panic, as well.
//   - A write's token, bucket and permission are known, and its credit is taken
//     from the bucket's gate, before a byte of its body is read by us.
//   - A body that was not read to its end never reaches the parser of the next
//     request: it is drained when little is left, and the connection is closed
//     otherwise.
//   - Statuses and the headers of errors are named in errors.go only.
//
// # What it never does
//
// It never keeps anything of a fasthttp.RequestCtx after the handler returned,
// never uses it as a context.Context, and never calls its Body or PostBody: while
// request bodies are streamed, they answer a read error with its text.
package httpfront
