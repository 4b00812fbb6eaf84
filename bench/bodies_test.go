package bench

import (
	"bytes"
	"testing"
)

func TestNewBodies(t *testing.T) {
	texts := func(o BodiesOptions) []byte {
		r, err := NewBodies(o)
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for range 3 { // once more than there are
			b := r.Next()
			if b.Points != 30 || b.Values != 300 || bytes.Count(b.Text(), []byte("\n")) != 30 {
				t.Fatalf("%d points, %d values in\n%s", b.Points, b.Values, b.Text())
			}
			all = append(all, b.Text()...)
		}
		return all
	}
	o := BodiesOptions{Hosts: 20, Lines: 30, Bodies: 2}
	one := texts(o)
	if !bytes.Equal(one, texts(o)) {
		t.Error("the same options made different bodies")
	}
	if bytes.Equal(one[:len(one)/3], one[2*len(one)/3:]) {
		t.Error("the second time round has the times of the first")
	}
	o.Seed = 2
	if bytes.Equal(one, texts(o)) {
		t.Error("another seed made the same bodies")
	}
	if _, err := NewBodies(BodiesOptions{Workload: Real}); err == nil {
		t.Error("lines of no file")
	}
}
