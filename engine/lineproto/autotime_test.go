package lineproto

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

func TestAutoPrecision(t *testing.T) {
	const now = 1700000000123456789
	for _, c := range []struct{ sent, want string }{
		{"", "1700000000123456789"}, {" 0", "0"}, {" -0", "0"}, {" 00000000", "0"},
		{" 100000000", "100000000000000000"}, {" 1700000000", "1700000000000000000"}, {" 9223372036", "9223372036000000000"},
		{" 100000000000", "100000000000000000"}, {" 1700000000123", "1700000000123000000"}, {" 9223372036854", "9223372036854000000"},
		{" 100000000000000", "100000000000000000"}, {" 1700000000123456", "1700000000123456000"}, {" 9223372036854775", "9223372036854775000"},
		{" 100000000000000000", "100000000000000000"}, {" 1700000000123456789", "1700000000123456789"}, {" 9223372036854775806", "9223372036854775806"},
		{" 1", ""}, {" 99999999", ""}, {" 9223372037", ""}, {" 99999999999", ""}, {" 9223372036855", ""}, {" 99999999999999", ""},
		{" 9223372036854776", ""}, {" 99999999999999999", ""}, {" 9223372036854775807", ""}, {" -1700000000", ""}, {" -1", ""},
	} {
		got := newWays().parse(t, []byte("m f=1"+c.sent), Options{Now: now, Precision: point.AutoPrecision})
		want := fmt.Sprintf("1 \"m\" \"f\":1 %s\n", c.want)
		if c.want == "" {
			want = "1 1 unable to parse 'm f=1" + c.sent + "': " + unknownUnit
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %s, want %s", c.sent, got, want)
		}
	}
	// Each line of a body by itself, also where the last one's stamp is remembered.
	got := newWays().parse(t, []byte("m f=1 1700000000\nm f=1 1700000000000\nm f=1 1700000000000\nm f=1 1700000000\n"), Options{Now: now, Precision: point.AutoPrecision})
	if n := strings.Count(got, "1700000000000000000"); n != 4 {
		t.Errorf("%d of 4 lines at the same time: %s", n, got)
	}
}

// TestAutoPrecisionIsNeverWrong sends times of 1973-03-03T09:46:40Z to 2262 in each unit:
// auto must find the unit. Other times it may only refuse.
func TestAutoPrecisionIsNeverWrong(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range testkit.Rounds(20_000) {
		at := int64(autoFrom*1e9) + rng.Int64N(point.TimeMax-autoFrom*1e9)
		for _, unit := range []time.Duration{1, time.Microsecond, time.Millisecond, time.Second} {
			if got := autoUnit(uint64(at / int64(unit))); got != int64(unit) {
				t.Fatalf("%d in %s is taken for units of %d ns", at, unit, got)
			}
		}
		if before := rng.Uint64N(autoFrom); autoUnit(before) != 0 {
			t.Fatalf("%d is taken for a time", before)
		}
	}
}
