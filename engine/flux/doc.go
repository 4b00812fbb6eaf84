// Package flux answers queries in Flux. It is the only package that knows
// InfluxDB's Flux module: its parser, interpreter, planner and engine, over
// buckets that a [Host] gives as [point.Reader] snapshots.
//
// The nouns: a [Query] is one request's script and how its answer is to look; the
// prelude is what a script can name without an import, the library what it can
// import. Both are lists of what is harmless (library.go): no function here can
// reach the network, the file system, the environment or a database. What is not
// on them does not exist, and the error names it.
//
//	err := flux.Run(ctx, host, flux.Query{Text: `from(bucket: "b") |> range(start: -1h)`}, w)
//
// Nothing is evaluated before the first query. Flux would infer the types of its
// whole prelude when the process starts, which takes seconds; here a script is
// evaluated against the names that it mentions, and functions that are written in
// Flux are made when they are first asked for.
//
// What is pushed down to the reader (pushdown.go): range, the parts of filters
// that are about tags, measurement and field, and aggregates and selectors that
// stand directly after them, or after a window (windows.go); aggregateWindow is one
// read. The rest is done by Flux's engine, with the same answer: TestPushDownAgrees
// and TestWindowsAgree compare the two.
//
// Some of Flux's transformations do wrong: with tables of several buffers, of few rows,
// or with nulls. Ours take their place (replaced.go), and TestTransformations tells what
// they answer over tables of every length. Where they do as InfluxDB's, which has the
// same ones, its answers are kept.
//
// Invariants:
//   - A query reads one snapshot of each bucket, taken when it first names it.
//   - A panic in a transformation, or a table whose columns are of several lengths, ends
//     the query with an error that names the transformation (guard.go).
//   - Tables that have been read count against Query.BytesMax until they are
//     released; the source waits while many are under way.
//   - What Flux does before anything can stop it, parsing and typing, is bounded by
//     what a script may have (limits.go); windows that it would never come to an end
//     of are refused (window.go).
package flux
