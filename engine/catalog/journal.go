package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"os"
	"path/filepath"
)

// The journal is one file. It starts with the whole catalog as it was when the
// file was written, and grows by one record for each transaction since.
//
//	 0        8            16         20
//	+--------+------------+----------+---------------- - - ---+------- - -
//	| magic  | base end   | crc32c   | records of the base    | records, one per
//	|        | u64        | of 0..16 |                        | transaction
//	+--------+------------+----------+---------------- - - ---+------- - -
//	                                                          ^ base end
//
//	record:
//	 0         4          12         16          20
//	+---------+----------+----------+-----------+---------- - -
//	| length  | sequence | crc32c   | crc32c of | payload: JSON array
//	| u32     | u64      | of 0..12 | payload   | of changes, length bytes
//	+---------+----------+----------+-----------+---------- - -
//
// All numbers are little-endian. Sequences are consecutive within a file.
//
// The base is written to a temporary file and synced before it is renamed into
// place, so any damage to it is corruption. Each record after it is synced before
// the next is written, so only the last can be torn: a bad record with a good one
// anywhere after it is corruption, a bad record with none is a torn tail.
const (
	journalName      = "journal"
	journalTempName  = "journal.tmp"
	journalMagic     = "hgcatlg1"
	journalHeaderLen = 20
	recordHeaderLen  = 20
	recordBytesMax   = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is the error for a journal with damage that a crash cannot explain.
// The message names the file and the offset.
var ErrCorrupt = errors.New("catalog: corrupt journal")

// fileOps are the operations that can fail on a disk; tests make them.
type fileOps struct {
	write   func(f *os.File, b []byte, off int64) error
	sync    func(f *os.File) error
	rename  func(from, to string) error
	syncDir func(dir string) error
}

func osFileOps() fileOps {
	return fileOps{
		write:  func(f *os.File, b []byte, off int64) error { _, err := f.WriteAt(b, off); return err },
		sync:   (*os.File).Sync,
		rename: os.Rename,
		syncDir: func(dir string) error {
			d, err := os.Open(dir)
			if err != nil {
				return err
			}
			return errors.Join(d.Sync(), d.Close())
		},
	}
}

// journal appends synced records to a file. It is owned by Catalog.mu.
type journal struct {
	dir string
	ops fileOps
	f   *os.File
	// found is whether there was a file to open.
	found bool
	// baseEnd and end are where the base and the last good record end.
	baseEnd, end int64
	sequence     uint64
	// broken is why the file cannot be trusted to take another record; only
	// rewrite mends it.
	broken error
}

// openJournal opens or creates the journal in dir and yields its payloads in
// order. dropped is the length of the torn tail it has cut off.
func openJournal(dir string, ops fileOps, replay func(payload []byte) error) (j *journal, dropped int64, err error) {
	if err := os.Remove(filepath.Join(dir, journalTempName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, 0, fmt.Errorf("catalog: %w", err)
	}
	path := filepath.Join(dir, journalName)
	j = &journal{dir: dir, ops: ops}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return j, 0, j.rewrite(func(func([]byte) bool) {})
	}
	if err != nil {
		return nil, 0, fmt.Errorf("catalog: %w", err)
	}
	j.found = true
	if err := j.read(path, b, replay); err != nil {
		return nil, 0, err
	}
	if j.f, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, 0, fmt.Errorf("catalog: %w", err)
	}
	if dropped = int64(len(b)) - j.end; dropped > 0 {
		if err := errors.Join(j.f.Truncate(j.end), j.ops.sync(j.f)); err != nil {
			j.f.Close()
			return nil, 0, fmt.Errorf("catalog: cut the torn tail off %s: %w", path, err)
		}
	}
	return j, dropped, nil
}

