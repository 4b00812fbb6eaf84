package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"

	"headgate/engine/catalog"
	"headgate/engine/point"
	"headgate/engine/store"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
)

// Check reads everything in a data directory and reports what is wrong with it: every
// checksum, that definitions, parts, blocks and records fit each other, and that
// nothing is missing between what the data store has and where the log begins. It
// changes nothing. An error means that it could not look; problems are none.
func Check(ctx context.Context, o Options) (*Report, error) {
	o.ensureDefaults()
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	e, err := examine(ctx, o)
	if err != nil {
		return nil, err
	}
	return &e.report, e.source.close()
}

// examination is a check, and what a repair needs to know of it.
type examination struct {
	o      Options
	source *source
	report Report
	bytes  int64 // read so far
	total  int64

	adopt   []point.BucketID // have points and no entry in the catalog
	dropped map[point.BucketID]bool
	// rebuildCatalog and rebuildLog say that they have to be written anew.
	rebuildCatalog, rebuildLog bool
	buckets                    []*bucketExam
}

// bucketExam is what is known of one bucket.
type bucketExam struct {
	id     point.BucketID
	name   string
	data   *dataBucket // nil for none
	faults []store.Fault
	// definitions replace those that are there, if mended is set.
	definitions [][]byte
	mended      bool
	// after is the last record that the log need not have.
	after uint64
}

// examine looks at everything. The caller has the lock, and closes the source.
func examine(ctx context.Context, o Options) (*examination, error) {
	e := &examination{o: o, dropped: make(map[point.BucketID]bool)}
	e.report.Dir, e.report.Problems = o.Dir, []Problem{}
	if err := Unfinished(o.Dir); err != nil {
		e.problem(Problem{Place: InData, What: reasonOf(err), Lost: "nothing"})
	}
	var err error
	if e.source, err = open(ctx, o); err != nil {
		return nil, err
	}
	if err := e.run(ctx); err != nil {
		return nil, errors.Join(err, e.source.close())
	}
	return e, nil
}

func (e *examination) problem(p Problem) { e.report.Problems = append(e.report.Problems, p) }

func (e *examination) note(format string, args ...any) {
	e.report.Notes = append(e.report.Notes, fmt.Sprintf(format, args...))
}

func (e *examination) progress(step string, n int64) {
	e.bytes += n
	e.o.Progress(Progress{Step: step, Bytes: e.bytes, BytesTotal: e.total})
}

func (e *examination) run(ctx context.Context) error {
	s := e.source
	e.checkCatalog()
	logged, err := s.log.Buckets(ctx)
	if err != nil {
		return err
	}
	v := s.catalog.View
	ids := make(map[point.BucketID]bool)
	for _, b := range v.Buckets(0) {
		ids[b.ID] = true
	}
	for _, id := range v.DroppedBuckets() {
		e.dropped[id] = true
	}
	unknown := func(id point.BucketID) {
		if ids[id] || e.dropped[id] {
			return
		}
		ids[id] = true
		e.adopt = append(e.adopt, id)
		e.rebuildCatalog = true
	}
	for _, id := range logged {
		unknown(point.BucketID(id))
	}
	for id, b := range s.data.buckets {
		if b.salvaged == nil || len(b.parts)+len(b.salvaged.Definitions) > 0 {
			unknown(id)
		}
		for _, p := range b.parts {
			e.total += p.Bytes
		}
	}
	slices.Sort(e.adopt)
	for _, id := range e.adopt {
		e.problem(Problem{Place: InCatalog, Bucket: id, What: "the bucket has points and the catalog does not know it",
			Lost: "its name and its retention period; repair keeps the points, in a bucket called recovered-" + id.String()})
	}
	e.checkFiles(len(ids) > 0)
	sorted := make([]point.BucketID, 0, len(ids))
	for id := range ids {
		sorted = append(sorted, id)
	}
	slices.Sort(sorted)
	for _, id := range sorted {
		if err := ctx.Err(); err != nil {
			return err
		}
		x := &bucketExam{id: id, data: s.data.buckets[id]}
		if b, ok := v.Bucket(id); ok {
			x.name = b.Name
		} else {
			x.name = "recovered-" + id.String()
		}
		e.buckets = append(e.buckets, x)
		e.report.Buckets++
		if err := e.checkBucket(ctx, x); err != nil {
			return err
		}
	}
	// Everything before was in the order of buckets.
	order := []Place{InCatalog, InLog, InData}
	slices.SortStableFunc(e.report.Problems, func(a, b Problem) int { return slices.Index(order, a.Place) - slices.Index(order, b.Place) })
	return nil
}

