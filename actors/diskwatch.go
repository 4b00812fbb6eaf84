package actors

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"headgate/engine/store/disk"
)

// DiskOptions says which file systems a shard watches, and how much of them it
// leaves alone.
type DiskOptions struct {
	// Dirs are directories in them: those of log and data. None: nothing is watched.
	Dirs []string
	// FreeMin is how many bytes of each must stay free; below it writes are refused.
	// What the disk must still take then is the log of deletes, the log's and the data
	// store's own files, flushes of what is in memory and the compactions that fit. Default a
	// twentieth, from 8 MiB to 256 MiB, but at most an eighth; negative refuses
	// nothing, and a disk that is full is a log that fails.
	FreeMin int64
	// Ballast is a file in the file system of Dirs[0] that is given up when a delete
	// or what has failed needs room, nil for none. The shard owns it.
	Ballast *disk.Ballast
	// BallastBytes is how large. Default a hundredth of the disk, at most 64 MiB;
	// negative for none.
	BallastBytes int64
	// Period is how often is looked at the latest. Default 1 s.
	Period time.Duration
	// Space looks at a file system. Default disk.SpaceOf.
	Space func(dir string) (disk.Space, error)
}

// EnsureDefaults fills in the zero fields, but for what depends on the disk.
func (o *DiskOptions) EnsureDefaults() {
	if o.Period == 0 {
		o.Period = time.Second
	}
	if o.Space == nil {
		o.Space = func(dir string) (disk.Space, error) { return disk.SpaceOf(nil, dir) }
	}
}

// freeMin is FreeMin for a disk of so many bytes.
func (o *DiskOptions) freeMin(total int64) int64 {
	if o.FreeMin > 0 {
		return o.FreeMin
	}
	return min(max(total/20, 8<<20), 256<<20, total/8)
}

// freeAgain is DiskState.FreeAgain for a mark of so many bytes.
func freeAgain(freeMin int64) int64 { return freeMin + max(freeMin/4, 1) }

// ballastBytes is BallastBytes for a disk of so many bytes.
func (o *DiskOptions) ballastBytes(total int64) int64 {
	switch {
	case o.Ballast == nil || o.BallastBytes < 0:
		return 0
	case o.BallastBytes > 0:
		return o.BallastBytes
	}
	return min(total/100, 64<<20)
}

// DiskState is the fullest of the watched file systems at one moment.
type DiskState struct {
	// Dir is in it; empty if nothing is watched.
	Dir string
	// Space is what it has. FreeMin is the mark below which writes are refused, and
	// FreeAgain the one above which they are taken again. What is counted against them
	// is Free less Owed: what the ballast should take and does not, and what is in
	// memory and in the log's queue and has yet to be written.
	disk.Space
	FreeMin, FreeAgain, Owed int64
	// Full says that writes are refused.
	Full bool
	// BallastBytes is what the ballast takes, BallastBytesMax what it should.
	BallastBytes, BallastBytesMax int64
	// Err is why nothing can be said about the disk, nil if something can.
	Err error
}

