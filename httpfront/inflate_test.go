package httpfront

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"headgate/engine"
)

var encodingCases = []struct{ name, how string }{
	{"gzip", "gzip"}, {"GZIP", "gzip"}, {"x-gzip", "gzip"}, {"gzip", "gzip-members"}, {"deflate", "zlib"}, {"deflate", "deflate"},
	{"zstd", "zstd"}, {"snappy", "snappy-frames"}, {"snappy", "snappy-block"}, {"s2", "s2-frames"}, {"S2", "s2-block"}, {"", ""}, {"identity", ""},
}

func testLimit(n int64) limit { return limit{n, "request body", "Options.InflatedBodyBytesMax"} }

func inflateAll(in *inflaters, name string, src []byte, most int64) ([]byte, error) {
	enc, err := parseEncoding([]byte(name))
	if err != nil {
		return nil, err
	}
	var b buffer
	err = in.inflate(&b, src, enc, testLimit(most), &charge{})
	return b.data, err
}

func TestInflate(t *testing.T) {
	text := []byte(strings.Repeat("cpu,host=a usage=1.5,idle=98i 1700000000000000000\n", 5000))
	var in inflaters
	for range 2 { // the second round uses the decoders of the first
		for _, tc := range encodingCases {
			src := encode(t, tc.how, text)
			want := text
			if tc.how == "gzip-members" {
				want = append(append([]byte(nil), text...), text...)
			}
			got, err := inflateAll(&in, tc.name, src, int64(len(want)))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s of %s: %d bytes, want %d: %v", tc.name, tc.how, len(got), len(want), err)
			}
			if tc.how == "" {
				continue // the limit on the wire is the only one
			}
			_, err = inflateAll(&in, tc.name, src, int64(len(want))-1)
			if kindOf(err) != engine.TooLarge {
				t.Errorf("%s of %s over the limit: %v", tc.name, tc.how, err)
			}
			for _, cut := range []int{1, len(src) / 2, len(src)} {
				got, err := inflateAll(&in, tc.name, src[:len(src)-cut], int64(len(want)))
				if kindOf(err) != engine.Invalid || !strings.HasPrefix(err.Error(), "unable to read data: ") {
					// A frame format without an end mark cannot tell a missing frame.
					// Neither can several members that are cut between two.
					if strings.HasSuffix(tc.how, "s") && bytes.HasPrefix(want, got) && cut == len(src)/2 {
						continue
					}
					t.Errorf("%s of %s, %d bytes short: %d bytes, %v", tc.name, tc.how, cut, len(got), err)
				}
			}
		}
	}
}

func kindOf(err error) engine.Kind {
	var e *engine.Error
	if !errors.As(err, &e) {
		return engine.Internal
	}
	return e.Kind
}

// TestInflateBomb sees that a bomb costs no more memory than its limit.
func TestInflateBomb(t *testing.T) {
	bomb := make([]byte, 64<<20)
	var in inflaters
	for _, tc := range encodingCases {
		if tc.how == "" {
			continue
		}
		enc, _ := parseEncoding([]byte(tc.name))
		var b buffer
		err := in.inflate(&b, encode(t, tc.how, bomb), enc, testLimit(1<<20), &charge{})
		if kindOf(err) != engine.TooLarge || cap(b.data) > 3<<20 {
			t.Errorf("%s of %s: %d bytes held, %v", tc.name, tc.how, cap(b.data), err)
		}
	}
}

func FuzzInflate(f *testing.F) {
	for i, tc := range encodingCases {
		f.Add(uint8(i), encode(f, tc.how, []byte("cpu,host=a usage=1.5 1700000000000000000\n")))
	}
	var in inflaters
	f.Fuzz(func(t *testing.T, i uint8, src []byte) {
		const most = 1 << 16
		tc := encodingCases[int(i)%len(encodingCases)]
		got, err := inflateAll(&in, tc.name, src, most)
		switch {
		case err == nil && tc.how != "" && len(got) > most:
			t.Errorf("%d bytes, over the limit of %d", len(got), most)
		case err != nil && kindOf(err) != engine.Invalid && kindOf(err) != engine.TooLarge:
			t.Errorf("%v", err)
		}
	})
}
