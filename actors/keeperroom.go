package actors

import (
	"errors"
	"fmt"
	"math"
)

// A compaction needs room for what it writes before it frees what it has read. It is
// not begun unless the disk has it; and one that is overtaken by others who fill the
// disk is cancelled, which frees what it has written. That room is no reason to begin
// again: a bucket that rests for want of room is woken by what there is more than it
// had, or wants. What has expired is dropped meanwhile.

// errNoRoom is why a compaction is not begun, or cancelled.
var errNoRoom = errors.New("actors: the disk is too full to go on compacting")

// noRoomError is an errNoRoom that knows how much is wanted.
type noRoomError struct {
	bytes, room int64
}

func (e *noRoomError) Error() string {
	return fmt.Sprintf("actors: the disk is too full to compact: about %s needed, %s there beside what must stay free (Options.DiskFreeMin, --disk-free-min)", mebibytes(e.bytes), mebibytes(max(e.room, 0)))
}

func (e *noRoomError) Is(target error) bool { return target == errNoRoom }

// compactionFits is store.Options.CompactionRoom. Any goroutine.
func (k *keeper) compactionFits(bytes int64) error {
	if room := k.s.disk.compactionRoom(); room < bytes {
		return &noRoomError{bytes, room}
	}
	return nil
}

// stopCompacting ends the compaction that runs; it is tried again later. Any goroutine.
func (k *keeper) stopCompacting() {
	if cancel := k.cancelCompaction.Load(); cancel != nil {
		(*cancel)(errNoRoom)
	}
}

// thereIsRoom wakes those who want less than room. Any goroutine.
func (k *keeper) thereIsRoom(room int64) {
	if room > k.roomWanted.Load() {
		poke(k.compacts)
	}
}

// rested notes which buckets rest. Owned by the compacting goroutine.
func (k *keeper) rested(resting map[*Bucket]*rest) {
	wanted := int64(math.MaxInt64)
	for _, r := range resting {
		if errors.Is(r.err, errNoRoom) {
			wanted = min(wanted, r.room)
		}
	}
	k.roomWanted.Store(wanted)
	k.stats.resting(resting)
}

// wants notes how much room ends the rest, for a compaction that had room when it
// began, or would have begun.
func (r *rest) wants(room int64) {
	// What is noise on any disk is not more than there was.
	r.room = min(max(room, 0), math.MaxInt64-writtenBytes) + writtenBytes
	if e := (*noRoomError)(nil); errors.As(r.err, &e) {
		r.room = e.bytes - 1
	}
}

// wakes reports whether the rest ends before its time: of what has failed if all is to
// be tried again, of what has no room if it now has.
func (r *rest) wakes(all bool, room int64) bool {
	if errors.Is(r.err, errNoRoom) {
		return room > r.room
	}
	return all
}
