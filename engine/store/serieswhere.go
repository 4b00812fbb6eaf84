package store

import "headgate/engine/point"

// SeriesWhere implements [point.Reader] by looking at every series.
func (v *View) SeriesWhere(measurement string, filter *point.TagFilter) ([]point.SeriesInfo, error) {
	return point.FilterSeries(v.Series(measurement), filter), nil
}
