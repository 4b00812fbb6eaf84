package point

import (
	"fmt"
	"testing"
)

func TestColumn(t *testing.T) {
	var table Table
	for round := range 2 {
		for i := range 100 {
			for _, typ := range []FieldType{Float, String} {
				name := fmt.Sprintf("f%d", i)
				c := table.Column([]byte(name), typ)
				if string(c.Name) != name || c.Type != typ {
					t.Fatalf("%s %v: got %s %v", name, typ, c.Name, c.Type)
				}
			}
		}
		if len(table.Columns) != 200 {
			t.Fatalf("round %d: %d columns", round, len(table.Columns))
		}
	}
	table.Columns = table.Columns[:150] // as the engine does when it drops points
	if c := table.Column([]byte("f99"), String); c != table.Columns[150] || len(table.Columns) != 151 {
		t.Fatalf("%d columns", len(table.Columns))
	}
}

func TestAppend(t *testing.T) {
	num, str := Column{Type: Integer}, Column{Type: String}
	for i, row := range []int{0, 1, 1, 4, 4, 5} {
		num.AppendNum(row, uint64(i))
		str.AppendString(row, []byte(fmt.Sprint("s", i)))
	}
	want := [][2]int{{0, 0}, {1, 2}, {4, 4}, {5, 5}} // row, and which was written last
	if num.Len() != len(want) || str.Len() != len(want) {
		t.Fatalf("%d and %d values", num.Len(), str.Len())
	}
	for i, w := range want {
		if num.Row(i) != w[0] || num.Nums[i] != uint64(w[1]) || str.Row(i) != w[0] || string(str.StringAt(i)) != fmt.Sprint("s", w[1]) {
			t.Errorf("value %d: row %d is %d; row %d is %s; want %v", i, num.Row(i), num.Nums[i], str.Row(i), str.StringAt(i), w)
		}
	}
}