func (e *examination) checkCatalog() {
	c := e.source.catalog
	for _, err := range c.Damage {
		e.rebuildCatalog = true
		e.problem(Problem{Place: InCatalog, What: reasonOf(err), Lost: "what this record changed: users, tokens, buckets' names or the like, but no points"})
	}
	if c.Missing {
		e.rebuildCatalog = true
		e.problem(Problem{Place: InCatalog, What: "the catalog's journal is missing", Lost: "all users, tokens and names of buckets, but no points"})
	}
	if c.TornBytes > 0 {
		e.note("the catalog ends in %s that are no whole change: one that a crash has cut off and nobody was told of, or the last one, damaged", count(c.TornBytes, "byte"))
	}
}

// checkFiles reports what is wrong with whole stores.
func (e *examination) checkFiles(used bool) {
	for _, err := range e.source.log.Damage() {
		e.rebuildLog = true
		e.problem(Problem{Place: InLog, What: fileReason(logDir, err), Lost: "the records in it that cannot be read: those named below, if there are any, and any that came last in a bucket, which leave no trace"})
	}
	if e.source.logMissing && used {
		e.rebuildLog = true
		e.problem(Problem{Place: InLog, What: "the log is missing", Lost: "what was not in the data store yet"})
	}
	if e.source.data.missing && used {
		e.problem(Problem{Place: InData, What: "the data store is missing", Lost: "everything but what the log has"})
	}
	for _, err := range e.source.data.damage {
		e.problem(Problem{Place: InData, What: fileReason(dataDir, err),
			Lost: "what of the data store cannot be read from its other files: what is known of it is named below, and nothing is known to be lost if nothing is"})
	}
}

// damageOf says that a bucket has a problem.
func (e *examination) damageOf(x *bucketExam, p Problem) {
	p.Bucket, p.Name = x.id, x.name
	e.problem(p)
}

func (e *examination) checkBucket(ctx context.Context, x *bucketExam) error {
	if b := x.data; b != nil && b.salvaged != nil {
		for _, err := range b.salvaged.Damage {
			e.damageOf(x, Problem{Place: InData, What: reasonOf(err), Lost: "nothing beyond what is said below"})
		}
	}
	defs, err := e.definitions(x)
	if err != nil {
		return err
	}
	if b := x.data; b != nil {
		x.after = b.flushed
		for _, p := range b.parts {
			if err := e.checkPart(ctx, x, defs, p); err != nil {
				return err
			}
		}
		if b.salvaged != nil && (len(b.salvaged.Damage) > 0 || e.source.data.suspect) {
			for _, id := range b.salvaged.Orphans {
				e.lostPart(x, defs, id)
			}
		}
	}
	return e.eachRecord(ctx, x, defs, func(p Problem) { e.rebuildLog = true; e.damageOf(x, p) }, nil)
}

// definitions returns what the data store's definitions say, mended if need be.
func (e *examination) definitions(x *bucketExam) (*store.Bucket, error) {
	defs := store.NewBucket(1, store.Options{})
	if x.data == nil {
		return defs, nil
	}
	contradiction := error(nil)
	err := x.data.definitions(func(chunk []byte) error {
		contradiction = defs.LoadDefinition(chunk)
		return contradiction
	})
	if err == nil {
		return defs, nil
	}
	if contradiction == nil {
		return nil, err
	}
	// They contradict each other: some are lost.
	defs = store.NewBucket(1, store.Options{})
	x.mended = true
	n := 0
	err = x.data.definitions(func(chunk []byte) error {
		n++
		m := defs.Mend(chunk, nil)
		if m == nil {
			x.definitions = append(x.definitions, slices.Clone(chunk))
			return nil
		}
		x.definitions = append(x.definitions, m.Before...)
		what := "definitions that refer to lost ones"
		if m.Err != nil {
			what = m.Err.Error()
		}
		if m.Record != nil {
			x.definitions = append(x.definitions, m.Record)
		}
		e.damageOf(x, Problem{Place: InData, What: fmt.Sprintf("definitions %d: %s", n, what), Lost: "names of series or fields that cannot be told any more; their points are named below"})
		return nil
	})
	return defs, err
}

