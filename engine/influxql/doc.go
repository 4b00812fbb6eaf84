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
// tags choose series before anything is read; conditions on fields are evaluated
// per row while the rows of one series are at hand. Calls (count, mean, max ...)
// reduce each series there and then, so an aggregate never holds more than one
// series' rows; see reduce in scan.go, which is the place to aggregate straight
// from columns. Tag sets are read in groups of bounded size, in output order.
//
// Invariants: one goroutine runs a query, so that a panic below becomes that
// statement's error; nothing outlives Run; every source of one statement sees one
// snapshot per bucket; a statement that ends early leaves nothing behind.
//
// The package never formats, authorizes, writes or logs.
package influxql