// Error says that the disk is nearly full.
func (st DiskState) Error() string {
	return fmt.Sprintf("disk nearly full: %s free, %s of it spoken for, needs %s (Options.DiskFreeMin, --disk-free-min)", mebibytes(st.Free), mebibytes(st.Owed), mebibytes(st.FreeMin))
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// diskWatch looks at the free space of log and data, so that writes are refused
// before the disk is full. It looks once in a while and after every so many bytes
// that have been logged, whichever is first; and between two looks an actor appends
// no more than the last one has found room for.
//
// A nil diskWatch, of a shard that watches nothing, lets everything pass.
type diskWatch struct {
	s *Shard
	o DiskOptions

	// room is how many more bytes may be logged before the next look, which is due
	// when it falls below due. Atomic; taken by actors, set by looks.
	room, due atomic.Int64
	// unseen is how much of parts has been written since the last look. Atomic.
	unseen atomic.Int64
	// state is what the last look has found. Atomic; never nil.
	state atomic.Pointer[DiskState]
	// looks has room for one: look soon.
	looks chan struct{}
	// wants are those who wait for a look that makes room, if there is none.
	wants chan chan struct{}
	// stopped is done when the watch has ended.
	stopped sync.WaitGroup
	// now belongs to the watch's goroutine.
	filling chan error // a ballast is being filled; nil if not
	fillAt  time.Time  // not before
	isBlind bool       // the last look has failed
}

// floorShare: see compactionRoomOf.
const floorShare = 8

// writtenBytes of parts may be written between two looks.
const writtenBytes = 1 << 20

// fillPause is how long after a ballast could not be filled it is tried again.
const fillPause = 10 * time.Second

// startDiskWatch has looked once when it returns.
func startDiskWatch(s *Shard) *diskWatch {
	w := &diskWatch{s: s, o: s.o.Disk, looks: make(chan struct{}, 1), wants: make(chan chan struct{})}
	w.state.Store(&DiskState{})
	w.look(false)
	if s.o.Data != nil {
		s.o.Data.OnWrite(w.wrote)
	}
	w.stopped.Go(w.run)
	return w
}

// wait returns when the watch has ended, which it does with the shard's ctx.
func (w *diskWatch) wait() {
	if w != nil {
		w.stopped.Wait()
	}
}

// Disk is what is known of the shard's disk.
func (s *Shard) Disk() DiskState {
	if s.disk == nil {
		return DiskState{}
	}
	return *s.disk.state.Load()
}

// take takes room for n bytes in the log. It reports whether there is any; if not,
// they must not be logged. Any goroutine.
func (w *diskWatch) take(n int) bool {
	if w == nil || w.o.FreeMin < 0 {
		return true
	}
	left := w.room.Add(-int64(n))
	if left < 0 {
		w.room.Add(int64(n))
	}
	if left < w.due.Load() {
		poke(w.looks)
	}
	return left >= 0
}

// makeRoomWait bounds MakeRoom: a disk that cannot even be asked cannot be helped.
const makeRoomWait = 2 * time.Second

// MakeRoom gives up the ballast if the disk is so full that a delete might not be
// logged. It waits until that is done, but not long, and not when ctx ends.
func (s *Shard) MakeRoom(ctx context.Context) {
	w := s.disk
	if w == nil {
		return
	}
	if st := w.state.Load(); st.Free >= 2*emergency(st) && s.currentLog().Failed() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, makeRoomWait)
	defer cancel()
	done := make(chan struct{})
	select {
	case w.wants <- done:
	case <-ctx.Done():
		return
	case <-s.ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
}

// emergency is the free space below which the ballast may be given up.
func emergency(st *DiskState) int64 { return st.FreeMin / 2 }

func (w *diskWatch) run() {
	t := time.NewTicker(w.o.Period)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			w.look(false)
		case <-w.looks:
			w.look(false)
		case done := <-w.wants:
			w.look(true)
			close(done)
		case err := <-w.filling:
			w.filling = nil
			w.filled(err)
		case <-w.s.ctx.Done():
			if w.filling != nil {
				<-w.filling // it looks at the ctx
			}
			return
		}
	}
}

// look finds out how much room there is and lets writes in or not. wanted says that
// someone is about to delete. Owned by the watch's goroutine.
func (w *diskWatch) look(wanted bool) {
	st, ok := w.measure()
	if !ok {
		return
	}
	if w.giveUpBallast(&st, wanted) {
		if st, ok = w.measure(); !ok {
			return
		}
	}
	free := st.Free - st.Owed
	was := w.state.Load().Full
	mark := st.FreeMin
	if was {
		mark = st.FreeAgain
	}
	st.Full = free < mark && w.o.FreeMin >= 0
	// Each byte that is logged is one more to flush, and may be written a second time
	// with the log's memtable.
	room := int64(0)
	if !st.Full {
		room = max(0, (free-st.FreeMin)/3)
	}
	w.due.Store(room - min(room/4, lookBytes))
	w.room.Store(room)
	w.state.Store(&st)
	w.s.gate.diskFull.Store(st.Full)
	switch {
	case st.Full && !was:
		w.s.o.Logger.Warn("disk is nearly full; writes are refused until there is room", slog.String("dir", st.Dir), slog.Int64("free", st.Free), slog.Int64("owed", st.Owed), slog.Int64("freeMin", st.FreeMin))
	case !st.Full && was:
		w.s.o.Logger.Info("disk has room again; writes are taken", slog.String("dir", st.Dir), slog.Int64("free", st.Free))
	}
	w.watchCompactions(&st)
	if was && !st.Full {
		w.s.retryNow()
	}
	w.fillBallast(&st)
}

// lookBytes is how much is logged between two looks at most.
const lookBytes = 16 << 20

// measure looks at every file system and returns the state of the fullest.
func (w *diskWatch) measure() (st DiskState, ok bool) {
	unwritten := w.unwritten()
	for i, dir := range w.o.Dirs {
		space, err := w.o.Space(dir)
		if err != nil {
			w.blind(err)
			return st, false
		}
		x := DiskState{Dir: dir, Space: space, FreeMin: w.o.freeMin(space.Total), Owed: unwritten}
		x.FreeAgain = freeAgain(x.FreeMin)
		if i == 0 {
			x.BallastBytesMax = w.o.ballastBytes(space.Total)
			if w.o.Ballast != nil && w.filling == nil {
				x.BallastBytes = w.o.Ballast.Held()
			}
		} else {
			x.BallastBytes, x.BallastBytesMax = st.BallastBytes, st.BallastBytesMax
		}
		x.Owed += max(0, x.BallastBytesMax-x.BallastBytes)
		if i == 0 || x.Free-x.Owed-x.FreeMin < st.Free-st.Owed-st.FreeMin {
			st = x
		}
	}
	if w.isBlind {
		w.isBlind = false
		w.s.o.Logger.Info("free space can be told again", slog.String("dir", st.Dir))
	}
	return st, true
}

