package fence

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Contents is what can be read of a store without Pebble's manifest: of each key
// the newest value in any sstable or log, unless something newer deletes it.
//
// It is for stores that Pebble does not open, or in which it cannot read on. The
// manifest says only which logs are still needed. Pebble removes sstables that it
// does not need any more; one that a crash has left behind is taken for good.
type Contents struct {
	// Entries ascend by key.
	Entries []Entry
	// Tables are the sstables that were passed over, in the order of their numbers.
	Tables []Table
	// Damage is what could not be read. Its errors are *DamageError.
	Damage []error
}

// Entry is a key and its value.
type Entry struct{ Key, Value []byte }

// Table is an sstable: its name in the directory and the first and last key that
// can be read.
type Table struct {
	Name              string
	Smallest, Largest []byte
}

// Salvage reads the store in dir, which nobody may be writing. It changes nothing.
// Sstables whose first key pass accepts are listed and not read; nil accepts none.
// All entries are held in memory.
func Salvage(fs vfs.FS, dir string, pass func(key []byte) bool) (*Contents, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	s := &salvage{fs: fs, dir: dir, newest: make(map[string]version)}
	first, err := s.firstLog(names)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".sst"):
			s.table(name, pass)
		case strings.HasSuffix(name, ".log"):
			number, err := strconv.ParseUint(strings.TrimSuffix(name, ".log"), 10, 64)
			if err == nil && number >= first {
				err = s.log(name, uint32(number))
			}
			if err != nil {
				s.damaged(name, unknownOffset, err.Error())
			}
		}
	}
	return s.contents(), nil
}

// CheckLogs refuses a directory with a manifest and without a log of Pebble's, with a
// *DamageError. Pebble takes that for an empty log, and only a crash while the store
// was created leaves it so.
func CheckLogs(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	manifest := ""
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			return nil
		}
		if manifestNumber(name) > 0 {
			manifest = name
		}
	}
	if manifest == "" {
		return nil
	}
	return corrupt(manifest, 0, "there is no log beside it: a file is missing")
}

// CheckPresent refuses a directory in which no store has been, or is only in part: without
// a manifest, or as CheckLogs does. Pebble makes a new one there.
func CheckPresent(fs vfs.FS, dir string) error {
	desc, err := pebble.Peek(dir, fs)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil // Pebble says what is wrong with it
	case err != nil || !desc.Exists:
		return fmt.Errorf("%s is missing, or what was in it (is a disk not mounted?)", dir)
	}
	return CheckLogs(fs, dir)
}

type salvage struct {
	fs     vfs.FS
	dir    string
	newest map[string]version
	ranges []rangeDelete
	out    Contents
}

// version is a value, or the lack of one, as of a sequence number of Pebble's.
type version struct {
	seq     uint64
	deleted bool
	value   []byte
}

type rangeDelete struct {
	start, end []byte
	seq        uint64
}

// unknownOffset is where damage is whose place in its file is not known.
const unknownOffset = -1

func (s *salvage) damaged(name string, at int64, reason string) {
	reason, _, _ = strings.Cut(reason, "\n") // Pebble's may be repeated, with details on others
	s.out.Damage = append(s.out.Damage, &DamageError{File: name, Offset: at, Reason: reason})
}

func (s *salvage) set(key []byte, v version) {
	if old, ok := s.newest[string(key)]; ok && old.seq > v.seq {
		return
	}
	v.value = bytes.Clone(v.value)
	s.newest[string(key)] = v
}

// add takes an entry of a log or an sstable.
func (s *salvage) add(kind pebble.InternalKeyKind, seq uint64, key, value []byte) {
	switch kind {
	case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
		s.set(key, version{seq: seq, value: value})
	case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
		s.set(key, version{seq: seq, deleted: true})
	case pebble.InternalKeyKindRangeDelete:
		s.ranges = append(s.ranges, rangeDelete{bytes.Clone(key), bytes.Clone(value), seq})
	}
}