// checkPart verifies the blocks of a part.
func (e *examination) checkPart(ctx context.Context, x *bucketExam, defs *store.Bucket, p *disk.Part) error {
	check := defs.CheckPart(p)
	e.report.Parts++
	before, unread, blocks := len(e.report.Problems), 0, 0
	var buf []byte
	for i := range p.Measurements {
		m := &p.Measurements[i]
		for j := range m.Blocks {
			if err := ctx.Err(); err != nil {
				return err
			}
			meta := &m.Blocks[j]
			var err error
			buf, err = x.data.readBlock(p, meta, buf[:0])
			if err != nil && !errors.Is(err, disk.ErrCorrupt) && !errors.Is(err, disk.ErrFailed) {
				return err
			}
			data := buf
			if err != nil {
				data = nil
				unread++
				_ = check.Block(m, meta, nil)
			} else {
				err = check.Block(m, meta, data)
			}
			blocks++
			e.report.Blocks++
			e.report.BlockBytes += int64(meta.Bytes)
			e.report.Rows += int64(meta.Rows)
			e.report.Values += int64(meta.Values)
			e.progress("data store", int64(meta.Bytes))
			if err != nil {
				e.badBlock(x, defs, p, m, meta, data, err)
			}
		}
		if err := check.EndMeasurement(); err != nil {
			for j := range m.Blocks {
				x.faults = append(x.faults, store.Fault{Part: p.ID, Block: m.Blocks[j].Number, Rewrite: true})
			}
			e.damageOf(x, Problem{Place: InData, Part: p.ID, Measurement: defs.DefinedName(m.ID), What: err.Error(), Lost: "nothing"})
		}
	}
	if unread == blocks {
		e.report.Problems = append(e.report.Problems[:before], wholePart(e.report.Problems[before:]))
	}
	return nil
}

// wholePart makes one problem of those of all blocks of a part.
func wholePart(blocks []Problem) Problem {
	all := blocks[0]
	all.Block, all.Measurement, all.Possible = nil, "", false // together they have what the directory says
	all.Series, all.Rows, all.Values = nil, 0, 0
	names := make(map[string]bool)
	for _, b := range blocks {
		all.TimeMin, all.TimeMax = min(all.TimeMin, b.TimeMin), max(all.TimeMax, b.TimeMax)
		all.Rows += b.Rows
		all.Values += b.Values
		all.Series = append(all.Series, b.Series...)
		names[b.Measurement] = true
	}
	slices.Sort(all.Series)
	all.Series = slices.Compact(all.Series)
	all.Lost = fmt.Sprintf("all of the part: %s with %s in %s, of %s", count(all.Rows, "point"), count(all.Values, "value"), count(len(blocks), "block"), count(len(names), "measurement"))
	return all
}

