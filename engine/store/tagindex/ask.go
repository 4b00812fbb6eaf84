package tagindex

import (
	"context"
	"hash/maphash"
	"maps"
	"regexp"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"headgate/engine/point"
)

// All is every series of a measurement.
func (x *Index) All(id point.MeasurementID) *roaring.Bitmap {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m := x.measurement(id); m != nil {
		return m.all.clone()
	}
	return roaring.New()
}

// read calls f with a measurement that may be read meanwhile, unless nothing is
// known of it. f must not ask the index.
func (x *Index) read(id point.MeasurementID, f func(*measurement)) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if m := x.measurement(id); m != nil {
		m.mu.RLock()
		defer m.mu.RUnlock()
		f(m)
	}
}

// Equal is the series whose tag has the value; with value "", those without the
// tag.
func (x *Index) Equal(m point.MeasurementID, name, value string) *roaring.Bitmap {
	return x.EqualAny(m, name, []string{value})
}

// NotEqual is all other series: with a value, those without the tag are among them.
func (x *Index) NotEqual(m point.MeasurementID, name, value string) *roaring.Bitmap {
	all := x.All(m) // first: later series are then in neither, or only in the other
	all.AndNot(x.Equal(m, name, value))
	return all
}

// Has is the series that have the tag.
func (x *Index) Has(m point.MeasurementID, name string) *roaring.Bitmap {
	return x.NotEqual(m, name, "")
}

// EqualAny is the series whose tag has one of the values, of which "" is that of
// series without the tag.
func (x *Index) EqualAny(id point.MeasurementID, name string, values []string) *roaring.Bitmap {
	ids := roaring.New()
	x.read(id, func(m *measurement) {
		if m.few() {
			wanted := make(map[string]bool, len(values))
			for _, v := range values {
				wanted[v] = true
			}
			m.lookThrough(x, name, func(id uint32, value string) {
				if wanted[value] {
					ids.Add(id)
				}
			})
			return
		}
		t := m.tags[name]
		for _, value := range values {
			if value == "" {
				m.addWithout(t, ids)
			} else if t != nil {
				t.addEqual(x, value, ids)
			}
		}
	})
	return ids
}

// Matches is the series whose tag matches re. If re matches "", those without the
// tag are among them. An expression that only a few values can match, such as
// ^(a|b)$, costs no more than they do; otherwise every value of the tag is
// tried. It fails only when ctx ends.
func (x *Index) Matches(ctx context.Context, id point.MeasurementID, name string, re *regexp.Regexp) (*roaring.Bitmap, error) {
	if values, ok := literals(re); ok {
		return x.EqualAny(id, name, values), nil
	}
	ids := roaring.New()
	match := re.MatchString
	var single *roaring.Bitmap
	x.read(id, func(m *measurement) {
		if m.few() {
			m.lookThrough(x, name, func(id uint32, value string) {
				if match(value) {
					ids.Add(id)
				}
			})
			return
		}
		t := m.tags[name]
		if match("") {
			m.addWithout(t, ids)
		}
		if t == nil {
			return
		}
		for i := range t.multi {
			if ctx.Err() == nil && match(t.multi[i].value) {
				t.multi[i].ids.addTo(ids)
			}
		}
		single = t.single.Clone()
	})
	if single != nil {
		var matched []uint32
		err := x.eachValue(ctx, name, single, func(id uint32, value string) {
			if match(value) {
				matched = append(matched, id)
			}
		})
		if err != nil {
			return nil, err
		}
		ids.AddMany(matched)
	}
	return ids, ctx.Err()
}

// NotMatches is all other series than Matches.
func (x *Index) NotMatches(ctx context.Context, id point.MeasurementID, name string, re *regexp.Regexp) (*roaring.Bitmap, error) {
	all := x.All(id)
	ids, err := x.Matches(ctx, id, name, re)
	if err != nil {
		return nil, err
	}
	all.AndNot(ids)
	return all, nil
}

// TagKeys lists the tag keys that the series in within have, sorted; nil stands
// for every series of the measurement.
func (x *Index) TagKeys(id point.MeasurementID, within *roaring.Bitmap) []string {
	names := make(map[string]struct{})
	x.read(id, func(m *measurement) {
		if !m.few() {
			for name, t := range m.tags {
				if within == nil || t.has.intersects(within) {
					names[name] = struct{}{}
				}
			}
			return
		}
		for _, id := range m.all.tail {
			if within != nil && !within.Contains(id) {
				continue
			}
			_, key := x.keyOf(point.SeriesID(id))
			tagsOf(key, func(name, value string) bool {
				if value != "" {
					names[name] = struct{}{}
				}
				return true
			})
		}
	})
	return slices.Sorted(maps.Keys(names))
}

// TagValues lists the values that the series in within have for the tag, sorted;
// nil stands for every series of the measurement. It fails only when ctx ends.
func (x *Index) TagValues(ctx context.Context, id point.MeasurementID, name string, within *roaring.Bitmap) ([]string, error) {
	var values []string
	var rest *roaring.Bitmap // series whose keys are to be looked at
	x.read(id, func(m *measurement) {
		t := m.tags[name]
		switch {
		case m.few():
			rest = m.all.clone()
		case t == nil:
			return
		case within != nil && within.GetCardinality() <= uint64(len(t.multi)):
			rest = t.has.clone()
		default:
			for i := range t.multi {
				if within == nil || t.multi[i].ids.intersects(within) {
					values = append(values, t.multi[i].value)
				}
			}
			rest = t.single.Clone()
		}
		if within != nil {
			rest.And(within)
		}
	})
	if rest == nil {
		return nil, nil
	}
	err := x.eachValue(ctx, name, rest, func(_ uint32, value string) {
		if value != "" {
			values = append(values, value)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}

// eachValue calls f with each of ids and its value of the tag, "" for none. It
// holds no mutex.
func (x *Index) eachValue(ctx context.Context, name string, ids *roaring.Bitmap, f func(id uint32, value string)) error {
	tag := newTagName(name)
	n := 0
	for it := ids.Iterator(); it.HasNext(); n++ {
		if n&0xfff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		id := it.Next()
		if _, key := x.keyOf(point.SeriesID(id)); key != nil {
			f(id, tag.valueIn(key))
		}
	}
	return nil
}

// lookThrough calls f for each series of a measurement that has few.
func (m *measurement) lookThrough(x *Index, name string, f func(id uint32, value string)) {
	tag := newTagName(name)
	for _, id := range m.all.tail {
		if _, key := x.keyOf(point.SeriesID(id)); key != nil {
			f(id, tag.valueIn(key))
		}
	}
}

// addWithout adds the series without the tag t, which is nil if none has it.
func (m *measurement) addWithout(t *tag, ids *roaring.Bitmap) {
	without := m.all.clone()
	if t != nil {
		t.has.removeFrom(without)
	}
	ids.Or(without)
}

// addEqual adds the series that have the value.
func (t *tag) addEqual(x *Index, value string, ids *roaring.Bitmap) {
	slot, found := t.find(x, maphash.String(x.seed, value), value)
	if !found {
		return
	}
	if ref := uint32(t.slots[slot]); ref&multiBit != 0 {
		t.multi[ref&^multiBit].ids.addTo(ids)
	} else {
		ids.Add(ref)
	}
}