func (s *salvage) contents() *Contents {
	for key, v := range s.newest {
		if v.deleted || slices.ContainsFunc(s.ranges, func(r rangeDelete) bool {
			return r.seq > v.seq && string(r.start) <= key && key < string(r.end)
		}) {
			continue
		}
		s.out.Entries = append(s.out.Entries, Entry{[]byte(key), v.value})
	}
	slices.SortFunc(s.out.Entries, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
	return &s.out
}

// Tags of the fields with which an edit of Pebble's manifest may begin.
const (
	tagComparator = 1
	tagLogNumber  = 2
	tagNextFile   = 3
	tagLastSeq    = 4
)

// firstLog returns the number of the first log that is still needed, as far as the
// manifests that can be read say.
func (s *salvage) firstLog(names []string) (first uint64, err error) {
	for _, name := range names {
		if manifestNumber(name) == 0 {
			continue
		}
		err := s.records(name, 0, func(edit []byte) {
			if n, ok := logNumberOf(edit); ok {
				first = max(first, n)
			}
		})
		if err != nil {
			return 0, err
		}
	}
	return first, nil
}

// logNumberOf returns what an edit says of the first log.
func logNumberOf(edit []byte) (uint64, bool) {
	for len(edit) > 0 {
		tag, n := binary.Uvarint(edit)
		if n <= 0 {
			return 0, false
		}
		edit = edit[n:]
		v, n := binary.Uvarint(edit)
		if n <= 0 {
			return 0, false
		}
		edit = edit[n:]
		switch tag {
		case tagLogNumber:
			return v, true
		case tagComparator:
			if v > uint64(len(edit)) {
				return 0, false
			}
			edit = edit[v:]
		case tagNextFile, tagLastSeq:
		default:
			return 0, false
		}
	}
	return 0, false
}

// records calls fn with every record of a manifest or log that is whole, and notes
// damage that a record follows: what nothing follows is the torn end.
func (s *salvage) records(name string, logNumber uint32, fn func(record []byte)) error {
	var record []byte
	open, follows := false, false
	was := int64(-1)
	damage, err := scanFile(s.fs, s.dir, name, logNumber, func(c chunk, damage int64) {
		if damage != was {
			was, open = damage, false // what was begun before it has no end
		}
		if c.starts {
			record, open = record[:0], true
			follows = follows || damage >= 0
		}
		if !open {
			return
		}
		record = append(record, c.payload...)
		if c.ends {
			fn(record)
			open = false
		}
	})
	if err == nil && follows {
		s.damaged(name, damage, "records follow")
	}
	return err
}

// log adds every entry of a log.
func (s *salvage) log(name string, number uint32) error {
	return s.records(name, number, func(batch []byte) {
		h, ok := batchrepr.ReadHeader(batch)
		if !ok {
			return
		}
		seq := uint64(h.SeqNum)
		for r := batchrepr.Read(batch); ; {
			kind, key, value, ok, err := r.Next()
			if err != nil {
				s.damaged(name, unknownOffset, err.Error())
			}
			if err != nil || !ok {
				return
			}
			if kind == pebble.InternalKeyKindLogData {
				continue // has no sequence number
			}
			s.add(kind, seq, key, value)
			seq++
		}
	})
}

// table adds every entry of an sstable that can be read.
func (s *salvage) table(name string, pass func(key []byte) bool) {
	t, err := OpenTable(s.fs, s.fs.PathJoin(s.dir, name))
	if err != nil {
		s.damaged(name, unknownOffset, err.Error())
		return
	}
	defer t.Close()
	listed := false
	damage := t.walk(func(kind pebble.InternalKeyKind, seq uint64, key, value []byte) bool {
		if pass != nil && pass(key) {
			listed = true
			s.out.Tables = append(s.out.Tables, Table{Name: name, Smallest: bytes.Clone(key), Largest: t.largest(key)})
			return false
		}
		s.add(kind, seq, key, value)
		return true
	})
	if listed {
		return
	}
	for _, d := range damage {
		s.damaged(name, d.at, d.err.Error())
	}
	if err := t.rangeDeletes(s.add); err != nil {
		s.damaged(name, unknownOffset, err.Error())
	}
}

// SSTable reads one sstable, on its own, and reads on behind damage.
type SSTable struct {
	r    *sstable.Reader
	file *tableFile
}

// tableFile remembers where reading has failed. Pebble tries every single bit of a
// block whose checksum does not match, which takes seconds, and here the same block
// is asked for again and again.
type tableFile struct {
	vfs.File
	last int64           // where the last read was
	bad  map[int64]error // what came of reading there
}

func (f *tableFile) ReadAt(p []byte, off int64) (int, error) {
	f.last = off
	if err := f.bad[off]; err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// OpenTable opens an sstable. It fails if its footer, properties or index are
// damaged.
func OpenTable(fs vfs.FS, path string) (t *SSTable, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("fence: %s: %v", fs.PathBase(path), r)
		}
		if err != nil {
			_ = f.Close()
		}
	}()
	file := &tableFile{File: f, bad: make(map[int64]error)}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return nil, err
	}
	o := new(pebble.Options)
	o.EnsureDefaults()
	ro := o.MakeReaderOptions()
	setNumber(&ro.CacheOpts.FileNum, fs.PathBase(path))
	r, err := sstable.NewReader(context.Background(), readable, ro)
	if err != nil {
		return nil, err
	}
	return &SSTable{r, file}, nil
}

