package store

import (
	"context"
	"fmt"
	"math"
	"slices"

	"headgate/engine/point"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
)

// Compaction merges parts of one window into fewer, larger ones, the newest value
// of a (series, time, field) winning. CompactPartsMin neighbours are merged when none
// of them is much of the whole, so that a byte is rewritten about once for every
// sixteenfold growth, and no less than fourfold. Where sizes are such that too many parts
// remain, those are merged that cost least for each part less. A window that has had no new parts for some time
// is brought down to one or two. What is merged is adjacent in the log's order among
// all parts that overlap it in time: else the result would be neither older nor newer
// than what lies between. If that is a part of a wider window, it is first written
// again in narrower ones.

const (
	// compactShareMax is how much of what is merged may be one part: one in so many.
	// A larger one would be written again and again for the sake of small ones.
	compactShareMax = 4
	// compactPartsMany is how many parts of a window are too many: then those are
	// merged that cost least, whatever their sizes.
	compactPartsMany = 48
	// compactQuietShare is how small the others may be, beside the largest part, for a
	// quiet window to be merged: one in so many.
	compactQuietShare = 16
	// compactPartsMax bounds how many parts are merged at once, and with them the
	// memory: about one decoded block each.
	compactPartsMax = 16
)

// Compact merges parts once, if any should be, and reports whether it has. With
// all set it merges whatever can be merged, so that calling it until it reports
// false leaves as few parts as there can be. It may be cancelled. Flushes and
// deletes go on meanwhile; should one of them change what is being merged, the
// result is thrown away.
func (b *Bucket) Compact(ctx context.Context, all bool) (bool, error) {
	b.compacting.Lock()
	defer b.compacting.Unlock()
	b.mu.Lock()
	v := b.version
	if v != nil {
		v.Retain()
	}
	b.mu.Unlock()
	if v == nil {
		return false, ErrBucketClosed
	}
	defer v.Release()
	room := &compactRoom{ask: b.o.CompactionRoom}
	inputs := b.pick(v.Parts(), all, room)
	if inputs == nil {
		if p := b.pickExpired(v.Parts(), room); p != nil {
			inputs = []*disk.Part{p}
		}
	}
	if inputs == nil && room.err != nil {
		return false, fmt.Errorf("compact: %w", room.err)
	}
	if inputs == nil {
		return false, nil
	}
	if err := b.compact(ctx, v, inputs); err != nil {
		return false, fmt.Errorf("compact: %w", err)
	}
	return true, nil
}

// compactRoom finds out what fits on the disk, asking no more often than it must. What
// does not fit is left alone, and keeps nothing smaller from being merged.
type compactRoom struct {
	ask   func(bytes int64) error // Options.CompactionRoom
	most  int64                   // fits
	least int64                   // does not, if err is why
	err   error
}

func (r *compactRoom) fits(bytes int64) bool {
	switch {
	case bytes <= r.most:
		return true
	case r.err != nil && bytes >= r.least:
		return false
	}
	if err := r.ask(bytes); err != nil {
		r.least, r.err = bytes, err
		return false
	}
	r.most = bytes
	return true
}

// pick chooses the parts to merge, or one to be written again in narrower windows;
// nil for none. parts are by SeqMax.
func (b *Bucket) pick(parts []*disk.Part, all bool, room *compactRoom) []*disk.Part {
	windows := make(map[window][]*disk.Part)
	var order []window
	for _, p := range parts {
		w := windowOfPart(p)
		if windows[w] == nil {
			order = append(order, w)
		}
		windows[w] = append(windows[w], p)
	}
	cutoff := b.cutoff()
	var narrow *disk.Part
	for _, w := range order {
		if w.max < cutoff {
			continue // about to expire
		}
		run := b.pickRun(windows[w], all, b.quiet(w), room)
		if len(run) < 2 {
			continue
		}
		between := blocker(run, parts)
		if between == nil {
			return run
		}
		for _, p := range [...]*disk.Part{between, run[0]} {
			if narrow == nil && b.tooWide(p, cutoff) && room.fits(p.Bytes) {
				narrow = p
			}
		}
	}
	for _, p := range parts {
		if narrow != nil {
			return []*disk.Part{narrow}
		}
		if w := windowOfPart(p); w.max >= cutoff && b.tooWide(p, cutoff) && (all || b.quiet(w)) && sharesTime(p, parts) && room.fits(p.Bytes) {
			narrow = p
		}
	}
	if narrow != nil {
		return []*disk.Part{narrow}
	}
	return nil
}

