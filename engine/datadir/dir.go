package datadir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"headgate/engine/catalog"
	"headgate/engine/point"
	"headgate/engine/store/disk"
	"headgate/wal/pebblewal"
)

// Names inside a data directory.
const (
	catalogDir     = "catalog"
	shardDir       = "shard-0001"
	unfinishedFile = "unfinished"
	tempDir        = "tmp-backup"
	ballastFile    = "ballast"
	keptPrefix     = "repaired-"
)

// The directories of what a data directory has.
var (
	logDir  = filepath.Join(shardDir, "log")
	dataDir = filepath.Join(shardDir, "data")
)

// Options says what to look at.
type Options struct {
	// Dir is the data directory. Required.
	Dir string
	// Progress is told how far the work has come, often. Default: nothing.
	Progress func(Progress)
	// Logger gets what an operator should know. Default: discards.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Progress is how far a check has come.
type Progress struct {
	// Step is what is being read, in a few words.
	Step string
	// Bytes of BytesTotal have been read in all.
	Bytes, BytesTotal int64
}

func (o *Options) ensureDefaults() {
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// ErrNotFound is wrapped by the error for a directory that is no data directory.
var ErrNotFound = errors.New("datadir: no data directory")

// ErrUnfinished is wrapped by the error for a directory in which a repair or a
// restore was interrupted.
var ErrUnfinished = errors.New("datadir: unfinished")

// Unfinished returns an error, which is ErrUnfinished, if a repair or a restore of the
// directory was interrupted: then it must not be opened.
func Unfinished(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, unfinishedFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("datadir: %w", err)
	}
	if j, ok := readSwaps(b); ok {
		return fmt.Errorf("%w: a repair was interrupted (%s): run `headgate repair --data-dir %s` to end it", ErrUnfinished, j.Kept, dir)
	}
	return fmt.Errorf("%w: restoring a backup into %s was interrupted: empty the directory and restore again", ErrUnfinished, dir)
}

// Prepare is called by an engine that is about to open a directory: it refuses what
// Unfinished does and removes what an interrupted backup has left.
func Prepare(dir string) error {
	if err := Unfinished(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, tempDir)); err != nil {
		return fmt.Errorf("datadir: %w", err)
	}
	return nil
}

// TempDir is where an engine makes a copy of itself for a backup: inside dir, so that
// sstables can be linked.
func TempDir(dir string) string { return filepath.Join(dir, tempDir) }

// Ballast is the file of a data directory that has no meaning but takes space, which an
// engine gives up when the disk is full. Tools leave it alone and archives do not have
// it; it may be removed while no engine runs.
func Ballast(dir string) string { return filepath.Join(dir, ballastFile) }

// source is a data directory that is open for reading and locked.
type source struct {
	o       Options
	catalog *catalog.Loaded
	log     *pebblewal.Reader
	// logMissing is set when there is no log though there has been one.
	logMissing bool
	data       *dataset
}

// lockDir makes sure that dir is a data directory that no server has open, and that
// none opens it.
func lockDir(dir string) (io.Closer, error) {
	found := false
	for _, name := range []string{catalogDir, shardDir} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			found = true
		} else if err != nil && !errors.Is(err, os.ErrNotExist) {
			if errors.Is(err, os.ErrPermission) {
				err = fmt.Errorf("%w: run it as the user that the server runs as", err)
			}
			return nil, fmt.Errorf("datadir: %w", err)
		}
	}
	if !found {
		return nil, fmt.Errorf("%w in %s: it has neither %s nor %s", ErrNotFound, dir, catalogDir, shardDir)
	}
	lock, err := catalog.Lock(filepath.Join(dir, catalogDir))
	switch {
	case errors.Is(err, catalog.ErrInUse):
		return nil, fmt.Errorf("datadir: stop the server first: %w", err)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("datadir: %w: run it as the user that the server runs as", err)
	case err != nil:
		return nil, fmt.Errorf("datadir: %w", err)
	}
	return lock, nil
}