// CheckTable reads what finds the way through an sstable: footer, properties, index and
// range deletions. It says nothing of the blocks between them. Damage is a *DamageError.
func CheckTable(fs vfs.FS, path string) error {
	return readingTable(fs, path, func() error {
		t, err := OpenTable(fs, path)
		if err != nil {
			return err
		}
		defer t.Close()
		if _, err := t.r.ReadPropertiesBlock(context.Background(), nil); err != nil {
			return err
		}
		it, err := t.r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
		if err != nil {
			return err
		}
		if err := it.Close(); err != nil {
			return err
		}
		return t.rangeDeletes(func(pebble.InternalKeyKind, uint64, []byte, []byte) {})
	})
}

// VerifyTable reads all of an sstable and compares each block with its checksum. Damage is
// a *DamageError.
func VerifyTable(fs vfs.FS, path string) error {
	return readingTable(fs, path, func() error {
		t, err := OpenTable(fs, path)
		if err != nil {
			return err
		}
		defer t.Close()
		return t.r.ValidateBlockChecksums()
	})
}

// readingTable makes a *DamageError of what read says of damage to an sstable: an error
// or a panic of Pebble's.
func readingTable(fs vfs.FS, path string, read func() error) (err error) {
	name := fs.PathBase(path)
	defer func() {
		if r := recover(); r != nil {
			err = corrupt(name, unknownOffset, fmt.Sprint(r)) // Pebble takes some damage for a bug of its own
		}
	}()
	err = read()
	if pebble.IsCorruptionError(err) {
		err = TableDamage(fs, path, err)
	}
	return err
}

// TableDamage is an error of Pebble's, about a file at path that is damaged, as one line.
func TableDamage(fs vfs.FS, path string, err error) *DamageError {
	reason, _, _ := strings.Cut(err.Error(), "\n")
	return &DamageError{File: fs.PathBase(path), Offset: unknownOffset, Reason: reason}
}

// setNumber makes Pebble's errors name the file that an sstable is in: they have its
// number, in a type that has no name out here.
func setNumber[N ~uint64](to *N, name string) {
	digits, _ := strings.CutSuffix(name, ".sst")
	if number, err := strconv.ParseUint(digits, 10, 64); err == nil {
		*to = N(number)
	}
}

// Close closes the table.
func (t *SSTable) Close() error { return t.r.Close() }

// Walk calls fn with every key and value that can be read, until it returns false.
// Both are valid during fn only. The errors are of what cannot be read.
func (t *SSTable) Walk(fn func(key, value []byte) bool) (damage []error) {
	for _, d := range t.walk(func(kind pebble.InternalKeyKind, _ uint64, key, value []byte) bool {
		return kind != pebble.InternalKeyKindSet || fn(key, value)
	}) {
		damage = append(damage, d.err)
	}
	return damage
}

// Get appends the value of a key to dst. A key that is not there is
// pebble.ErrNotFound.
func (t *SSTable) Get(key, dst []byte) ([]byte, error) {
	found := false
	err := t.from(key, func(_ pebble.InternalKeyKind, _ uint64, k, value []byte) bool {
		if bytes.Equal(k, key) {
			dst, found = append(dst, value...), true
		}
		return false
	})
	if err == nil && !found {
		err = pebble.ErrNotFound
	}
	return dst, err
}