// blind notes that the disk cannot be asked. What was true stays so: should it be
// full, the log says so.
func (w *diskWatch) blind(err error) {
	st := *w.state.Load()
	st.Dir, st.Err = w.o.Dirs[0], err
	if !st.Full {
		w.due.Store(0)
		w.room.Store(math.MaxInt64)
	}
	w.state.Store(&st)
	if !w.isBlind {
		w.isBlind = true
		w.s.o.Logger.Error("free space cannot be told", slog.Any("error", err))
	}
}

// unwritten is about how much of what has been admitted to the log the disk has
// yet to take: what waits in the log's queue, and what is in memory only, once for
// its flush and once for the log's own.
func (w *diskWatch) unwritten() int64 {
	n := int64(0)
	for _, b := range w.s.Buckets() {
		n += 2 * (max(0, b.logBytes.Load()) + max(0, b.frozenBytes.Load()))
	}
	return n + w.s.currentLog().Stats().PendingBytes
}

// giveUpBallast removes the ballast if that is called for.
func (w *diskWatch) giveUpBallast(st *DiskState, wanted bool) bool {
	if st.BallastBytes == 0 || st.Free >= emergency(st) || !wanted && w.s.currentLog().Failed() == nil && w.s.dataError() == nil {
		return false
	}
	if err := w.o.Ballast.Drop(); err != nil {
		w.s.o.Logger.Error("the disk is full and its ballast cannot be given up", slog.String("path", w.o.Ballast.Path()), slog.Any("error", err))
		return false
	}
	w.s.o.Logger.Warn("the disk is full; its ballast has been given up so that points can be deleted", slog.String("path", w.o.Ballast.Path()), slog.Int64("bytes", st.BallastBytes), slog.Int64("free", st.Free))
	w.s.retryNow()
	return true
}

// fillBallast has the ballast made when there is so much room that nobody notices.
func (w *diskWatch) fillBallast(st *DiskState) {
	missing := st.BallastBytesMax - st.BallastBytes
	if missing <= 0 || w.filling != nil || st.Free-st.Owed < st.FreeAgain+st.BallastBytesMax || time.Now().Before(w.fillAt) {
		return
	}
	w.filling = make(chan error, 1)
	n, done := st.BallastBytesMax, w.filling
	go func() { done <- w.o.Ballast.Fill(w.s.ctx, n) }()
}

func (w *diskWatch) filled(err error) {
	if err != nil {
		w.fillAt = time.Now().Add(fillPause)
		if w.s.ctx.Err() == nil {
			w.s.o.Logger.Warn("ballast could not be filled", slog.Any("error", err), slog.Duration("next", fillPause))
		}
	}
	w.look(false)
}

// watchCompactions stops those that would have writes refused for the room they need
// while they run, and lets those that wait for room know how much there is.
func (w *diskWatch) watchCompactions(st *DiskState) {
	if w.s.keeper == nil {
		return
	}
	if room := w.compactionRoomOf(st); room < 0 {
		w.s.keeper.stopCompacting()
	} else {
		w.s.keeper.thereIsRoom(room)
	}
}

// compactionRoomOf is how much compactions may take. It leaves so much that no writes
// are refused. When they are refused anyway, or never, it is nearly all, since a
// compaction may give back more; the rest is the log's, for deletes.
func (w *diskWatch) compactionRoomOf(st *DiskState) int64 {
	if st.Full || w.o.FreeMin < 0 {
		return st.Free - st.FreeMin/floorShare
	}
	return st.Free - st.Owed - st.FreeMin - st.FreeMin/floorShare
}

// compactionRoom looks how much room there is for a compaction at this moment, which
// may be less than the last look has found, or more. Any goroutine.
func (w *diskWatch) compactionRoom() int64 {
	room := int64(math.MaxInt64)
	if w == nil {
		return room
	}
	st := *w.state.Load()
	for _, dir := range w.o.Dirs {
		space, err := w.o.Space(dir)
		if err != nil {
			return math.MaxInt64 // see blind
		}
		x := st
		x.Space, x.FreeMin = space, w.o.freeMin(space.Total)
		// The next look finds that it is not full any more.
		x.Full = st.Full && x.Free-x.Owed < freeAgain(x.FreeMin)
		room = min(room, w.compactionRoomOf(&x))
	}
	return room
}

// wrote notes that n bytes of a part have been written. Any goroutine.
func (w *diskWatch) wrote(n int) {
	if w.unseen.Add(int64(n)) > writtenBytes {
		w.unseen.Store(0)
		poke(w.looks)
	}
}