// open reads what is needed to look at everything. The lock stays the caller's.
func open(ctx context.Context, o Options) (*source, error) {
	s := &source{o: o}
	var err error
	if s.catalog, err = catalog.Load(filepath.Join(o.Dir, catalogDir)); err != nil {
		return nil, err
	}
	o.Progress(Progress{Step: "log"})
	logPath := filepath.Join(o.Dir, logDir)
	if _, err := os.Stat(logPath); errors.Is(err, os.ErrNotExist) {
		s.logMissing = true
	}
	if s.log, err = pebblewal.OpenReader(ctx, pebblewal.Options{Dir: logPath, Logger: o.Logger}); err != nil {
		return nil, err
	}
	if s.data, err = openData(o, nil); err == nil {
		err = s.compare(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	return s, nil
}

// compare looks whether the log of a bucket begins later than where the data store
// ends. The log is truncated only behind what the data store has made durable, so
// the data store may have lost the end of its own log. Then it has to be looked at
// file by file: to whoever opens it, its newest parts are garbage.
func (s *source) compare(ctx context.Context) error {
	if s.data.store == nil {
		return nil
	}
	logged, err := s.log.Buckets(ctx)
	if err != nil {
		return err
	}
	for _, id := range logged {
		flushed, first := uint64(0), uint64(0)
		if b := s.data.buckets[point.BucketID(id)]; b != nil {
			flushed = b.flushed
		}
		stop := errors.New("enough")
		err := s.log.Records(ctx, id, flushed, func(seq uint64, _ []byte, _ error) error {
			first = seq
			return stop
		})
		if err != nil && !errors.Is(err, stop) {
			return err
		}
		if first <= flushed+1 {
			continue
		}
		if err := s.data.close(); err != nil {
			return err
		}
		s.data, err = openData(s.o, fmt.Errorf("the log of bucket %s begins at record %d, and the data store ends at record %d: the log has lost what is between them, or the data store its newest edits", point.BucketID(id), first, flushed))
		return err
	}
	return nil
}

func (s *source) close() error { return errors.Join(s.log.Close(), s.data.close()) }

// dataset is a data store, or what can be read of one.
type dataset struct {
	store    *disk.Store    // nil if it cannot be used
	salvaged *disk.Salvaged // instead of store
	missing  bool           // there is no directory
	suspect  bool           // it may have lost something in silence
	damage   []error        // why store is nil
	buckets  map[point.BucketID]*dataBucket
}

// dataBucket is one bucket of a dataset.
type dataBucket struct {
	id      point.BucketID
	flushed uint64
	parts   []*disk.Part
	// Of a store.
	disk    *disk.Bucket
	version *disk.Version
	// Of what was salvaged.
	salvaged *disk.SalvagedBucket
}

// openData opens the store, or salvages it if it cannot be opened or is suspected to
// have lost something.
func openData(o Options, suspicion error) (*dataset, error) {
	d := &dataset{buckets: make(map[point.BucketID]*dataBucket), suspect: suspicion != nil}
	options := disk.Options{Dir: filepath.Join(o.Dir, dataDir), ReadOnly: true, Logger: o.Logger}
	if _, err := os.Stat(options.Dir); errors.Is(err, os.ErrNotExist) {
		d.missing = true
		return d, nil
	}
	err := suspicion
	if err == nil {
		err = d.open(options)
	}
	if err == nil {
		return d, nil
	}
	_ = d.close()
	d.damage = append(d.damage, err)
	options.ReadOnly = false
	if d.salvaged, err = disk.Salvage(options); err != nil {
		return nil, err
	}
	for _, found := range d.salvaged.Damage {
		var known, f *disk.DamageError
		if errors.As(d.damage[0], &known) && errors.As(found, &f) && f.File == known.File {
			continue // that error says why it matters
		}
		d.damage = append(d.damage, found)
	}
	for _, b := range d.salvaged.Buckets {
		d.buckets[b.ID] = &dataBucket{id: b.ID, flushed: b.Flushed, parts: b.Parts, salvaged: b}
	}
	return d, nil
}

// open opens the store and all of its metadata.
func (d *dataset) open(o disk.Options) error {
	var err error
	if err := disk.CheckLogs(o); err != nil {
		return err
	}
	if d.store, err = disk.Open(o); err != nil {
		return err
	}
	ids, err := d.store.Buckets()
	if err != nil {
		return err
	}
	for _, id := range ids {
		b, err := d.store.Bucket(id)
		if err == nil {
			err = b.Definitions(func([]byte) error { return nil })
		}
		if err != nil {
			return err
		}
		v := b.Acquire()
		d.buckets[id] = &dataBucket{id: id, flushed: b.Flushed(), parts: v.Parts(), disk: b, version: v}
	}
	return nil
}

func (d *dataset) close() error {
	for _, b := range d.buckets {
		if b.version != nil {
			b.version.Release()
		}
		if b.salvaged != nil {
			b.salvaged.Close()
		}
	}
	clear(d.buckets)
	if d.store == nil {
		return nil
	}
	err := d.store.Close()
	d.store = nil
	return err
}

// definitions calls fn with the chunks of definitions.
func (b *dataBucket) definitions(fn func(chunk []byte) error) error {
	if b.disk != nil {
		return b.disk.Definitions(fn)
	}
	for _, chunk := range b.salvaged.Definitions {
		if err := fn(chunk); err != nil {
			return err
		}
	}
	return nil
}

// readBlock appends a block to dst.
func (b *dataBucket) readBlock(p *disk.Part, meta *disk.BlockMeta, dst []byte) ([]byte, error) {
	if b.disk != nil {
		return b.version.ReadBlock(p, meta.Number, dst)
	}
	return b.salvaged.ReadBlock(p, meta.Number, dst)
}
