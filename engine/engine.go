package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"headgate/actors"
	"headgate/engine/catalog"
	"headgate/engine/datadir"
	"headgate/engine/point"
	"headgate/engine/store"
	"headgate/engine/store/disk"
	"headgate/wal"
	"headgate/wal/pebblewal"
)

// BucketID names a bucket.
type BucketID = point.BucketID

// Precision is the unit of a batch's timestamps.
type Precision = point.Precision

// The units of timestamps.
const (
	Nanosecond  = point.Nanosecond
	Microsecond = point.Microsecond
	Millisecond = point.Millisecond
	Second      = point.Second
	Minute      = point.Minute
	Hour        = point.Hour

	// AutoPrecision has each timestamp's magnitude tell its unit: 9 or 10 digits are
	// seconds, 12 or 13 milliseconds, 15 or 16 microseconds, 18 or 19 nanoseconds. A
	// line with any other, but for 0, is malformed.
	AutoPrecision = point.AutoPrecision
)

// Engine is an open data directory. All its methods may be called by any
// goroutine.
type Engine struct {
	o       Options
	catalog *catalog.Catalog
	shard   *actors.Shard
	data    *disk.Store // the shard's to close
	started time.Time

	// buckets is the open buckets. Atomic; replaced under mu, read by anyone.
	buckets atomic.Pointer[map[BucketID]*bucket]
	mu      sync.Mutex
	closed  bool // guarded by mu
	// manageMu serialises what creates and deletes buckets, from the catalogue's
	// change to the shard's. It is taken before mu.
	manageMu ctxMutex
	// changing is held by whoever changes the catalogue for a caller. It is taken after
	// manageMu.
	changing ctxMutex
	// backingUp is held while a backup is made.
	backingUp sync.Mutex

	recovered atomic.Bool
	// recovery is how far recovery has come. Atomic.
	recovery atomic.Pointer[RecoveryInfo]
	// recoverDone is closed when recovery has ended, one way or the other.
	recoverDone chan struct{}
	cancel      context.CancelFunc

	writers sync.Pool // of *writer
	// rejected is what the buckets did not take.
	rejected rejectedPoints
	// probes are what Health tries.
	probes [3]probe
	// background ends when the engine is shut down.
	background context.Context
}

// bucket is one open bucket and what the write path needs to know of it.
type bucket struct {
	*actors.Bucket
	id BucketID
	// retention is the retention period in nanoseconds, 0 for ever. Atomic.
	retention atomic.Int64
}

// Open opens the data directory o.Dir, creating it when missing, and recovers
// what it holds. It returns once everything has been recovered, or, with
// o.RecoverInBackground, once the catalogue and the lists of the log's and the data
// store's files have been read.
//
// Damage that only one bucket meets does not make Open fail: a record of the log that is
// missing or makes no sense, or that cannot be read and is not the bucket's first. The
// bucket refuses its own reads and writes, and Health names it. A damaged block of the
// data store is found when it is read. Damage to the files that everything hangs on makes
// Open fail: a file of the log that is damaged where a crash does not explain it, a
// manifest of the log or the data store, the catalogue, a file that is gone. The error
// names the file, and `headgate check` and `headgate repair`, which are datadir.Check and
// datadir.Repair.
func Open(ctx context.Context, o Options) (*Engine, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("engine: open %s: %w", o.Dir, err)
	}
	if space, err := disk.SpaceOf(nil, o.Dir); err == nil {
		o.diskBytes = space.Total
	}
	e, err := open(ctx, o)
	if isDiskFull(err) && dropBallast(o) {
		e, err = open(ctx, o)
	}
	if isDiskFull(err) {
		err = diskFullError(o, err)
	} else if err != nil && isDamage(err) {
		err = fmt.Errorf("%w: %s", err, damageAdvice(o.Dir))
	}
	return e, err
}

