package flux

import (
	"fmt"

	"github.com/influxdata/flux"
	"github.com/influxdata/flux/execute"

	"github.com/apache/arrow/go/arrow/array"
)

// passing is what all transformations have that pass each table on once they have
// processed it.
type passing struct{ dataset *execute.PassthroughDataset }

// RetractTable implements execute.Transformation.
func (p passing) RetractTable(_ execute.DatasetID, key flux.GroupKey) error {
	return p.dataset.RetractTable(key)
}

// UpdateWatermark implements execute.Transformation.
func (p passing) UpdateWatermark(_ execute.DatasetID, mark execute.Time) error {
	return p.dataset.UpdateWatermark(mark)
}

// UpdateProcessingTime implements execute.Transformation.
func (p passing) UpdateProcessingTime(_ execute.DatasetID, t execute.Time) error {
	return p.dataset.UpdateProcessingTime(t)
}

// Finish implements execute.Transformation.
func (p passing) Finish(_ execute.DatasetID, err error) { p.dataset.Finish(err) }

// columnOf is a column of some rows.
func columnOf(cr flux.ColReader, j int) array.Interface {
	switch typ := cr.Cols()[j].Type; typ {
	case flux.TBool:
		return cr.Bools(j)
	case flux.TInt:
		return cr.Ints(j)
	case flux.TUInt:
		return cr.UInts(j)
	case flux.TFloat:
		return cr.Floats(j)
	case flux.TString:
		return cr.Strings(j)
	case flux.TTime:
		return cr.Times(j)
	default:
		panic(fmt.Sprintf("column %q is of the type %s", cr.Cols()[j].Label, typ))
	}
}
