package datadir

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"headgate/engine/point"
	"headgate/engine/store"
	"headgate/engine/store/disk"
	"headgate/wal/pebblewal"
)

// RepairOptions configures a Repair.
type RepairOptions struct {
	Options
	// DryRun only reports.
	DryRun bool
	// Confirm is asked before anything is changed; false leaves everything as it is.
	// Default: yes.
	Confirm func(*Report) bool
}

// ErrDeclined is returned by Repair when Confirm says no.
var ErrDeclined = errors.New("datadir: repair declined")

// Repair cuts out what Check reports, and nothing else. What it cuts out, whole files
// where that cannot be told apart, is kept in a folder repaired-TIME of the data
// directory together with the report, until someone removes it. After a crash
// repairing again ends what was begun. When it returns nil the directory is sound
// and can be served. The report is of what was found before.
func Repair(ctx context.Context, o RepairOptions) (*Report, error) {
	o.ensureDefaults()
	if o.Confirm == nil {
		o.Confirm = func(*Report) bool { return true }
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	resumed := false
	if !o.DryRun {
		if resumed, err = resume(o.Dir); errors.Is(err, ErrUnfinished) {
			return nil, err // nothing that a repair could end
		} else if err != nil {
			return nil, fmt.Errorf("datadir: end the repair that was interrupted: %w", err)
		}
	}
	e, err := examine(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	if resumed {
		e.note("an earlier repair had been interrupted; it was ended first")
	}
	if e.report.Sound() || o.DryRun {
		return &e.report, e.source.close()
	}
	if !o.Confirm(&e.report) {
		return &e.report, errors.Join(ErrDeclined, e.source.close())
	}
	r := &repair{examination: e, kept: keptPrefix + o.Now().UTC().Format("20060102T150405.000Z")}
	e.report.Kept = filepath.Join(o.Dir, r.kept)
	err = r.run(ctx)
	err = errors.Join(err, e.source.close())
	if err != nil && !r.begun {
		err = errors.Join(err, os.RemoveAll(r.path()))
		e.report.Kept = ""
	}
	if err != nil {
		return &e.report, fmt.Errorf("datadir: repair %s: %w", o.Dir, err)
	}
	after, err := examine(ctx, o.Options)
	if err != nil {
		return &e.report, fmt.Errorf("datadir: check what was repaired: %w", err)
	}
	if err := after.source.close(); err != nil {
		return &e.report, err
	}
	if !after.report.Sound() {
		return &e.report, fmt.Errorf("datadir: not sound after the repair: %s, the first is: %s", count(len(after.report.Problems), "problem"), after.report.Problems[0])
	}
	return &e.report, nil
}

// repair is a Repair at work.
type repair struct {
	*examination
	kept string // the folder, relative to the data directory
	// begun is set before anything outside of the folder is changed.
	begun bool
}

func (r *repair) path(elem ...string) string {
	return filepath.Join(append([]string{r.o.Dir, r.kept}, elem...)...)
}

func (r *repair) run(ctx context.Context) error {
	if err := os.Mkdir(r.path(), 0o700); err != nil {
		return err
	}
	if err := r.writeReport(); err != nil {
		return err
	}
	s := swaps{Kept: r.kept}
	if r.rebuildCatalog {
		if _, err := r.source.catalog.Adopt(r.adopt, r.o.Now()); err != nil {
			return err
		}
		if err := r.source.catalog.View.WriteTo(r.path(newDir, catalogDir)); err != nil {
			return err
		}
		s.Replace = append(s.Replace, catalogDir)
	}
	if r.rebuildLog {
		if err := r.buildLog(ctx); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		s.Replace = append(s.Replace, logDir)
	}
	target := r.o.dataPath()
	switch {
	case r.source.data.salvaged != nil:
		target = r.path(newDir, dataDir)
		if err := r.source.data.salvaged.Build(ctx, target, r.keep); err != nil {
			return fmt.Errorf("data store: %w", err)
		}
		s.Replace = append(s.Replace, dataDir)
	case r.source.data.missing:
		st, err := disk.Open(disk.Options{Dir: r.path(newDir, dataDir), Logger: r.o.Logger})
		if err != nil {
			return fmt.Errorf("data store: %w", err)
		}
		if err := st.Close(); err != nil {
			return fmt.Errorf("data store: %w", err)
		}
		target = ""
		s.Replace = append(s.Replace, dataDir)
	}
	// What is built aside is cut before it comes into its place; the store that stays
	// in its place, after it is said that something is under way.
	if err := r.source.close(); err != nil {
		return err
	}
	aside := target != r.o.dataPath()
	if !aside {
		r.begun = true
		if err := s.begin(r.o.Dir); err != nil {
			return err
		}
	}
	if target != "" {
		if err := r.cut(ctx, target, !aside); err != nil {
			return fmt.Errorf("data store: %w", err)
		}
	}
	if aside {
		r.begun = true
		if err := s.begin(r.o.Dir); err != nil {
			return err
		}
	}
	return s.finish(r.o.Dir)
}

// keep reports whether a bucket's points are wanted.
func (r *repair) keep(id point.BucketID) bool {
	for _, x := range r.buckets {
		if x.id == id {
			return true
		}
	}
	return false
}

// writeReport keeps the report beside what is cut out.
func (r *repair) writeReport() error {
	var text bytes.Buffer
	r.report.WriteText(&text, true)
	if err := writeSynced(r.path("report.txt"), text.Bytes()); err != nil {
		return err
	}
	b, err := json.MarshalIndent(&r.report, "", "  ")
	if err != nil {
		return err
	}
	return writeSynced(r.path("report.json"), append(b, '\n'))
}

// buildLog writes a new log with every record that can be replayed. What the data
// store has is left out, and the others are numbered without gaps.
func (r *repair) buildLog(ctx context.Context) error {
	w, err := pebblewal.NewWriter(r.path(newDir, logDir), pebblewal.Options{RecordBytesMax: 1 << 30, Logger: r.o.Logger})
	if err != nil {
		return err
	}
	for _, x := range r.buckets {
		seq := x.after
		err := r.recordsOf(ctx, x, func(rec []byte) error {
			seq++
			return w.Append(uint64(x.id), seq, rec)
		})
		if err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return w.Close()
}

// recordsOf calls write with the records of a bucket that its log keeps.
func (r *repair) recordsOf(ctx context.Context, x *bucketExam, write func([]byte) error) error {
	defs := store.NewBucket(1, store.Options{})
	load := func(chunk []byte) error { return defs.LoadDefinition(chunk) }
	switch {
	case x.mended:
		for _, chunk := range x.definitions {
			if err := load(chunk); err != nil {
				return err
			}
		}
	case x.data != nil:
		if err := x.data.definitions(load); err != nil {
			return err
		}
	}
	return r.eachRecord(ctx, x, defs, func(Problem) {}, write)
}

// cut takes what is damaged out of the data store in dir. With keep set it copies
// the parts that it changes.
func (r *repair) cut(ctx context.Context, dir string, keep bool) (err error) {
	work := false
	for _, x := range r.buckets {
		work = work || x.mended || len(x.faults) > 0
	}
	if !work {
		return nil
	}
	st, err := disk.Open(disk.Options{Dir: dir, Logger: r.o.Logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for _, x := range r.buckets {
		if !x.mended && len(x.faults) == 0 {
			continue
		}
		b, err := st.Bucket(x.id)
		if err != nil {
			return err
		}
		if keep {
			if err := r.keepParts(b, x); err != nil {
				return err
			}
		}
		if x.mended {
			if keep {
				if err := r.keepDefinitions(b, x); err != nil {
					return err
				}
			}
			if err := b.Commit(ctx, &disk.Edit{Definitions: x.definitions, ReplaceDefinitions: true}); err != nil {
				return err
			}
		}
		sb, err := store.OpenBucket(1, b, store.Options{})
		if err != nil {
			return err
		}
		err = sb.Cut(ctx, x.faults)
		sb.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// keepParts copies the sstables of the parts that lose something, damage included.
func (r *repair) keepParts(b *disk.Bucket, x *bucketExam) error {
	done := make(map[uint64]bool)
	for _, f := range x.faults {
		if done[f.Part] {
			continue
		}
		done[f.Part] = true
		dir := r.path("parts", x.id.String())
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := b.KeepPart(f.Part, filepath.Join(dir, fmt.Sprintf("part-%d.sst", f.Part))); err != nil && !errors.Is(err, disk.ErrCorrupt) {
			return err
		}
	}
	return nil
}

// keepDefinitions writes down the chunks that are replaced.
func (r *repair) keepDefinitions(b *disk.Bucket, x *bucketExam) error {
	dir := r.path("definitions", x.id.String())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	n := 0
	return b.Definitions(func(chunk []byte) error {
		n++
		return writeSynced(filepath.Join(dir, fmt.Sprintf("%06d", n)), chunk)
	})
}