// logOpener opens the log, first when the shard starts and then after each of its failures,
// one at a time. Once there has been one, another is never made in its place.
func logOpener(o pebblewal.Options) func() (wal.Log, error) {
	return func() (wal.Log, error) {
		log, err := pebblewal.Open(o)
		if err != nil {
			return nil, err
		}
		o.MustExist = true
		return log, nil
	}
}

// open is Open for a directory that is there.
func open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{o: o, started: o.Now(), recoverDone: make(chan struct{}), manageMu: newCtxMutex(), changing: newCtxMutex()}
	e.writers.New = func() any { return newWriter(e) }
	e.rejected.perBucketMax, e.rejected.bytesMax = o.RejectedPerBucketMax, o.RejectedBytesMax
	e.buckets.Store(&map[BucketID]*bucket{})
	e.recovery.Store(&RecoveryInfo{})

	logOptions := pebblewal.Options{Dir: filepath.Join(o.Dir, "shard-0001", "log"), MemTableBytes: o.logMemTableBytes(), RecordBytesMax: e.recordBytesMax(), Logger: o.Logger}
	dataOptions := disk.Options{Dir: filepath.Join(o.Dir, "shard-0001", "data"), CacheBytes: o.blockCacheBytes(), Logger: o.Logger, OnDamage: o.foundDamage}
	if o.files != nil {
		o.files(&logOptions, &dataOptions)
	}
	// An interrupted repair may have the catalogue elsewhere; a new one must not be made.
	if err := datadir.Unfinished(o.Dir); err != nil {
		return nil, fmt.Errorf("engine: open %s: %w", o.Dir, err)
	}
	// The catalogue comes first: it says best that another process has the directory.
	var err error
	e.catalog, err = catalog.Open(filepath.Join(o.Dir, "catalog"), catalog.Options{Logger: o.Logger, Now: o.Now})
	if err != nil {
		return nil, fmt.Errorf("engine: open %s: %w", o.Dir, err)
	}
	if err := datadir.Prepare(o.Dir); err != nil {
		return nil, errors.Join(fmt.Errorf("engine: open %s: %w", o.Dir, err), e.catalog.Close())
	}
	// A bucket was made when there were a log and a data store. Without one of them a new one
	// would be made, and what was in it would be gone without a word.
	if len(e.catalog.View().Buckets(0)) > 0 {
		logOptions.MustExist, dataOptions.MustExist = true, true
	}
	data, err := disk.Open(dataOptions)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("engine: open %s: %w", o.Dir, err), e.catalog.Close())
	}
	e.data = data
	e.shard, err = actors.OpenShard(actors.Options{
		OpenLog: logOpener(logOptions),
		Gate: actors.GateOptions{
			BytesMax:       o.inFlightBytesMax(),
			MemoryBytesMax: o.bucketBytesMax(),
			RetryAfterMax:  o.RetryAfterMax,
			Now:            o.Now,
		},
		Store: store.Options{SeriesMax: o.SeriesPerBucketMax, MeasurementsMax: o.MeasurementsPerBucketMax, FieldsMax: o.FieldsPerMeasurementMax, Now: o.Now},
		Data:  data,
		Disk: actors.DiskOptions{
			Dirs:         []string{filepath.Join(o.Dir, "shard-0001", "log"), filepath.Join(o.Dir, "shard-0001", "data")},
			FreeMin:      o.DiskFreeMin,
			Ballast:      disk.OpenBallast(nil, datadir.Ballast(o.Dir)),
			BallastBytes: o.BallastBytes,
		},
		MemtableBytesMax: o.MemtableBytesMax,
		FlushAge:         o.FlushAge,
		LogBytesMax:      int64(o.logMemTableBytes()) / 4,
		IndexBytesMax:    max(o.MemoryBytesMax/32, 1<<20),
		PanicsMax:        o.PanicsMax,
		PanicWindow:      o.PanicWindow,
		BucketFailed:     e.bucketFailed,
		Logger:           o.Logger,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("engine: open %s: %w", o.Dir, err), data.Close(), e.catalog.Close())
	}
	err = e.checkCatalog(ctx)
	if err == nil && o.AuthDisabled {
		err = e.ensureDefaultOrganization()
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("engine: open %s: %w", o.Dir, err), e.catalog.Close())
		closeCtx, cancel := context.WithTimeout(context.Background(), o.ShutdownTimeout)
		defer cancel()
		return nil, errors.Join(err, e.shard.Close(closeCtx))
	}

	e.background, e.cancel = context.WithCancel(context.Background())
	e.makeProbes()
	if o.RecoverInBackground {
		go e.recover(e.background)
		return e, nil
	}
	stop := context.AfterFunc(ctx, e.cancel)
	e.recover(e.background)
	stop()
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("engine: open %s: %w", o.Dir, err), e.Close())
	}
	return e, nil
}

