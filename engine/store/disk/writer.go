package disk

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/engine/point"
)

// stagedBytesPerSync is how much of a part is written before the disk is asked to
// begin with it, so that the sync at the end is short.
const stagedBytesPerSync = 1 << 20

// staged is an sstable that is not in the store yet. An error of writing it is no
// failure of the store: nothing depends on the file.
type staged struct {
	b    *Bucket
	path string
	used bool // by an edit; guarded by Bucket.committing
}

func (f *staged) remove() { _ = f.b.s.o.FS.Remove(f.path) }

// PartWriter writes a part. One goroutine uses it.
type PartWriter struct {
	b     *Bucket
	part  *Part
	file  *staged
	w     *sstable.Writer
	next  uint32 // the number of the next block
	err   error  // the first error, which every later call returns
	done  bool
	rows  []uint32 // for Add
	key   [blockKeyBytes]byte
	bytes int64
}

var errFinished = errors.New("disk: the part is finished or aborted")

// NewPart begins a part. Of p it takes window, sequence numbers and level, and gives
// it the next ID. Nothing of it is visible before a Commit.
func (b *Bucket) NewPart(p Part) *PartWriter {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &PartWriter{b: b, part: &Part{
		ID: b.nextPart, WindowMin: p.WindowMin, WindowMax: p.WindowMax, SeqMin: p.SeqMin, SeqMax: p.SeqMax, Level: p.Level,
	}}
	b.nextPart++
	return w
}

// ID returns the ID that the part will have.
func (w *PartWriter) ID() uint64 { return w.part.ID }

// Bytes returns the bytes of the blocks so far.
func (w *PartWriter) Bytes() int64 { return w.bytes }

// Add writes a block: rows of one measurement whose series and fields are exactly
// those given, ascending. Blocks come in the order that Part describes. Number and
// Bytes of meta are set by the writer. Nothing is kept of series, fields and block.
func (w *PartWriter) Add(m point.MeasurementID, meta BlockMeta, series []point.SeriesID, fields []point.FieldID, block []byte) error {
	switch {
	case w.err != nil:
		return w.err
	case w.done:
		return errFinished
	}
	if err := w.add(m, meta, series, fields, block); err != nil {
		w.fail(fmt.Errorf("disk: write part %d of bucket %016x: %w", w.part.ID, uint64(w.b.id), err))
	}
	return w.err
}

func (w *PartWriter) add(m point.MeasurementID, meta BlockMeta, series []point.SeriesID, fields []point.FieldID, block []byte) error {
	if len(series) == 0 || len(block) == 0 {
		return errors.New("empty block")
	}
	if w.w == nil {
		if err := w.create(); err != nil {
			return err
		}
	} else if err := w.b.s.writable(); err != nil {
		return err
	}
	p := w.part
	if n := len(p.Measurements); n == 0 || p.Measurements[n-1].ID != m {
		p.Measurements = append(p.Measurements, Measurement{ID: m, Series: roaring.New()})
	}
	of := &p.Measurements[len(p.Measurements)-1]
	w.rows = w.rows[:0]
	for _, s := range series {
		w.rows = append(w.rows, uint32(s))
	}
	of.Series.AddMany(w.rows)
	of.Fields = union(of.Fields, fields)
	meta.Number, meta.Bytes = w.next, uint32(len(block))
	of.Blocks = append(of.Blocks, meta)
	putBlockKey(w.key[:], w.b.id, p.ID, w.next)
	w.next++
	w.bytes += int64(len(block))
	if err := w.w.Set(w.key[:], block); err != nil {
		return err
	}
	w.b.s.progressed(len(block))
	return nil
}

// union adds to a what of b is missing. Both ascend.
func union[T cmp.Ordered](a, b []T) []T {
	for _, x := range b {
		if n := len(a); n == 0 || a[n-1] < x {
			a = append(a, x)
		} else if i, ok := slices.BinarySearch(a, x); !ok {
			a = slices.Insert(a, i, x)
		}
	}
	return a
}

// writable says why parts cannot be written.
func (s *Store) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopping:
		return ErrClosed
	case s.o.ReadOnly:
		return ErrReadOnly
	}
	return s.failure
}

// create creates the sstable.
func (w *PartWriter) create() error {
	if err := w.b.s.writable(); err != nil {
		return err
	}
	file, sw, err := w.b.stage()
	w.file, w.w = file, sw
	return err
}

// stage creates an sstable outside of Pebble's view.
func (b *Bucket) stage() (*staged, *sstable.Writer, error) {
	s := b.s
	in, err := s.enter()
	if err != nil {
		return nil, nil, err
	}
	defer s.exit(in)
	s.mu.Lock()
	s.stagedSeq++
	name := fmt.Sprintf("%06d.sst", s.stagedSeq)
	s.mu.Unlock()
	fs := s.o.FS
	staged := &staged{b: b, path: fs.PathJoin(s.o.Dir, stagingDir, name)}
	file, err := fs.Create(staged.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, nil, err
	}
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: stagedBytesPerSync})
	o := in.po.MakeWriterOptions(len(in.po.Levels)-1, in.db.TableFormat())
	return staged, sstable.NewWriter(objstorageprovider.NewFileWritable(file), o), nil
}

// Finish syncs the part, for a Commit to make it visible. A part without blocks is
// nil.
func (w *PartWriter) Finish() (*Part, error) {
	switch {
	case w.err != nil:
		return nil, w.err
	case w.done:
		return nil, errFinished
	case w.w == nil:
		w.done = true
		return nil, nil
	}
	w.part.blocksEver = w.next
	err := w.part.check()
	if cerr := w.w.Close(); err == nil {
		err = cerr
	}
	w.w = nil
	if err != nil {
		w.fail(fmt.Errorf("disk: write part %d of bucket %016x: %w", w.part.ID, uint64(w.b.id), err))
		return nil, w.err
	}
	w.done = true
	for i := range w.part.Measurements {
		w.part.Measurements[i].Series.RunOptimize()
	}
	w.part.sum()
	w.part.file = w.file
	return w.part, nil
}

// Abort removes what has been written. It may be called at any time before Commit,
// also after Finish, and again.
func (w *PartWriter) Abort() {
	if w.err == nil {
		w.fail(errFinished)
	}
}

// fail ends the writer.
func (w *PartWriter) fail(err error) {
	w.err = err
	if w.w != nil {
		_ = w.w.Close()
		w.w = nil
	}
	if w.file == nil {
		return
	}
	w.b.committing.Lock()
	used := w.file.used
	w.file.used = true
	w.b.committing.Unlock()
	if !used {
		w.file.remove()
	}
}
