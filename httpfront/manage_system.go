package httpfront

import (
	"errors"
	"hash/fnv"
	"time"

	"headgate/engine"
	"headgate/engine/point"
)

// InfluxDB makes two system buckets in each organization. Headgate has none:
// nothing can be written to them or read from them, no list shows them, and they
// take no room in the catalogue. But tools look them up by name and stop when
// they are missing, so a look-up by name finds a description, and whoever then
// tries to delete or rename it is told that it is a system bucket.
var systemBuckets = [...]struct {
	name, description string
	retention         time.Duration
}{
	{"_monitoring", "System bucket for monitoring logs", 7 * 24 * time.Hour},
	{"_tasks", "System bucket for task logs", 3 * 24 * time.Hour},
}

// systemBucketID derives an id that no list ever shows from what names the bucket.
func systemBucketID(org point.ID, name string) point.ID {
	h := fnv.New64a()
	h.Write([]byte(org.String() + "/" + name))
	return point.ID(h.Sum64() | 1)
}

// systemBucket describes the system bucket that f asks for by name, if the
// caller may know of its organization and err says that there is no such bucket.
func (s *Server) systemBucket(p *engine.Principal, f engine.BucketFilter, err error) (bucketObject, bool) {
	var failed *engine.Error
	if f.Name == nil || f.OrgID == 0 || !errors.As(err, &failed) || failed.Kind != engine.NotFound {
		return bucketObject{}, false
	}
	org, err := s.engine.Organization(p, f.OrgID)
	if err != nil {
		return bucketObject{}, false
	}
	for _, b := range systemBuckets {
		if b.name == *f.Name {
			o := newBucketObject(engine.Bucket{
				ID: systemBucketID(org.ID, b.name), OrgID: org.ID, Name: b.name, Description: b.description,
				RetentionPeriod: b.retention, Window: 24 * time.Hour, CreatedAt: org.CreatedAt, UpdatedAt: org.CreatedAt,
			})
			o.Type = "system"
			return o, true
		}
	}
	return bucketObject{}, false
}

// refuseSystemBucket turns err, which says that there is no bucket id, into one
// that says that it is a system bucket, where that is so.
func (s *Server) refuseSystemBucket(p *engine.Principal, id point.ID, err error, message string) error {
	var failed *engine.Error
	if !errors.As(err, &failed) || failed.Kind != engine.NotFound {
		return err
	}
	orgs, listErr := s.engine.Organizations(p, engine.OrganizationFilter{})
	if listErr != nil {
		return err
	}
	for _, org := range orgs {
		for _, b := range systemBuckets {
			if systemBucketID(org.ID, b.name) == id {
				return engine.Errorf(engine.Invalid, "%s", message)
			}
		}
	}
	return err
}
