// Package record is what the log stores: a [point.Batch] and the definitions
// that it depends on, or what a deletion takes away, as bytes.
//
// Nouns:
//
//   - A record is one batch, one [Delete] or one [Free]. It is self-contained:
//     with the records before it, it is all that recovery needs.
//   - Definitions are the measurements, fields and series whose ids the record
//     is the first to use, or that may not be in the log yet. A definition may
//     be repeated by later records, never changed.
//   - A delete says which points go, a free which measurements and series went
//     with the last of theirs (delete.go). A set is the ids of series in them
//     (set.go).
//   - A sequence is a run of 64-bit integers, the one encoding under times,
//     series, row numbers, string lengths and most values (sequence.go).
//
// Example:
//
//	rec := record.Encode(nil, batch, &defs)
//	err := record.Decode(rec, point.GetBatch(), &defs)
//
// A record, integers as unsigned varints unless a width is given:
//
//	+---------+------+---------+------+
//	| version | kind | crc32c  | body |
//	| 1 byte  | 1    | 4, LE   | ...  |
//	+---------+------+---------+------+
//	  crc32c is Castagnoli's, over version, kind and body.
//
//	body of a write:
//	  measurements  n, n x { id, len, name }
//	  fields        n, n x { measurement, id, type: 1 byte, len, name }
//	  series        n, n x { id, measurement, len, key }
//	  tables        n, n x table
//	  padding       zero bytes to the end
//
//	body of a delete:
//	  min, max      zigzag varints
//	  series        set
//	  padding       zero bytes to the end
//
//	body of a free:
//	  measurements  n, ascending ids: sequence of n
//	  series        set
//	  padding       zero bytes to the end
//
//	set:    runs, then unless that is 0:
//	        first, gaps: sequence of runs-1, lengths: sequence of runs
//
//	table:  measurement, rows, columns,
//	        series ids: sequence of rows,
//	        times:      sequence of rows,
//	        columns x column
//
//	column: field, one byte { type: low 4 bits | presence: high 4 bits },
//	        presence 0: dense, a value for each row
//	        presence 1: prefix, n: values for the rows 0..n-1
//	        presence 2: n, bitmap of (rows+7)/8 bytes, bit i%8 of byte i/8
//	        presence 3: n, row numbers: sequence of n
//	        values by type:
//	          integer, unsigned, boolean: sequence
//	          float:  floats.go
//	          string: strings.go
//
// Padding bounds what a record can make a reader allocate: everything decoded
// from n bytes fits into [DecodedBytesMax](n). A batch or a set that would shrink
// further is padded with zeros.
//
// Invariants: Encode followed by Decode gives an equal batch, except that Lines
// and names are not stored and a column that lists all its rows comes back
// dense; the same batch or set always gives the same bytes; Decode believes nothing it
// reads. The package never opens a file and knows no schema.
package record