// tooWide reports whether writing a part again would put it into narrower windows.
func (b *Bucket) tooWide(p *disk.Part, cutoff int64) bool {
	w := windowOfPart(p)
	return b.outputWindows(w, max(p.TimeMin, cutoff), p.TimeMax)[0] != w
}

// sharesTime reports whether a part overlaps one of another window.
func sharesTime(p *disk.Part, parts []*disk.Part) bool {
	w := windowOfPart(p)
	return slices.ContainsFunc(parts, func(q *disk.Part) bool {
		return windowOfPart(q) != w && q.TimeMin <= p.TimeMax && q.TimeMax >= p.TimeMin
	})
}

func windowOfPart(p *disk.Part) window { return window{p.WindowMin, p.WindowMax} }

// touch notes that windows have new parts.
func (b *Bucket) touch(windows []window) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	for w, at := range b.touched {
		if now.Sub(at) >= b.o.CompactQuiet {
			delete(b.touched, w)
		}
	}
	for _, w := range windows {
		b.touched[w] = now
	}
}

// quiet reports whether a window has had no new parts for some time.
func (b *Bucket) quiet(w window) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.touched[w]
	if !ok {
		at = b.opened
	}
	return b.o.Now().Sub(at) >= b.o.CompactQuiet
}

// pickExpired chooses a part to be written again without what has expired, and in
// narrower windows: one that has more than a window of expired points, and more of
// those than others. Such parts come from times when the retention period was
// longer.
func (b *Bucket) pickExpired(parts []*disk.Part, room *compactRoom) *disk.Part {
	cutoff := b.cutoff()
	width := windowWidth(b.retention.Load())
	for _, p := range parts {
		if p.TimeMin >= cutoff || p.TimeMax < cutoff {
			continue
		}
		// Times may be so far apart that only unsigned numbers hold the difference.
		expired, left := uint64(cutoff)-uint64(p.TimeMin), uint64(p.TimeMax)-uint64(cutoff)
		if expired > uint64(width) && expired > left && room.fits(p.Bytes) {
			return p
		}
	}
	return nil
}

// pickRun chooses neighbours among the parts of one window: the longest run of
// parts none of which is much of the whole. A window that is quiet does not wait for
// CompactPartsMin of them, nor for the largest's like. A part that is full already is
// left alone.
func (b *Bucket) pickRun(parts []*disk.Part, all, quiet bool, room *compactRoom) []*disk.Part {
	var best []*disk.Part
	open := 0 // those that may be merged
	for _, p := range parts {
		if p.Bytes < b.o.PartBytesMax/2 {
			open++
		}
	}
	many := open > compactPartsMany
	cost := int64(math.MaxInt64) // of the best, when there are too many
	for lo := range parts {
		var bytes, largest int64
		for hi := lo; hi < len(parts) && hi-lo < compactPartsMax; {
			p := parts[hi]
			bytes += p.Bytes
			largest = max(largest, p.Bytes)
			if p.Bytes >= b.o.PartBytesMax/2 || bytes > b.o.PartBytesMax {
				break
			}
			hi++
			n := hi - lo
			if n < 2 || !whole(parts, lo, hi) {
				continue
			}
			if many {
				if c := bytes / int64(n-1); c < cost && room.fits(bytes) {
					best, cost = parts[lo:hi], c
				}
				continue
			}
			if n <= len(best) {
				continue
			}
			if (all || quiet && largest/compactQuietShare <= bytes-largest || n >= b.o.CompactPartsMin && largest <= bytes/compactShareMax) && room.fits(bytes) {
				best = parts[lo:hi]
			}
		}
	}
	return best
}

