package httpfront

import (
	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// writeV2 is POST /api/v2/write. The order of its checks is CONTRACT's.
func writeV2(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) {
	bucket, precision, err := s.targetV2(c, p)
	if err != nil {
		s.writeError(c, err, compact)
		return
	}
	s.write(c, p, bucket, precision, compact)
}

func (s *Server) targetV2(c *fasthttp.RequestCtx, p *engine.Principal) (id engine.BucketID, precision engine.Precision, err error) {
	args := c.QueryArgs()
	if precision, err = precisionV2(args.Peek("precision")); err != nil {
		return 0, 0, err
	}
	name := args.Peek("bucket")
	if len(name) == 0 {
		return 0, 0, engine.Errorf(engine.NotFound, "bucket not found")
	}
	org, err := s.organization(args)
	if err != nil {
		return 0, 0, err
	}
	bucket, ok := s.bucketOf(org.ID, name)
	if !ok {
		return 0, 0, errBucketNotFound(name)
	}
	return bucket.ID, precision, p.CanWrite(bucket)
}

func precisionV2(name []byte) (engine.Precision, error) {
	switch string(name) {
	case "", "ns":
		return engine.Nanosecond, nil
	case "us":
		return engine.Microsecond, nil
	case "ms":
		return engine.Millisecond, nil
	case "s":
		return engine.Second, nil
	case "auto":
		return engine.AutoPrecision, nil
	}
	return 0, engine.Errorf(engine.Invalid, "invalid precision; valid precision units are ns, us, ms, and s")
}

// organization finds what the parameters orgID, or else org, name. 16 hex digits
// are an id and nothing else. Without authentication they may be left out.
func (s *Server) organization(args *fasthttp.Args) (engine.Organization, error) {
	id, name := args.Peek("orgID"), args.Peek("org")
	if len(id) > 0 || len(name) > 0 {
		return s.organizationOf(stringOf(id), stringOf(name))
	}
	if s.authDisabled {
		return s.engine.DefaultOrganization()
	}
	return engine.Organization{}, engine.Errorf(engine.Invalid, "Please provide either orgID or org")
}

// organizationOf finds the organization with that id, or else of that name, which may be
// an id, too.
func (s *Server) organizationOf(id, name string) (engine.Organization, error) {
	if id != "" {
		id, err := point.ParseID(id)
		if err != nil {
			return engine.Organization{}, engine.Errorf(engine.Invalid, "%w", err)
		}
		return s.organizationByID(id)
	}
	if id, err := point.ParseID(name); err == nil {
		return s.organizationByID(id)
	}
	org, ok := s.engine.OrganizationByName(name)
	if !ok {
		return org, engine.Errorf(engine.NotFound, "organization name \"%s\" not found", name)
	}
	return org, nil
}

func (s *Server) organizationByID(id point.ID) (engine.Organization, error) {
	org, ok := s.engine.OrganizationByID(id)
	if !ok {
		return org, engine.Errorf(engine.NotFound, "organization not found")
	}
	return org, nil
}

// bucketOf finds a bucket of org: what looks like an id is tried as an id, then
// as a name. A bucket of another organization is not found by its id either.
func (s *Server) bucketOf(org point.ID, name []byte) (engine.Bucket, bool) {
	if id, err := point.ParseID(stringOf(name)); err == nil {
		if b, ok := s.engine.BucketByID(id); ok && b.OrgID == org {
			return b, true
		}
	}
	return s.engine.BucketByName(org, stringOf(name))
}

func errBucketNotFound(name []byte) error {
	return engine.Errorf(engine.NotFound, "bucket %q not found", name)
}
