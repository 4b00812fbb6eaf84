package wal

import (
	"errors"
	"io"
	"testing"
	"time"
)

func TestCorruptError(t *testing.T) {
	for _, tc := range []struct {
		err  *CorruptError
		want string
	}{
		{&CorruptError{Bucket: 7, Seq: 9, Reason: "missing"}, "wal: log corrupt: bucket 7, record 9: missing"},
		{&CorruptError{Bucket: 7, Seq: 9, Reason: "unreadable", Err: io.ErrUnexpectedEOF}, "wal: log corrupt: bucket 7, record 9: unreadable: unexpected EOF"},
		{&CorruptError{Reason: "unreadable", Err: errors.New("block 3\ndetails")}, "wal: log corrupt: unreadable: block 3"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
		if !errors.Is(tc.err, ErrCorrupt) {
			t.Errorf("%v is not ErrCorrupt", tc.err)
		}
		if tc.err.Err != nil && !errors.Is(tc.err, tc.err.Err) {
			t.Errorf("%v is not its cause", tc.err)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	for _, tc := range []struct {
		d    time.Duration
		want int
	}{
		{-1, 0}, {0, 0}, {1, 0}, {64 * time.Microsecond, 0}, {64*time.Microsecond + 1, 1}, {128 * time.Microsecond, 1},
		{128*time.Microsecond + 1, 2}, {time.Millisecond, 4}, {h.Bound(h.Bounds() - 1), h.Bounds() - 1}, {time.Hour, h.Bounds()},
	} {
		var h Histogram
		h.Observe(tc.d)
		if h.Buckets[tc.want] != 1 || h.Count != 1 || h.Sum != tc.d {
			t.Errorf("Observe(%s): %+v, want bucket %d", tc.d, h, tc.want)
		}
		if tc.want < h.Bounds() && tc.d > h.Bound(tc.want) {
			t.Errorf("%s is above bound %s of its bucket", tc.d, h.Bound(tc.want))
		}
	}
}