// whole reports whether parts[lo:hi] does not end among parts of one flush or
// compaction that began after lo: what is merged would be newer than those that are
// left out, and some of it is older.
func whole(parts []*disk.Part, lo, hi int) bool {
	last := parts[hi-1].SeqMax
	return hi == len(parts) || parts[hi].SeqMax != last || parts[lo].SeqMax == last
}

// blocker finds a part that overlaps the run in time and is neither older than all of
// the run nor newer than all of it; nil for none. Of two parts the one with the higher
// SeqMax is newer, and the result has the run's highest. Parts with the same SeqMax
// came from one flush or compaction and have no points in common.
func blocker(run, parts []*disk.Part) *disk.Part {
	in := make(map[*disk.Part]bool, len(run))
	timeMin, timeMax := int64(math.MaxInt64), int64(math.MinInt64)
	for _, p := range run {
		in[p] = true
		timeMin, timeMax = min(timeMin, p.TimeMin), max(timeMax, p.TimeMax)
	}
	oldest, newest := run[0].SeqMax, run[len(run)-1].SeqMax
	for _, p := range parts {
		if !in[p] && p.TimeMin <= timeMax && p.TimeMax >= timeMin && oldest < p.SeqMax && p.SeqMax <= newest {
			return p
		}
	}
	return nil
}

// compact merges inputs, which are by SeqMax, without what has expired. Under
// compacting.
func (b *Bucket) compact(ctx context.Context, v *disk.Version, inputs []*disk.Part) (err error) {
	c := &compaction{b: b, version: v, inputs: inputs, cutoff: b.cutoff(), seqMin: math.MaxUint64}
	defer func() {
		if err != nil {
			abortAll(c.writers)
		}
	}()
	w := windowOfPart(inputs[0])
	timeMin, timeMax := int64(math.MaxInt64), int64(math.MinInt64)
	for _, p := range inputs {
		c.seqMin, c.seqMax, c.level = min(c.seqMin, p.SeqMin), max(c.seqMax, p.SeqMax), max(c.level, p.Level)
		timeMin, timeMax = min(timeMin, p.TimeMin), max(timeMax, p.TimeMax)
		for i := range p.Measurements {
			c.ids = append(c.ids, p.Measurements[i].ID)
		}
	}
	slices.Sort(c.ids)
	c.ids = slices.Compact(c.ids)
	c.level = min(c.level, math.MaxUint8-1) + 1
	for _, w := range b.outputWindows(w, max(timeMin, c.cutoff), timeMax) {
		if err := c.window(ctx, w); err != nil {
			return err
		}
	}
	if err := b.begin(); err != nil {
		return err
	}
	defer b.jobs.Unlock()
	if !hasParts(b.version, inputs) {
		abortAll(c.writers)
		return nil
	}
	if err := b.commit(ctx, &disk.Edit{Remove: inputs}, c.writers, 0); err != nil {
		return err
	}
	b.io.compactions.Add(1)
	for _, w := range c.writers {
		b.io.compactedValues.Add(w.values)
		b.io.compactedBytes.Add(w.bytes)
	}
	return nil
}

// outputWindows is the windows into which points of w between lo and hi go: w
// itself, or narrower ones if it is wider than windows are now, because the retention
// period has become shorter or points of many windows have come at once.
func (b *Bucket) outputWindows(w window, lo, hi int64) []window {
	width := windowWidth(b.retention.Load())
	for lo <= hi && uint64(w.max)-uint64(w.min) >= uint64(width) {
		var out []window
		for next := windowOf(lo, width); len(out) < windowsMax; next = windowOf(next.max+1, width) {
			out = append(out, next)
			if next.max >= hi {
				return out
			}
		}
		if width > math.MaxInt64/8 {
			break
		}
		width *= 8
	}
	return []window{w}
}

