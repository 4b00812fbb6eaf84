// Package lineproto turns line protocol into columnar batches. It is the hot
// path of every write, and it runs in the request's own goroutine.
//
// Nouns:
//
//   - The prefix of a line is everything up to its first unescaped space:
//     measurement and tags as they were sent.
//   - An [Index] maps prefixes that have been seen to their series. It is a
//     bounded cache that all parsers of a bucket share.
//   - A shape is what a parser has learned of a measurement: its fields, and a
//     few layouts. A layout is the fields of a line in their order.
//   - A [Parser] turns one body after the other into a [point.Batch].
//
// A line takes the first of three ways that fits it:
//
//	predicted  prefix known, fields those of an expected layout: compare, convert
//	free       prefix and fields without oddities: split at = and , as they come
//	general    the whole grammar, and the only way that can find a line malformed
//
// The first two only ever accept lines that the general way accepts with the
// same result; at any doubt they hand the line over. Tests drive all three and
// compare.
//
//	var p lineproto.Parser
//	b := point.GetBatch()
//	err := p.Parse(b, body, lineproto.Options{Precision: point.Nanosecond, Now: now, Index: index, Series: store})
//
// Grammar, reasons and their order are those of InfluxDB v2, apart from these
// deliberate differences: CRLF ends a line as LF does, text after a closing
// quote makes a line malformed, a comment ends at its newline whatever it
// contains, and input that makes InfluxDB fail or store damaged keys is
// malformed here. difftest/differences.go is the table.
//
// Invariants: a batch is filled only if every line is good; nothing is allocated
// per point once a parser knows the data; no input makes the parser panic or
// take more than linear time.
package lineproto
