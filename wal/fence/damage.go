package fence

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble takes the first damaged record of its manifest or of its newest log for
// the torn end that a crash leaves, and goes on without what comes after: one
// flipped bit loses acknowledged records in silence, and of the manifest even the
// sstables, which it then deletes. (Its own check, the synced offset of each chunk,
// counts only what was written as partial blocks and so stays far behind.) What
// comes after tells damage from a torn end:
//
//   - An edit of the manifest is synced before the next is written. If an edit
//     starts after the damage, the damage is not the torn end. When Pebble closes a
//     manifest, the fence adds an edit that changes nothing, so that one follows
//     whatever Pebble wrote.
//   - Each group carries a mark in Pebble's log: its ordinal since Open, up to which
//     ordinal groups were synced when it was made, and how long the manifest was
//     when it was last synced. If any mark says that what is damaged was synced,
//     it was acknowledged, or acknowledged records depend on it.
//
// The mark of a group vouches for all but the GroupsInFlight groups before it. Open
// writes one for the manifest, Close one for the log; background work may still write
// to the manifest after that one. So damage to the last groups of a log that was not
// closed, or to an edit that no group has followed in a store that was not closed, is
// what stays ambiguous, and is treated as a torn end.
//
// The mark is Pebble log data, the first thing in the group's batch: it is not
// applied to the store.
//
//	 0      8       12     13     14        15         23        31          39         47
//	+------+-------+------+------+---------+----------+---------+-----------+----------+
//	| seq  | count | 0x03 | 33   | version | ordinal  | synced  | manifest  | length   |
//	+------+-------+------+------+---------+----------+---------+-----------+----------+
//	'- Pebble's batch header      '------- the mark; numbers are LE ------------------'
const (
	// MarkBytes is the length of a mark.
	MarkBytes = 33
	// GroupsInFlight is how many groups a store may have under way, those that wait
	// for their sync included, when it makes the next one.
	GroupsInFlight = 2

	// MarkOffset is where a mark is in a batch.
	MarkOffset = 14

	markVersion = 1
	markEnd     = MarkOffset + MarkBytes
)

// Mark is what a group says of itself.
type Mark struct {
	// Ordinal counts the groups since the store was opened, from 1.
	Ordinal uint64
	// Synced says that every group up to this one was synced when the mark's was
	// made. It is at least Ordinal minus GroupsInFlight.
	Synced uint64
	Manifest
}

// Manifest says that a manifest has been synced up to a length.
type Manifest struct{ Number, Length uint64 }

// Put writes the mark, which the group gives to Batch.LogData before anything else.
// b has MarkBytes.
func (m Mark) Put(b []byte) {
	b[0] = markVersion
	binary.LittleEndian.PutUint64(b[1:], m.Ordinal)
	binary.LittleEndian.PutUint64(b[9:], m.Synced)
	binary.LittleEndian.PutUint64(b[17:], m.Number)
	binary.LittleEndian.PutUint64(b[25:], m.Length)
}

// readMark returns the mark in the beginning of a batch.
func readMark(batch []byte) (Mark, bool) {
	if len(batch) < markEnd || batch[12] != byte(pebble.InternalKeyKindLogData) || batch[13] != MarkBytes || batch[MarkOffset] != markVersion {
		return Mark{}, false
	}
	b := batch[MarkOffset+1:]
	return Mark{
		Ordinal: binary.LittleEndian.Uint64(b),
		Synced:  binary.LittleEndian.Uint64(b[8:]),
		Manifest: Manifest{
			Number: binary.LittleEndian.Uint64(b[16:]),
			Length: binary.LittleEndian.Uint64(b[24:]),
		},
	}, true
}