func (j *journal) read(path string, b []byte, replay func(payload []byte) error) error {
	corrupt := func(off int64, what string) error {
		return fmt.Errorf("%w: %s: offset %d: %s", ErrCorrupt, path, off, what)
	}
	if len(b) < journalHeaderLen || string(b[:8]) != journalMagic ||
		binary.LittleEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return corrupt(0, "bad file header")
	}
	j.baseEnd = int64(binary.LittleEndian.Uint64(b[8:]))
	if j.baseEnd < journalHeaderLen || j.baseEnd > int64(len(b)) {
		return corrupt(int64(len(b)), fmt.Sprintf("file ends before its base does, at %d", j.baseEnd))
	}
	j.end = journalHeaderLen
	for j.end < int64(len(b)) {
		sequence, payload, what := parseRecord(b[j.end:])
		if what != "" {
			if j.end < j.baseEnd || anyRecordIn(b[j.end+1:]) {
				return corrupt(j.end, what)
			}
			return nil
		}
		if j.sequence != 0 && sequence != j.sequence+1 {
			return corrupt(j.end, fmt.Sprintf("record %d follows record %d", sequence, j.sequence))
		}
		if err := replay(payload); err != nil {
			return corrupt(j.end, fmt.Sprintf("record %d: %v", sequence, err))
		}
		j.sequence = sequence
		j.end += int64(recordHeaderLen + len(payload))
	}
	return nil
}

// parseRecord reads the record at the start of b, or says what is wrong with it.
func parseRecord(b []byte) (sequence uint64, payload []byte, what string) {
	if len(b) < recordHeaderLen {
		return 0, nil, "record header is cut short"
	}
	if binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
		return 0, nil, "record header does not match its checksum"
	}
	n, sequence := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:])
	if sequence == 0 {
		return 0, nil, "record has no sequence" // never written; and what a run of zeros may look like
	}
	if int64(n) > int64(len(b)-recordHeaderLen) {
		return 0, nil, fmt.Sprintf("record %d is cut short", sequence)
	}
	payload = b[recordHeaderLen : recordHeaderLen+int(n)]
	if binary.LittleEndian.Uint32(b[16:]) != crc32.Checksum(payload, castagnoli) {
		return 0, nil, fmt.Sprintf("record %d does not match its checksum", sequence)
	}
	return sequence, payload, ""
}

// anyRecordIn reports whether a good record starts anywhere in b.
func anyRecordIn(b []byte) bool {
	for i := range b {
		if _, _, what := parseRecord(b[i:]); what == "" {
			return true
		}
	}
	return false
}

func appendRecord(dst []byte, sequence uint64, payload []byte) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint64(dst, sequence)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(payload, castagnoli))
	return append(dst, payload...)
}

// append writes and syncs one record. After an error the record may or may not
// be found again after a crash, and the journal is broken until it is rewritten.
func (j *journal) append(payload []byte) error {
	if len(payload) > recordBytesMax {
		return fmt.Errorf("catalog: a change of %d bytes is over the largest that can be logged, %d", len(payload), recordBytesMax)
	}
	b := appendRecord(nil, j.sequence+1, payload)
	if err := errors.Join(j.ops.write(j.f, b, j.end), j.ops.sync(j.f)); err != nil {
		j.broken = fmt.Errorf("catalog: append to %s: %w", j.f.Name(), err)
		// A best effort to take the record back: what a caller was told has failed
		// should not come back after a restart.
		_ = errors.Join(j.f.Truncate(j.end), j.ops.sync(j.f))
		return j.broken
	}
	j.end += int64(len(b))
	j.sequence++
	return nil
}

// rewrite replaces the file with one whose base is payloads, and mends a broken
// journal. If it fails before the new file is in place, the old one stays in use.
func (j *journal) rewrite(payloads iter.Seq[[]byte]) (err error) {
	b, sequence := make([]byte, journalHeaderLen, 4<<10), j.sequence
	for payload := range payloads {
		sequence++
		b = appendRecord(b, sequence, payload)
	}
	copy(b, journalMagic)
	binary.LittleEndian.PutUint64(b[8:], uint64(len(b)))
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))

	temp := filepath.Join(j.dir, journalTempName)
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if err = errors.Join(j.ops.write(f, b, 0), j.ops.sync(f)); err == nil {
		err = j.ops.rename(temp, filepath.Join(j.dir, journalName))
	}
	if err != nil {
		f.Close()
		_ = os.Remove(temp)
		return fmt.Errorf("catalog: rewrite journal: %w", err)
	}
	if j.f != nil {
		j.f.Close()
	}
	j.f, j.baseEnd, j.end, j.sequence, j.broken = f, int64(len(b)), int64(len(b)), sequence, nil
	if err = j.ops.syncDir(j.dir); err != nil {
		// The new file is in place, but a crash may bring the old one back, and with
		// it lose what is appended from here on.
		j.broken = fmt.Errorf("catalog: sync %s: %w", j.dir, err)
		return j.broken
	}
	return nil
}

func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	return j.f.Close()
}