// badBlock reports a block. data is nil if it cannot be read.
func (e *examination) badBlock(x *bucketExam, defs *store.Bucket, p *disk.Part, m *disk.Measurement, meta *disk.BlockMeta, data []byte, err error) {
	number := meta.Number
	problem := Problem{
		Place: InData, Part: p.ID, Block: &number, What: reasonOf(err), Measurement: defs.DefinedName(m.ID),
		TimeMin: meta.TimeMin, TimeMax: meta.TimeMax, Rows: int64(meta.Rows), Values: int64(meta.Values),
	}
	fault := store.Fault{Part: p.ID, Block: number}
	var u *store.Undefined
	if errors.As(err, &u) {
		fault.Rewrite = true
		switch {
		case u.Measurement != 0:
			problem.Lost = fmt.Sprintf("%s of a measurement whose name is lost", count(int(meta.Rows), "point"))
		default:
			problem.Lost = fmt.Sprintf("what of its %s is of %d series or %s whose names are lost", count(int(meta.Rows), "point"), len(u.Series), count(len(u.Fields), "field"))
		}
		problem.Rows, problem.Values = 0, 0
	} else {
		ids, exact := store.BlockSeries(m, meta, data)
		problem.Series, problem.Possible = keysOf(defs, ids), !exact
		problem.Lost = fmt.Sprintf("%s with %s of %s", count(int(meta.Rows), "point"), count(int(meta.Values), "value"), measurementText(problem.Measurement, m.ID))
	}
	x.faults = append(x.faults, fault)
	e.damageOf(x, problem)
}

// reasonOf is what an error says beyond where it is, in one line. The place, the bucket
// and the records are the problem's to name.
func reasonOf(err error) string {
	text := err.Error()
	if c := (*disk.CorruptError)(nil); errors.As(err, &c) {
		text = c.Reason
		if c.Err != nil {
			text += ": " + reasonOf(c.Err)
		}
	}
	for _, general := range []error{disk.ErrCorrupt, catalog.ErrCorrupt, ErrUnfinished} {
		text = strings.TrimPrefix(text, general.Error()+": ")
	}
	line, _, _ := strings.Cut(text, "\n") // Pebble's may have details on others
	return line
}

// fileReason is reasonOf of damage to a file of the store in dir, which it names as it
// is called in the data directory.
func fileReason(dir string, err error) string {
	var f *disk.DamageError
	switch {
	case errors.As(err, &f):
	case errors.Is(err, fs.ErrNotExist):
		return "a file is missing: " + reasonOf(err)
	default:
		return reasonOf(err)
	}
	named := *f
	named.File = filepath.ToSlash(filepath.Join(dir, f.File))
	return reasonOf(&named)
}

func measurementText(name string, id point.MeasurementID) string {
	if name == "" {
		return fmt.Sprintf("measurement %d, whose name is lost", id)
	}
	return fmt.Sprintf("measurement %q", name)
}

// measurementsShown is how many measurements a text names.
const measurementsShown = 5

// measurementsText names measurements, or says how many there are.
func measurementsText(defs *store.Bucket, ids map[point.MeasurementID]bool) string {
	var named []string
	for id := range ids {
		if name := defs.DefinedName(id); name != "" {
			named = append(named, fmt.Sprintf("%q", name))
		}
	}
	var all []string
	switch n := len(named); {
	case n > measurementsShown:
		all = append(all, count(n, "measurement"))
	case n > 0:
		slices.Sort(named)
		all = append(all, english.PluralWord(n, "measurement", "")+" "+strings.Join(named, ", "))
	}
	switch n := len(ids) - len(named); {
	case n == 1:
		all = append(all, "1 measurement whose name is lost")
	case n > 1:
		all = append(all, fmt.Sprintf("%d measurements whose names are lost", n))
	}
	return strings.Join(all, " and ")
}

// keysOf returns the keys of series; of those without one their ids.
func keysOf(defs *store.Bucket, ids []point.SeriesID) []string {
	keys := make([]string, 0, len(ids))
	for _, id := range ids {
		if key := defs.SeriesKey(id); key != nil {
			keys = append(keys, string(key))
		} else {
			keys = append(keys, fmt.Sprintf("(series %d, whose name is lost)", id))
		}
	}
	return keys
}