// compaction is one merge under way.
type compaction struct {
	b       *Bucket
	version *disk.Version
	inputs  []*disk.Part
	ids     []point.MeasurementID
	cutoff  int64

	seqMin, seqMax uint64
	level          uint8
	writers        []*partWriter
}

// window merges what the inputs have in w.
func (c *compaction) window(ctx context.Context, w window) error {
	filter := &rowFilter{min: max(w.min, c.cutoff)}
	if w.max < math.MaxInt64 {
		filter.deletes = []rowDelete{{min: w.max + 1, max: math.MaxInt64}}
	}
	var out *partWriter
	for _, id := range c.ids {
		var sources []rowSource
		for _, p := range c.inputs {
			if m := measurementOf(p, id); m != nil {
				sources = append(sources, newBlockSource(c.version, p, m, w))
			}
		}
		err := mergeRows(ctx, sources, filter, &c.b.compactScratch.merger, func(r *block.Rows) error {
			if c.b.isClosed() {
				return ErrBucketClosed
			}
			if out == nil || out.bytes >= c.b.o.PartBytesMax {
				out = c.b.newPart(&c.b.compactScratch, w, c.seqMin, c.seqMax, c.level, block.Best)
				c.writers = append(c.writers, out)
			}
			return out.add(id, r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hasParts reports whether all of parts are in v, as they were.
func hasParts(v *disk.Version, parts []*disk.Part) bool {
	for _, p := range parts {
		if !slices.Contains(v.Parts(), p) {
			return false
		}
	}
	return true
}

// Expire drops the parts whose points have all expired and returns how many.
func (b *Bucket) Expire(ctx context.Context) (int, error) {
	if err := b.begin(); err != nil {
		return 0, err
	}
	defer b.jobs.Unlock()
	cutoff := b.cutoff()
	var old []*disk.Part
	for _, p := range b.version.Parts() {
		if p.TimeMax < cutoff {
			old = append(old, p)
		}
	}
	if len(old) == 0 {
		return 0, nil
	}
	if err := b.commit(ctx, &disk.Edit{Remove: old}, nil, 0); err != nil {
		return 0, fmt.Errorf("expire: %w", err)
	}
	b.io.expiredParts.Add(int64(len(old)))
	return len(old), nil
}

// blockSource decodes the blocks of a part's measurement one after the other.
type blockSource struct {
	version *disk.Version
	part    *disk.Part
	blocks  []disk.BlockMeta
	window  window

	buf     []byte
	block   block.Block
	rows    block.Rows
	columns []*point.Column
}

// newBlockSource reads the blocks that have points in w.
func newBlockSource(v *disk.Version, p *disk.Part, m *disk.Measurement, w window) *blockSource {
	return &blockSource{version: v, part: p, blocks: m.Blocks, window: w}
}

// next implements rowSource.
func (s *blockSource) next() (*block.Rows, error) {
	for len(s.blocks) > 0 && (s.blocks[0].TimeMax < s.window.min || s.blocks[0].TimeMin > s.window.max) {
		s.blocks = s.blocks[1:]
	}
	if len(s.blocks) == 0 {
		return nil, nil
	}
	number := s.blocks[0].Number
	s.blocks = s.blocks[1:]
	if err := s.decode(number); err != nil {
		return nil, fmt.Errorf("part %d, block %d: %w", s.part.ID, number, err)
	}
	return &s.rows, nil
}

func (s *blockSource) decode(number uint32) (err error) {
	if s.buf, err = s.version.ReadBlock(s.part, number, s.buf[:0]); err != nil {
		return err
	}
	if err = s.block.Reset(s.buf); err != nil {
		return err
	}
	s.rows.Series, s.rows.Ends = s.block.Series(), s.block.Ends()
	if s.rows.Times, err = s.block.Times(s.rows.Times[:0]); err != nil {
		return err
	}
	n := len(s.block.Columns())
	for len(s.columns) < n {
		s.columns = append(s.columns, new(point.Column))
	}
	s.rows.Columns = s.columns[:n]
	for i := range n {
		if err = s.block.Column(i, s.columns[i]); err != nil {
			return err
		}
	}
	return nil
}
