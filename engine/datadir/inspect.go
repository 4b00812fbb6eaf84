package datadir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/engine/point"
	"headgate/engine/store"
	"headgate/engine/store/block"
	"headgate/engine/store/disk"
)

// InspectOptions says what to tell.
type InspectOptions struct {
	Options
	// Bucket is a bucket's name or id; empty stands for all.
	Bucket string
	// Series, Parts and Blocks are lists that are long. Blocks reads every block.
	Series, Parts, Blocks bool
	// Damaged is told of what is damaged in log and data store, before anything is read:
	// what Inspect returns is then what can be read nevertheless. Default: nothing.
	Damaged func(what string)
}

// BucketInfo is what is known of one bucket. Bytes are on disk.
type BucketInfo struct {
	ID              point.BucketID `json:"id"`
	Name            string         `json:"name"`
	Organization    string         `json:"organization"`
	RetentionPeriod time.Duration  `json:"retention_ns"`
	// Flushed is the last record of the log that is in the data store. LogRecords come
	// after it.
	Flushed    uint64 `json:"flushed"`
	LogRecords int64  `json:"log_records"`
	LogBytes   int64  `json:"log_bytes"`
	LogSizes
	Measurements []MeasurementInfo `json:"measurements"`
	Windows      []WindowInfo      `json:"windows"`
	Sizes
	SeriesKeys []string    `json:"series_keys,omitempty"`
	Parts      []PartInfo  `json:"parts,omitempty"`
	Blocks     []BlockInfo `json:"blocks,omitempty"`
}

// LogSizes are of what the log has and the data store has not yet: what was written,
// also if it was overwritten or deleted since.
type LogSizes struct {
	LogPoints int64 `json:"log_points"`
	LogValues int64 `json:"log_values"`
}

func (s *LogSizes) add(t *point.Table) {
	s.LogPoints += int64(t.Rows())
	s.LogValues += valuesOf(t)
}

// valuesOf counts the values of a table.
func valuesOf(t *point.Table) (n int64) {
	for _, c := range t.Columns {
		n += int64(c.Len())
	}
	return n
}

// Sizes are of what is in the data store; what only the log has is in LogSizes.
// Series are all that are defined.
type Sizes struct {
	Series        int64   `json:"series"`
	Blocks        int64   `json:"block_count"`
	Points        int64   `json:"points"`
	Values        int64   `json:"values"`
	Bytes         int64   `json:"bytes"`
	BytesPerValue float64 `json:"bytes_per_value"`
}

func (s *Sizes) add(rows, values, bytes int64) {
	s.Points += rows
	s.Values += values
	s.Bytes += bytes
	if s.Values > 0 {
		s.BytesPerValue = float64(s.Bytes) / float64(s.Values)
	}
}

// MeasurementInfo is a measurement.
type MeasurementInfo struct {
	Name   string      `json:"name"`
	Fields []FieldInfo `json:"fields"`
	LogSizes
	Sizes
}

// FieldInfo is a field.
type FieldInfo struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// WindowInfo is a range of time whose points share parts.
type WindowInfo struct {
	Min   time.Time `json:"min"`
	Max   time.Time `json:"max"`
	Parts int       `json:"parts"`
	Sizes
}

// PartInfo is a part.
type PartInfo struct {
	ID        uint64    `json:"id"`
	Level     uint8     `json:"level"`
	WindowMin time.Time `json:"window_min"`
	TimeMin   time.Time `json:"min"`
	TimeMax   time.Time `json:"max"`
	SeqMin    uint64    `json:"record_first"`
	SeqMax    uint64    `json:"record_last"`
	Sizes
}

// BlockInfo is a block.
type BlockInfo struct {
	Part        uint64        `json:"part"`
	Number      uint32        `json:"block"`
	Measurement string        `json:"measurement"`
	SeriesFirst string        `json:"series_first"`
	SeriesLast  string        `json:"series_last"`
	TimeMin     time.Time     `json:"min"`
	TimeMax     time.Time     `json:"max"`
	Points      int           `json:"points"`
	Bytes       int           `json:"bytes"`
	Sections    []SectionInfo `json:"sections"`
	Err         string        `json:"error,omitempty"`
}

