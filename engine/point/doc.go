// Package point is the vocabulary that every other package of Headgate shares:
// field types, precisions, ids, tags, canonical series keys, and the columnar
// [Batch] in which points travel from the parser to the log and the memtable.
//
// Nouns:
//
//   - A point is a measurement, a tag set, a field set and a timestamp.
//   - A series is a measurement and a tag set inside one bucket. Its canonical
//     key is the escaped measurement followed by the tags sorted by key:
//     `cpu,host=a,region=eu`.
//   - A batch is the points of one write request, held as one [Table] per
//     measurement and one [Column] per field and type.
//
// A point of the batch is addressed by its table and row:
//
//	b := point.GetBatch()
//	_, t := b.Table([]byte("cpu"), 0)
//	row := t.AppendRow(ref, ts, line)
//	t.Column([]byte("usage"), point.Float).AppendFloat(row, 1.5)
//
// Invariants: a column holds only the values that are present, in row order; a
// batch is owned by exactly one goroutine at a time; nothing here locks, logs or
// knows about HTTP, disks or actors.
package point