// CheckFiles refuses a directory in which Pebble would lose something in silence,
// with a *DamageError. It changes nothing. A directory that it cannot make sense of is left to Pebble.
func CheckFiles(fs vfs.FS, dir string) error {
	desc, err := pebble.Peek(dir, fs)
	if err != nil || !desc.Exists {
		return nil
	}
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	name := fs.PathBase(desc.ManifestFilename)
	current := Manifest{Number: manifestNumber(name)}
	for _, name := range names {
		digits, isLog := strings.CutSuffix(name, ".log")
		number, err := strconv.ParseUint(digits, 10, 64)
		if !isLog || err != nil {
			continue
		}
		if err := checkLog(fs, dir, name, uint32(number), &current); err != nil {
			return err
		}
	}
	return checkManifest(fs, dir, name, current.Length)
}

// IsDamage reports whether an error of pebble.Open is of what is on disk. Of a file that has
// not the size it should have Pebble does not say so.
func IsDamage(err error) bool {
	return pebble.IsCorruptionError(err) || err != nil && strings.Contains(err.Error(), "object size mismatch")
}

// manifestNumber returns the number in a manifest's name, 0 for any other name.
func manifestNumber(name string) uint64 {
	digits, ok := strings.CutPrefix(name, "MANIFEST-")
	if !ok {
		return 0
	}
	number, _ := strconv.ParseUint(digits, 10, 64)
	return number
}

// DamageError says that a file of Pebble's is damaged where a crash does not
// explain it.
type DamageError struct {
	File string
	// Offset is negative if it is not known where in the file.
	Offset int64
	Reason string
}

func (e *DamageError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s is damaged: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s is damaged at offset %d: %s", e.File, e.Offset, e.Reason)
}

func corrupt(name string, at int64, why string) error {
	return &DamageError{File: name, Offset: at, Reason: why}
}

// checkManifest looks for damage that an edit follows, and for damage within the
// length that a mark vouches for.
func checkManifest(fs vfs.FS, dir, name string, length uint64) error {
	follows := false
	var good uint64 // the length of what is whole
	damage, err := scanFile(fs, dir, name, 0, func(c chunk, damage int64) {
		if damage < 0 {
			good = uint64(c.end)
		} else if c.starts {
			follows = true
		}
	})
	switch {
	case err != nil:
		return err
	case follows:
		return corrupt(name, damage, "edits follow")
	case good < length:
		return corrupt(name, int64(good), fmt.Sprintf("%d bytes of it were synced", length))
	}
	return nil
}

// checkLog looks for damage to groups that a later mark says were synced. It raises
// current.Length to what marks say of the current manifest.
func checkLog(fs vfs.FS, dir, name string, logNumber uint32, current *Manifest) error {
	var (
		start  []byte // of the record that is being read
		good   uint64 // the last group read whole, before any damage
		first  uint64 // the first group that starts after the damage
		synced uint64 // what the marks after the damage say
	)
	damage, err := scanFile(fs, dir, name, logNumber, func(c chunk, damage int64) {
		if c.starts {
			start = start[:0]
		}
		had := len(start)
		start = append(start, c.payload[:min(len(c.payload), markEnd-had)]...)
		m, ok := readMark(start)
		if ok && m.Number == current.Number {
			current.Length = max(current.Length, m.Length)
		}
		switch {
		case !ok:
		case damage < 0:
			if c.ends {
				good = m.Ordinal
			}
		case had < markEnd:
			if first == 0 {
				first = m.Ordinal
			}
			synced = max(synced, m.Synced)
		}
	})
	if err != nil || first == 0 {
		return err
	}
	if good == 0 {
		good = first - GroupsInFlight // what comes before the first is damaged
	}
	if first >= GroupsInFlight && synced > good {
		return corrupt(name, damage, fmt.Sprintf("it held records that were synced (%s)", groupsText(good+1, first-1)))
	}
	return nil
}

func groupsText(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("group %d", first)
	}
	return fmt.Sprintf("groups %d to %d", first, last)
}

// scanFile is scanChunks of a file.
func scanFile(fs vfs.FS, dir, name string, logNumber uint32, fn func(c chunk, damage int64)) (int64, error) {
	f, err := fs.Open(fs.PathJoin(dir, name), vfs.SequentialReadsOption)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	damage, err := scanChunks(f, logNumber, fn)
	if err != nil {
		return damage, fmt.Errorf("%s: %w", name, err)
	}
	return damage, nil
}
