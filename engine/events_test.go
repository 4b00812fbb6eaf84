package engine

import (
	"strings"
	"testing"
	"time"
)

// TestEventTexts: numbers of one are in the singular.
func TestEventTexts(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{BucketOpenInfo{Bucket: 1, Records: 1, Points: 1, Series: 1, Took: time.Second}.String(), "bucket 0000000000000001: 1 point of 1 series from 1 record in 1s"},
		{BucketOpenInfo{Bucket: 1, Records: 2, Points: 3, Series: 2, Took: time.Second}.String(), "bucket 0000000000000001: 3 points of 2 series from 2 records in 1s"},
		{RecoveryInfo{Buckets: 1, Records: 1, Points: 1}.String(), "recovering: 0 of 1 bucket, 1 record, 1 point"},
		{RecoveryInfo{BucketsDone: 1, Buckets: 2}.String(), "recovering: 1 of 2 buckets, 0 records, 0 points"},
	} {
		if !strings.HasPrefix(tt.got, tt.want) {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
