package lineproto

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"headgate/engine/point"
	"headgate/engine/testkit"
)

// newRand prints its seed, so that a failure can be repeated by setting it here.
func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// padded is s as number wants it.
func padded(s string) []byte {
	return append([]byte(s+","), bytes.Repeat([]byte{'\n'}, 2*slackBytes)...)
}

func checkNumber(t *testing.T, s string) (quick bool) {
	t.Helper()
	typ, v, end := number(padded(s), 0)
	wantEnd, wantType, wantV, reason := scanNumber([]byte("="+s+","), 1)
	wantEnd--
	if typ == 0 || end != len(s) {
		return false
	}
	if reason != "" || wantEnd != end || wantType != typ || wantV != v {
		t.Fatalf("%s: quickly %v %#x to %d; generally %v %#x to %d %s", s, typ, v, end, wantType, wantV, wantEnd, reason)
	}
	if typ == point.Float {
		if f, err := strconv.ParseFloat(s, 64); err != nil || math.Float64bits(f) != v {
			t.Fatalf("%s: got %v, strconv says %v, %v", s, math.Float64frombits(v), f, err)
		}
	}
	return true
}

func TestNumberQuick(t *testing.T) {
	for _, s := range []string{"0", "-0", "1", "58i", "-58i", "0i", "9223372036854775807i", "-9223372036854775808i", "1234567890123456789u", "007i",
		"1.5", ".5", "5.", "-.5", "-5.", "0.1", "98.73417721518987", "0.1234567890123456789", "1e3", "1e+3", "1E-3", "1.e5", "12.5e22", "0.000001",
		"9007199254740993", "9007199254740993.0", "9007199254740992.5", "2.147483648e+09", "1e22", "5e-1", "123456789.123456789", "0e0", "-0.0", "00000.5"} {
		if !checkNumber(t, s) {
			t.Errorf("%s: not converted quickly", s)
		}
	}
	for _, s := range []string{"", "-", ".", "-.", "i", "-i", "u", "-1u", "1.0i", "1ii", "9223372036854775808i", "1e", "1e+", "1e99999", "1e400", "+1", "0x10", "1_0", "nan", "1-2", "1.2.3", "1.5f", "--1"} {
		if checkNumber(t, s) {
			t.Errorf("%s: converted quickly", s)
		}
	}
}

func TestNumberRandom(t *testing.T) {
	rng := newRand(t)
	quick := 0
	const n = 200000
	for range n {
		var s string
		switch rng.IntN(8) {
		case 0:
			s = strconv.FormatInt(int64(rng.Uint64())>>rng.IntN(64), 10) + "i"
		case 1:
			s = strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10) + "u"
		case 2:
			s = strconv.FormatFloat(math.Float64frombits(rng.Uint64()), "eEfgG"[rng.IntN(5)], -1, 64)
		case 3:
			s = strconv.FormatFloat(rng.NormFloat64()*100, 'f', rng.IntN(20), 64)
		case 4:
			s = strconv.FormatFloat(rng.Float64()*math.Pow10(rng.IntN(20)), 'g', -1, 64)
		case 5: // near the middle between two floats
			f := float64(rng.Uint64()>>11) + 0.5
			s = fmt.Sprintf("%.*f", rng.IntN(5), f/float64(uint(1)<<rng.IntN(12)))
		case 6:
			s = fmt.Sprintf("%d.%0*d", rng.IntN(1000), 1+rng.IntN(18), rng.Uint64()>>rng.IntN(64))
		case 7:
			b := []byte(strings.Repeat("0", 1+rng.IntN(12)))
			for i := range b {
				b[i] = "0123456789.-eE+iu"[rng.IntN(17)]
			}
			s = string(b)
		}
		if checkNumber(t, s) {
			quick++
		}
	}
	if quick < n/2 {
		t.Errorf("only %d of %d converted quickly", quick, n)
	}
}

func TestQuotient(t *testing.T) {
	rng := newRand(t)
	for range testkit.Rounds(300000) {
		m, k := rng.Uint64()>>rng.IntN(64), rng.IntN(20)
		want, err := strconv.ParseFloat(fmt.Sprintf("%de-%d", m, k), 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := quotient(m, pow10[k]); got != want {
			t.Fatalf("%de-%d: got %v, want %v", m, k, got, want)
		}
	}
}