// SectionInfo is a section of a block and how it is stored.
type SectionInfo struct {
	Name     string `json:"name"`
	Type     string `json:"type,omitempty"`
	Values   int    `json:"values"`
	Bytes    int    `json:"bytes"`
	Encoding string `json:"encoding"`
}

// Inspect describes the buckets of a data directory that no server has open, by name.
// It changes nothing. Of a directory with damage it describes what can be read, see
// InspectOptions.Damaged, or refuses it if that makes no sense: Check tells of it.
func Inspect(ctx context.Context, o InspectOptions) ([]BucketInfo, error) {
	o.ensureDefaults()
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	s, err := open(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	if o.Damaged != nil {
		for _, err := range s.log.Damage() {
			o.Damaged(fileReason(logDir, err))
		}
		for _, err := range s.data.damage {
			o.Damaged(fileReason(dataDir, err))
		}
	}
	var all []BucketInfo
	for _, b := range s.catalog.View.Buckets(0) {
		if o.Bucket != "" && o.Bucket != b.Name && !strings.EqualFold(o.Bucket, b.ID.String()) {
			continue
		}
		info := BucketInfo{ID: b.ID, Name: b.Name, RetentionPeriod: b.RetentionPeriod}
		if org, ok := s.catalog.View.Organization(b.OrgID); ok {
			info.Organization = org.Name
		}
		if err := s.inspect(ctx, &o, &info); err != nil {
			return nil, errors.Join(fmt.Errorf("datadir: inspect bucket %q: %w", b.Name, err), s.close())
		}
		all = append(all, info)
	}
	if o.Bucket != "" && len(all) == 0 {
		return nil, errors.Join(fmt.Errorf("datadir: no bucket has the name or id %q", o.Bucket), s.close())
	}
	slices.SortStableFunc(all, func(a, b BucketInfo) int {
		return cmp.Or(strings.Compare(a.Organization, b.Organization), strings.Compare(a.Name, b.Name))
	})
	return all, s.close()
}

func (s *source) inspect(ctx context.Context, o *InspectOptions, info *BucketInfo) error {
	defs := store.NewBucket(1, store.Options{})
	data := s.data.buckets[info.ID]
	if data != nil {
		if err := data.definitions(defs.LoadDefinition); err != nil {
			return err
		}
		info.Flushed = data.flushed
	}
	logged := make(map[point.MeasurementID]LogSizes)
	err := s.log.Records(ctx, uint64(info.ID), info.Flushed, func(seq uint64, rec []byte, damage error) error {
		if damage != nil {
			return fmt.Errorf("log: record %d: %w", seq, damage)
		}
		info.LogRecords++
		info.LogBytes += int64(len(rec))
		return defs.CheckRecord(rec, func(t *point.Table) {
			info.LogSizes.add(t)
			m := logged[t.ID]
			m.add(t)
			logged[t.ID] = m
		})
	})
	if err != nil {
		return err
	}
	index := make(map[point.MeasurementID]int)
	info.Measurements, info.Windows = []MeasurementInfo{}, []WindowInfo{}
	for _, m := range defs.Measurements() {
		index[m.ID] = len(info.Measurements)
		mi := MeasurementInfo{Name: m.Name, Fields: []FieldInfo{}, LogSizes: logged[m.ID]}
		mi.Series = int64(m.Series)
		info.Series += int64(m.Series)
		for _, f := range m.Fields {
			mi.Fields = append(mi.Fields, FieldInfo{f.Name, f.Type.String()})
		}
		info.Measurements = append(info.Measurements, mi)
	}
	if data != nil {
		if err := data.inspect(ctx, o, info, defs, index); err != nil {
			return err
		}
	}
	slices.SortFunc(info.Measurements, func(a, b MeasurementInfo) int { return strings.Compare(a.Name, b.Name) })
	if o.Series {
		defs.EachSeries(func(_ point.SeriesID, _ point.MeasurementID, key []byte) bool {
			info.SeriesKeys = append(info.SeriesKeys, string(key))
			return true
		})
		slices.Sort(info.SeriesKeys)
	}
	return nil
}

func utc(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// inspect adds what is in the parts.
func (b *dataBucket) inspect(ctx context.Context, o *InspectOptions, info *BucketInfo, defs *store.Bucket, index map[point.MeasurementID]int) error {
	windows := make(map[[2]int64]*WindowInfo)
	for _, p := range b.parts {
		part := PartInfo{ID: p.ID, Level: p.Level, WindowMin: utc(p.WindowMin), TimeMin: utc(p.TimeMin), TimeMax: utc(p.TimeMax), SeqMin: p.SeqMin, SeqMax: p.SeqMax}
		key := [2]int64{p.WindowMin, p.WindowMax}
		w := windows[key]
		if w == nil {
			w = &WindowInfo{Min: utc(p.WindowMin), Max: utc(p.WindowMax)}
			windows[key] = w
		}
		w.Parts++
		for i := range p.Measurements {
			m := &p.Measurements[i]
			part.Series += int64(m.Series.GetCardinality())
			for j := range m.Blocks {
				meta := &m.Blocks[j]
				rows, values, bytes := int64(meta.Rows), int64(meta.Values), int64(meta.Bytes)
				for _, s := range []*Sizes{&info.Sizes, &w.Sizes, &part.Sizes} {
					s.Blocks++
					s.add(rows, values, bytes)
				}
				if at, ok := index[m.ID]; ok {
					info.Measurements[at].Blocks++
					info.Measurements[at].Sizes.add(rows, values, bytes)
				}
				if o.Blocks {
					if err := ctx.Err(); err != nil {
						return err
					}
					info.Blocks = append(info.Blocks, b.describe(p, m, meta, defs))
				}
			}
		}
		if o.Parts {
			info.Parts = append(info.Parts, part)
		}
	}
	for _, w := range windows {
		info.Windows = append(info.Windows, *w)
	}
	slices.SortFunc(info.Windows, func(a, b WindowInfo) int { return cmp.Or(a.Min.Compare(b.Min), a.Max.Compare(b.Max)) })
	return nil
}

// describe reads a block and says how it is stored.
func (b *dataBucket) describe(p *disk.Part, m *disk.Measurement, meta *disk.BlockMeta, defs *store.Bucket) BlockInfo {
	info := BlockInfo{
		Part: p.ID, Number: meta.Number, Measurement: defs.DefinedName(m.ID), TimeMin: utc(meta.TimeMin), TimeMax: utc(meta.TimeMax),
		SeriesFirst: string(defs.SeriesKey(meta.SeriesMin)), SeriesLast: string(defs.SeriesKey(meta.SeriesMax)),
		Points: int(meta.Rows), Bytes: int(meta.Bytes), Sections: []SectionInfo{},
	}
	data, err := b.readBlock(p, meta, nil)
	var parsed *block.Block
	if err == nil {
		parsed, err = block.Parse(data)
	}
	var sections []block.SectionInfo
	if err == nil {
		sections, err = parsed.Describe()
	}
	if err != nil {
		info.Err = err.Error()
		return info
	}
	columns := parsed.Columns()
	for _, s := range sections {
		x := SectionInfo{Name: s.Name, Values: s.Values, Bytes: s.Bytes, Encoding: s.Encoding}
		if s.Type.Valid() && len(columns) > 0 {
			if name := defs.DefinedField(m.ID, columns[0].Field); name != "" {
				x.Name = fmt.Sprintf("field %q", name)
			}
			x.Type = s.Type.String()
			columns = columns[1:]
		}
		info.Sections = append(info.Sections, x)
	}
	return info
}