// Close is Shutdown with a deadline after Options.ShutdownTimeout.
func (e *Engine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), e.o.ShutdownTimeout)
	defer cancel()
	return e.Shutdown(ctx)
}

// Shutdown refuses new writes, waits for those in flight until ctx ends, and
// closes the directory. Calls after the first do nothing.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	done := make(chan error, 1)
	go func() {
		<-e.recoverDone
		done <- nil
	}()
	err := errors.Join(await(ctx, "recovery", done), e.shard.Close(ctx))
	go func() { done <- e.catalog.Close() }()
	return errors.Join(err, await(ctx, "catalogue", done))
}

// closeGrace is how long Shutdown waits for the disk after its context has ended.
const closeGrace = 5 * time.Second

// await waits for what a disk may hold up: until ctx ends, and a little longer.
func await(ctx context.Context, what string, done <-chan error) error {
	late := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(closeGrace, func() { close(late) }) })()
	select {
	case err := <-done:
		return err
	case <-late:
		return fmt.Errorf("engine: shut down: the %s did not end in time: %w", what, context.DeadlineExceeded)
	}
}

// recover opens every bucket of the catalogue and waits until each has replayed
// its log, reporting progress every second.
func (e *Engine) recover(ctx context.Context) {
	defer close(e.recoverDone)
	start := time.Now()
	if err := e.dropOrphans(ctx); err != nil {
		e.o.Logger.Error("records of deleted buckets could not be removed", slog.Any("error", err))
	}
	all := e.catalog.View().Buckets(0)
	opened := make([]*bucket, 0, len(all))
	byID := make(map[BucketID]*bucket, len(all))
	for _, b := range all {
		ob, err := e.shard.OpenBucket(b.ID)
		if err != nil {
			return // closing
		}
		eb := &bucket{Bucket: ob, id: b.ID}
		eb.retention.Store(int64(b.RetentionPeriod))
		ob.SetRetention(b.RetentionPeriod)
		byID[b.ID] = eb
		opened = append(opened, eb)
	}
	e.mu.Lock()
	maps.Copy(byID, *e.buckets.Load())
	e.buckets.Store(&byID)
	e.mu.Unlock()

	info := RecoveryInfo{Buckets: len(opened)}
	for _, b := range opened {
		err := e.waitRecovered(ctx, b, opened, &info, start)
		if ctx.Err() != nil {
			return
		}
		info.BucketsDone++
		if err != nil {
			e.o.Logger.Error("bucket is out of service", slog.String("bucket", b.id.String()), slog.Any("error", err))
			continue
		}
		st := b.State()
		s := st.Store.Stats()
		info.Points += s.Points
		e.o.Events.BucketOpened(BucketOpenInfo{Bucket: b.id, Records: st.Recovered.Records, Points: s.Points, Series: int(s.Series), Took: st.Recovered.Took})
	}
	info.Records = replayed(opened)
	info.Took, info.Done = time.Since(start), true
	e.recovered.Store(true)
	e.reportRecovery(info, true)
	go e.tidying(ctx)
}

