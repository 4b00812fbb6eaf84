// Package block is how rows of one measurement are stored: columns of bytes, each
// coded as its values ask for. It turns [Rows] into bytes and bytes into a
// [Block]; it opens no file and knows no schema.
//
// Nouns:
//
//   - A block is up to [RowsMax] rows of one measurement, sorted by series and
//     time: a header, the series, the times, and a column per field.
//   - A section is a piece of a block that is read on its own, with a checksum of
//     its own: who wants one column of 200 reads the header, the series and that
//     column.
//   - A presence is which rows have a value. Columns share it.
//   - Integers are what nearly everything is made of in the end (ints.go); what
//     is left when what can be foretold has been taken off is residuals.
//
// Example:
//
//	var e block.Encoder
//	data, err := e.Encode(nil, measurement, rows, block.Best)
//
//	b, err := block.Parse(data)
//	for i, info := range b.Columns() {
//		err := b.Column(i, &column)
//	}
//
// A block, integers as unsigned varints, signed ones zigzagged, unless a width is
// given; fixed ones are little-endian:
//
//	+-------+---------+--------+--------+-------------+----------+
//	| "hgb" | version | length | crc32c | rest of the | sections |
//	| 3     | 1       | 4      | 4      | header      |          |
//	+-------+---------+--------+--------+-------------+----------+
//	  length is the header's, all of it; crc32c is Castagnoli's, over the header
//	  but itself.
//
//	rest of the header:
//	  measurement, rows, number of series, number of columns,
//	  first time (signed), last time - first time,
//	  length of series section, length of times section,
//	  number of presences, for each { values, length of section },
//	  for each column:
//	    field - last column's field,
//	    one byte { type: 3 bits | constant | sum is valid | sparse | 00 },
//	    sparse: number of the presence, from 0
//	    floats:       minimum, maximum: the bits, the last byte first
//	    other numbers: minimum (signed), maximum - minimum, sum (signed) if valid
//	    constant: nothing after the minimum; there is no section
//	    length of section
//
//	sections, in the order of the header:
//	  +--------+------+
//	  | crc32c | body |    lengths include the crc32c, which covers the body
//	  | 4      |      |
//	  +--------+------+
//
//	series:    ids: ints, rows of each: ints
//	times:     one byte: 0, then ints of all rows, in groups by series;
//	                     1, then ints of the first series: all others have the same
//	presence:  one byte: 0, then ints of the row numbers;
//	                     1, number of runs, ints { gap, run } x runs;
//	                     2, bitmap of (rows+7)/8 bytes, bit i%8 of byte i/8
//	integers, unsigned, booleans: ints, in groups by series
//	floats:    one byte: 0, then ints: the bits, the lower 63 flipped if negative;
//	                     1+k, number of exceptions, ints of their positions, their
//	                     bits (8 bytes each), then ints s: a value is s / 10^k
//	strings:   one byte: 0, then ints of lengths, text;
//	                     1, number of distinct strings, ints of their lengths, text,
//	                     ints of indexes
//	text:      one byte: 0, then the bytes; 1, length, zstd frame
//
//	ints, one byte and:
//	  0 constant   value (signed)
//	  1 plain      residuals of the values
//	  2 delta      ints of the first value of each group, residuals of the other
//	               values' differences from the one before
//	  3 linear     slope (signed), ints of first values, residuals of the other
//	               values' distances from first + i*slope
//	  4 runs       number, ints of values, ints of lengths
//	  5 dictionary number, ints of distinct values, ints of indexes
//
//	residuals: what is stored, u, stands for base + scale*u
//	  one byte { code: 3 bits | zigzag | scaled | patched | 00 }, base (signed),
//	  scale if scaled, then by code:
//	  0 equal      nothing: all are base
//	  1 packed     width (1 byte), packed bits;
//	               patched: number, ints of positions, ints of the bits above width
//	  2 chunked    a width (1 byte) for every 128, then each chunk packed
//	  3 symbols    u are symbols
//	  4 buckets    symbols, length, extra bits
//
//	symbols, one byte and:
//	  0 raw; 1 the one symbol there is; 2, 3, 4: length, then huff0 of one stream,
//	  huff0 of four, or FSE, each with its table first, as in zstd
//
//	buckets: u below 8 is its own symbol. Otherwise the symbol is
//	  8 + 4*(bits-4) + the two bits after the highest; the bits-3 below follow
//
// Packed bits begin with the lowest bit and are padded to a byte. Sums and
// differences wrap at 64 bits. A group is the values of one series: no difference
// is taken between series.
//
// Invariants: what is decoded is what was encoded, to the bit, NaNs too; the same
// rows always give the same bytes with the same release of the compression
// library; a reader believes nothing, never panics, and allocates no more than
// RowsMax and [ColumnBytesMax] allow.
package block