// from calls fn from a key on, until it returns false; an empty key is the first.
func (t *SSTable) from(key []byte, fn func(kind pebble.InternalKeyKind, seq uint64, key, value []byte) bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("fence: %v", r) // Pebble takes some damage for a bug of its own
		}
		if err == nil {
			return
		}
		if known := t.file.bad[t.file.last]; known != nil {
			err = known
		} else {
			t.file.bad[t.file.last] = err
		}
	}()
	it, err := t.r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	next := it.First()
	if len(key) > 0 {
		next = it.SeekGE(key, 0)
	}
	for ; next != nil; next = it.Next() {
		value, _, err := next.Value(nil)
		if err != nil {
			return err
		}
		if !fn(next.K.Kind(), uint64(next.K.SeqNum()), next.K.UserKey, value) {
			return nil
		}
	}
	return it.Error()
}

// tableDamage is what cannot be read of an sstable, and from where on.
type tableDamage struct {
	at  int64
	err error
}

func (t *SSTable) walk(fn func(kind pebble.InternalKeyKind, seq uint64, key, value []byte) bool) (damage []tableDamage) {
	var key, last []byte
	for stopped := false; ; {
		err := t.from(key, func(kind pebble.InternalKeyKind, seq uint64, k, value []byte) bool {
			last = append(last[:0], k...)
			stopped = !fn(kind, seq, k, value)
			return !stopped
		})
		if err == nil || stopped {
			return damage
		}
		damage = append(damage, tableDamage{t.file.last, err})
		if bytes.Compare(last, key) < 0 {
			last = append(last[:0], key...) // nothing could be read since the place before
		}
		next := t.past(last)
		if bytes.Compare(next, key) <= 0 {
			return damage
		}
		key = next
	}
}

// keyBytesMax is more than any key of ours has.
const keyBytesMax = 24

// past returns the first key behind what could not be read from a key on, just now;
// nil if there is none. All keys that lead to the same place in the file are
// neighbours.
func (t *SSTable) past(last []byte) []byte {
	place := t.file.last
	same := func(key []byte) bool {
		err := t.from(key, func(pebble.InternalKeyKind, uint64, []byte, []byte) bool { return false })
		return err != nil && t.file.last == place
	}
	at := func(n *big.Int) []byte { return n.FillBytes(make([]byte, keyBytesMax)) }
	padded := make([]byte, keyBytesMax)
	copy(padded, last)
	if len(last) == 0 {
		padded[keyBytesMax-1] = 1
	}
	lo := new(big.Int).SetBytes(padded)
	hi := new(big.Int).SetBytes(bytes.Repeat([]byte{0xff}, keyBytesMax))
	if same(at(hi)) {
		return nil
	}
	for one := big.NewInt(1); new(big.Int).Sub(hi, lo).Cmp(one) > 0; {
		mid := new(big.Int).Add(lo, hi)
		mid.Rsh(mid, 1)
		if same(at(mid)) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return at(hi)
}

// largest returns the last key that can be read, which is not before one that can.
func (t *SSTable) largest(least []byte) []byte {
	last := bytes.Clone(least)
	it, err := t.r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return last
	}
	if kv := it.Last(); kv != nil {
		last = bytes.Clone(kv.K.UserKey)
		_ = it.Close()
		return last
	}
	_ = it.Close()
	t.walk(func(_ pebble.InternalKeyKind, _ uint64, key, _ []byte) bool {
		last = append(last[:0], key...)
		return true
	})
	return last
}

// rangeDeletes calls add with the table's range deletions.
func (t *SSTable) rangeDeletes(add func(kind pebble.InternalKeyKind, seq uint64, start, end []byte)) error {
	it, err := t.r.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	span, err := it.First()
	for ; span != nil; span, err = it.Next() {
		for _, k := range span.Keys {
			add(pebble.InternalKeyKindRangeDelete, uint64(k.SeqNum()), span.Start, span.End)
		}
	}
	return err
}