// waitRecovered waits for one bucket and reports on all of them every second.
func (e *Engine) waitRecovered(ctx context.Context, b *bucket, all []*bucket, info *RecoveryInfo, start time.Time) error {
	for {
		next := start.Add(info.Took.Truncate(time.Second) + time.Second)
		waiting, cancel := context.WithDeadline(ctx, next)
		err := b.WaitOpen(waiting)
		late := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		if !late {
			return err
		}
		info.Records, info.Took = replayed(all), time.Since(start)
		e.reportRecovery(*info, true)
	}
}

// replayed adds up what the buckets have replayed so far.
func replayed(bs []*bucket) (records int64) {
	for _, b := range bs {
		records += b.Replayed()
	}
	return records
}

func (e *Engine) reportRecovery(info RecoveryInfo, tell bool) {
	e.recovery.Store(&info)
	if tell {
		e.o.Events.RecoveryProgress(info)
	}
}

// checkCatalog refuses to go on when the log or the data store has points of a
// bucket that the catalogue neither knows nor remembers as deleted: the catalogue
// was lost, or belongs to another directory. Going on would lose the points for good.
func (e *Engine) checkCatalog(ctx context.Context) error {
	logged, err := e.shard.Log().Buckets(ctx)
	if err != nil {
		return err
	}
	stored, err := e.data.Buckets()
	if err != nil {
		return err
	}
	v := e.catalog.View()
	check := func(what string, id BucketID) error {
		if _, ok := v.Bucket(id); ok || v.Dropped(id) {
			return nil
		}
		return fmt.Errorf("the %s (%s) has points of bucket %s, which the catalogue (%s) does not know: restore the catalogue, have `headgate repair --data-dir %s` make a bucket of them, or move log and data away to start afresh",
			what, filepath.Join(e.o.Dir, "shard-0001", what), id, filepath.Join(e.o.Dir, "catalog"), e.o.Dir)
	}
	for _, id := range logged {
		if err := check("log", BucketID(id)); err != nil {
			return err
		}
	}
	for _, id := range stored {
		if err := check("data", id); err != nil {
			return err
		}
	}
	return nil
}

// dropOrphans removes the records of buckets that were deleted when a crash, or a
// failing log, came between the catalogue's change and the log's.
func (e *Engine) dropOrphans(ctx context.Context) error {
	for _, id := range e.catalog.View().DroppedBuckets() {
		if err := e.closeAndDropBucket(ctx, id); err != nil {
			return err
		}
		e.o.Logger.Info("removed what was left of a deleted bucket", slog.String("bucket", id.String()))
	}
	return nil
}

// Compact writes what is in memory to the data store and merges its parts as far
// as they can be, and returns when that is done. The engine does what is needed by
// itself; this is for backups and measurements. Only an operator may.
func (e *Engine) Compact(ctx context.Context, p *Principal) error {
	if err := p.require(organizationPermission(ActionWrite, 0)); err != nil {
		return err
	}
	if !e.recovered.Load() {
		return e.recoveringError()
	}
	if err := e.shard.Flush(ctx, true); err != nil {
		return &Error{Kind: Unavailable, RetryAfter: time.Second, Message: "compact: " + err.Error(), Err: err}
	}
	return nil
}

// Recovery says how far recovery has come.
func (e *Engine) Recovery() RecoveryInfo { return *e.recovery.Load() }

// Recovered returns a channel that is closed when recovery has ended.
func (e *Engine) Recovered() <-chan struct{} { return e.recoverDone }

// Ready reports whether recovery is done and Close has not been called.
func (e *Engine) Ready() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.recovered.Load() && !e.closed
}

// Started is when Open was called.
func (e *Engine) Started() time.Time { return e.started }

// Options returns the options in force, defaults filled in.
func (e *Engine) Options() Options { return e.o }

