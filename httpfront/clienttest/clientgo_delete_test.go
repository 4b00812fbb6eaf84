package clienttest

import (
	"context"
	"testing"
	"time"

	influxdb1 "github.com/influxdata/influxdb1-client/v2"
)

func TestDelete(t *testing.T) {
	s := Start(t, Config{})
	ctx := context.Background()
	c := newClient(t, s, Token, options())
	org, err := c.OrganizationsAPI().FindOrganizationByName(ctx, Org)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := c.BucketsAPI().FindBucketByName(ctx, Bucket)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 5, 1, 12, 0, 0, 0, time.FixedZone("", 2*3600))
	if err := c.WriteAPIBlocking(Org, Bucket).WriteRecord(ctx,
		"cpu,host=a v=1 1714557600000000000", "cpu,host=b v=2 1714557600000000000", "cpu,host=b v=3 1714557660000000000", "mem,host=a v=4 1714557600000000000"); err != nil {
		t.Fatal(err)
	}
	d := c.DeleteAPI()
	if err := d.Delete(ctx, org, bucket, at, at.Add(time.Second), `_measurement="cpu" AND host="b"`); err != nil {
		t.Errorf("delete: %v", err)
	}
	s.WantRows(t, Bucket, "SELECT v, host FROM cpu, mem", "1714557600000000000 1 a", "1714557660000000000 3 b", "1714557600000000000 4 a")
	if err := d.DeleteWithID(ctx, *org.Id, *bucket.Id, at.Add(-time.Hour), at.Add(time.Hour), `host!="a"`); err != nil {
		t.Errorf("with ids: %v", err)
	}
	s.WantRows(t, Bucket, "SELECT v, host FROM cpu, mem", "1714557600000000000 1 a", "1714557600000000000 4 a")
	if err := d.DeleteWithName(ctx, Org, Bucket, at.Add(-time.Hour), at.Add(time.Hour), ""); err != nil {
		t.Errorf("with names: %v", err)
	}
	s.WantRows(t, Bucket, "SELECT v, host FROM cpu, mem")
	if err := c.WriteAPIBlocking(Org, Bucket).WriteRecord(ctx, `cpu,host=a v="text" 1714557600000000000`); err != nil {
		t.Errorf("another type: %v", err)
	}
	wantText(t, "bad predicate", d.DeleteWithName(ctx, Org, Bucket, at, at, `a="b" OR c="d"`), "the logical operator OR is not supported yet")
	wantText(t, "no such bucket", d.DeleteWithName(ctx, Org, "nope", at, at, ""), `bucket "nope" not found`)
}

func TestV1Delete(t *testing.T) {
	s := Start(t, Config{AuthDisabled: true})
	c := newV1(t, s, "", "", influxdb1.DefaultEncoding)
	v1Query(t, c, influxdb1.NewQuery("CREATE DATABASE d", "", ""))
	var points []*influxdb1.Point
	for i, host := range []string{"a", "b", "c"} {
		points = append(points, v1Point(t, "cpu", map[string]string{"host": host}, map[string]any{"v": int64(i)}, time.Unix(0, int64(i))))
	}
	if err := c.Write(v1Batch(t, influxdb1.BatchPointsConfig{Database: "d"}, points...)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		statement string
		left      []string
	}{
		{"DELETE FROM cpu WHERE time < 1", []string{"1 1 b", "2 2 c"}},
		{"DROP SERIES FROM cpu WHERE host = 'b'", []string{"2 2 c"}},
		{"DROP MEASUREMENT cpu", nil},
	} {
		v1Query(t, c, influxdb1.NewQuery(step.statement, "d", ""))
		s.WantRows(t, "d", "SELECT v, host FROM cpu", step.left...)
	}
}