// lostPart reports a part that has blocks and no directory.
func (e *examination) lostPart(x *bucketExam, defs *store.Bucket, part uint64) {
	problem := Problem{Place: InData, Part: part, What: "the part has no directory: that is lost, or the part was about to be removed"}
	seen := make(map[point.SeriesID]bool)
	measurements := make(map[point.MeasurementID]bool)
	blocks := 0
	err := x.data.salvaged.OrphanBlocks(part, func(_ uint32, data []byte) {
		b, err := block.Parse(data)
		if err != nil {
			return
		}
		lo, hi := b.TimeRange()
		if blocks == 0 {
			problem.TimeMin, problem.TimeMax = lo, hi
		}
		blocks++
		problem.TimeMin, problem.TimeMax = min(problem.TimeMin, lo), max(problem.TimeMax, hi)
		problem.Rows += int64(b.Rows())
		for _, c := range b.Columns() {
			problem.Values += int64(c.Values)
		}
		for _, s := range b.Series() {
			seen[s] = true
		}
		measurements[b.Measurement()] = true
	})
	if err != nil {
		problem.What += ": " + reasonOf(err)
	}
	ids := make([]point.SeriesID, 0, len(seen))
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	problem.Series = keysOf(defs, ids)
	problem.Lost = fmt.Sprintf("%s with %s in %s, of %s", count(problem.Rows, "point"), count(problem.Values, "value"), count(blocks, "block"), measurementsText(defs, measurements))
	e.damageOf(x, problem)
}

// eachRecord goes through the records of a bucket that the data store does not have.
// found is told what is wrong; write, if not nil, gets what can be replayed.
func (e *examination) eachRecord(ctx context.Context, x *bucketExam, defs *store.Bucket, found func(Problem), write func(record []byte) error) error {
	expected := x.after + 1
	var seen func(*point.Table)
	if write == nil {
		seen = func(t *point.Table) {
			e.report.LogRows += int64(t.Rows())
			e.report.LogValues += valuesOf(t)
		}
	}
	unknown := func(first, last uint64) string {
		what := "these records"
		if first == last {
			what = "this record"
		}
		return "what " + what + " wrote, deleted or defined; which points that is cannot be told any more"
	}
	err := e.source.log.Records(ctx, uint64(x.id), 0, func(seq uint64, rec []byte, damage error) error {
		if write == nil {
			e.report.Records++
			e.report.LogBytes += int64(len(rec))
		}
		if seq <= x.after {
			if damage != nil {
				found(Problem{Place: InLog, RecordFirst: seq, RecordLast: seq, What: reasonOf(damage), Lost: "nothing: the data store has it"})
			}
			return nil
		}
		if seq > expected {
			found(Problem{Place: InLog, RecordFirst: expected, RecordLast: seq - 1, What: "missing, and later ones are there", Lost: unknown(expected, seq-1)})
		}
		expected = seq + 1
		if damage != nil {
			found(Problem{Place: InLog, RecordFirst: seq, RecordLast: seq, What: reasonOf(damage), Lost: unknown(seq, seq)})
			return nil
		}
		out := [][]byte{rec}
		if m := defs.Mend(rec, seen); m != nil {
			found(mendProblem(seq, m, defs))
			out = m.Before
			if m.Record != nil {
				out = append(out, m.Record)
			}
		}
		if write == nil {
			return nil
		}
		for _, rec := range out {
			if err := write(rec); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func mendProblem(seq uint64, m *store.Mended, defs *store.Bucket) Problem {
	p := Problem{Place: InLog, RecordFirst: seq, RecordLast: seq, Rows: int64(m.Rows), Values: int64(m.Values)}
	switch {
	case m.Err != nil && m.Rows == 0:
		p.What, p.Lost = m.Err.Error(), "all that the record has"
	case m.Rows+m.Values == 0:
		p.What, p.Lost = "it needs definitions that are lost", "nothing but names that mean nothing without them"
	default:
		p.What = "it has points whose series or fields were defined by what is lost"
		p.Lost = count(m.Rows, "point")
		if m.Values > 0 {
			p.Lost += fmt.Sprintf(", and %s of fields whose names are lost", count(m.Values, "value"))
		}
		p.TimeMin, p.TimeMax = m.TimeMin, m.TimeMax
		var ids []point.SeriesID
		m.Series.Iterate(func(x uint32) bool {
			ids = append(ids, point.SeriesID(x))
			return true
		})
		p.Series = keysOf(defs, ids)
	}
	return p
}

// dataPath is inside the data directory.
func (o *Options) dataPath() string { return filepath.Join(o.Dir, dataDir) }
