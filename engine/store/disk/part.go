package disk

import (
	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// Part is an immutable set of blocks of one bucket and one window, written by
// one flush or one compaction. Blocks are sorted by measurement, then by (first
// series, first time); within a part the rows of a series ascend from block to
// block, and no (series, time) occurs twice.
//
// Everything in a Part is read-only. It may be read as long as a Version that
// has it is held.
type Part struct {
	// ID is never used twice in a bucket.
	ID uint64
	// WindowMin and WindowMax are the bounds of the window, in nanoseconds, both
	// inclusive. Every time of the part is between them.
	WindowMin, WindowMax int64
	// SeqMin and SeqMax are the first and last sequence number of the log that the
	// part's rows came with, as far as is known: of two parts that have the same
	// (series, time, field), the one with the higher SeqMax wins. The ranges of
	// parts that overlap in time do not overlap.
	SeqMin, SeqMax uint64
	// Level is 0 for a flush, and one more than the highest of its inputs for a
	// compaction.
	Level uint8
	// Measurements ascend by ID.
	Measurements []Measurement

	TimeMin, TimeMax int64 // of all rows
	Rows, Values     int64
	Bytes            int64 // of all blocks

	blocks     int    // how many there are
	blocksEver uint32 // how many were ingested with the part
	memory     int64  // bytes of this struct and all below it
	addedAt    uint64 // the number of the first version that has the part
	file       *staged
}

// Sizes in memory, for Bucket.MemoryBytes.
const (
	partBytes        = 256
	measurementBytes = 128
	blockMetaBytes   = 48
)

// Measurement is what a part has of one measurement.
type Measurement struct {
	ID point.MeasurementID
	// Series has exactly the series that have rows. Read-only.
	Series *roaring.Bitmap
	// Fields ascend: those that have values.
	Fields []point.FieldID
	Blocks []BlockMeta
}

// BlockMeta describes one block.
type BlockMeta struct {
	// Number names the block inside its part.
	Number               uint32
	SeriesMin, SeriesMax point.SeriesID
	TimeMin, TimeMax     int64
	Rows                 uint32
	Values               uint32
	Bytes                uint32
}
