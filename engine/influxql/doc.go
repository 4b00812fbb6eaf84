// Package influxql answers InfluxQL over snapshots of buckets.
//
// It parses with github.com/influxdata/influxql and plans and executes every
// SELECT with the query package of InfluxDB 1.7.9, so functions, fill,
// subqueries, regular expressions and time zones are InfluxDB's own. What is
// ours is below that: which series match, which rows they have, and in which
// order they are handed up.
//
// Nouns:
//
//   - A [Query] is a text of one or more statements and what they default to.
//   - A [Host] is what the statements act on: databases, retention policies and
//     snapshots. The engine makes one for each request, already authorized.
//   - A [Result] is a chunk of one statement's answer. Results leave through
//     the emit function in statement order, as soon as they exist.
//   - A scan is one measurement read for one expression: its tag sets, the
//     series in them, and the rows that pass the condition.
//
// For example:
//
//	err := influxql.Run(ctx, host, influxql.Query{Text: "SELECT mean(v) FROM cpu", Database: "db"},
//		func(r influxql.Result) error { return enc.Encode(r) })
//
// How a SELECT runs: normalize names the database and retention policy of every
// source; query.Compile and Prepare ask our shardGroup for fields, tags and
// types, and then for one iterator per measurement and expression. Conditions on
// tags choose series before anything is read, through the reader's index;
// comparisons of fields with numbers are evaluated over columns and told to the
// reader, which may leave out blocks; the rest is evaluated row by row. Then there
// are three ways:
//
//   - count, sum, mean, min, max, first and last are computed by an aggregator
//     from columns, one partial per tag set and window. All those of a statement
//     that need the same rows share one pass, first and last look at the ends
//     only, and LIMIT windows are all that is read (readWindows).
//   - A SELECT of fields and tags as they are (directSelect) merges the columns of
//     its series by time and emits them.
//   - Everything else gets points: merged columns where the order of time is
//     wanted, and the call iterators of the query package where a call has more
//     beside it.
//
// Tag sets are read in groups of bounded size, in output order, and one that is
// too large in slices of time (slice.go).
//
// Invariants: one goroutine runs a query, so that a panic below becomes that
// statement's error; nothing outlives Run; every source of one statement sees one
// snapshot per bucket; a statement that ends early leaves nothing behind.
//
// The package never formats, authorizes, writes or logs.
package influxql