// openBucket makes a bucket of the catalogue ready for writes. It is called
// after the catalogue has been changed.
func (e *Engine) openBucket(b catalog.Bucket) error {
	ob, err := e.shard.OpenBucket(b.ID)
	if err != nil {
		return e.errorOf(err)
	}
	eb := &bucket{Bucket: ob, id: b.ID}
	eb.retention.Store(int64(b.RetentionPeriod))
	ob.SetRetention(b.RetentionPeriod)
	ctx, cancel := context.WithTimeout(context.Background(), e.o.WriteTimeout)
	defer cancel()
	if err := ob.WaitOpen(ctx); err != nil {
		return e.errorOf(err)
	}
	e.changeBuckets(func(m map[BucketID]*bucket) { m[b.ID] = eb })
	return nil
}

// closeAndDropBucket frees everything that a bucket has. It is called after the
// bucket has left the catalogue, which then forgets that it ever was.
func (e *Engine) closeAndDropBucket(ctx context.Context, id BucketID) error {
	e.changeBuckets(func(m map[BucketID]*bucket) { delete(m, id) })
	e.rejected.drop(id)
	if err := e.shard.DropBucket(ctx, id); err != nil {
		return e.errorOf(err)
	}
	return e.catalog.Update(func(tx *catalog.Tx) error { return tx.ForgetDropped(id) })
}

// retentionChanged puts a bucket's new retention period into effect.
func (e *Engine) retentionChanged(b catalog.Bucket) {
	if eb := e.bucket(b.ID); eb != nil {
		eb.retention.Store(int64(b.RetentionPeriod))
		eb.SetRetention(b.RetentionPeriod)
	}
}

func (e *Engine) changeBuckets(change func(map[BucketID]*bucket)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := maps.Clone(*e.buckets.Load())
	change(m)
	e.buckets.Store(&m)
}

// bucket finds an open bucket, or returns nil.
func (e *Engine) bucket(id BucketID) *bucket { return (*e.buckets.Load())[id] }

func (e *Engine) bucketFailed(id BucketID, r actors.Reason, err error) {
	attrs := []any{slog.String("bucket", id.String()), slog.String("reason", r.String()), slog.Any("error", err)}
	if isDamage(err) {
		attrs = append(attrs, slog.String("next", "stop the server; "+damageAdvice(e.o.Dir)))
	}
	e.o.Logger.Error("bucket takes no writes", attrs...)
	e.o.Events.BucketFailed(BucketFailInfo{Bucket: id, Quarantined: r == actors.Quarantined, Err: err})
}

// inFlightBytesMax is the share of the memory budget that bodies, batches and
// records in flight may take; the rest is for what the buckets hold.
func (o *Options) inFlightBytesMax() int64 { return max(o.MemoryBytesMax/4, 16<<20) }

// recordBytesMax bounds a log record. A record is smaller than its batch's text
// except for degenerate ones, which stay below twice the text.
func (e *Engine) recordBytesMax() int { return int(2*e.o.InflatedBodyBytesMax + 1<<20) }

// bucketBytesMax is what the buckets may hold: series, memtables and directories.
// It is what is left of the budget beside writes in flight, blocks in the cache, the
// log's memtables, of which one is filled while another is written out, and an
// eighth for flushes and compactions.
func (o *Options) bucketBytesMax() int64 {
	left := o.MemoryBytesMax*7/8 - o.inFlightBytesMax() - o.blockCacheBytes() - 2*int64(o.logMemTableBytes())
	return max(left, o.MemoryBytesMax/4)
}

// blockCacheBytes is the share of the memory budget that blocks read from disk
// may take. Compactions fill it too, with what nobody else may ask for, and the
// system keeps files in memory as well: so it is small.
func (o *Options) blockCacheBytes() int64 { return min(max(o.MemoryBytesMax/16, 2<<20), 32<<20) }

// logMemTableBytes is the size of the log's memtable and, about, of each of its
// files, of which it keeps up to six. Records that are truncated while they are in
// the memtable are not written a second time, so memtables are flushed well before
// that much has been logged.
func (o *Options) logMemTableBytes() int {
	n := min(max(o.MemoryBytesMax/16, 4<<20), 16<<20)
	if o.diskBytes > 0 { // all of its files together take a fifth of a small disk
		n = min(n, max(o.diskBytes/32, 1<<20))
	}
	return int(n)
}
