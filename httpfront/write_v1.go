package httpfront

import (
	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// writeV1 is POST /write: the database and retention policy name a bucket by an
// explicit mapping or by its name.
func writeV1(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) {
	bucket, precision, err := s.targetV1(c, p)
	if err != nil {
		s.writeError(c, err, v1)
		return
	}
	s.write(c, p, bucket, precision, v1)
}

func (s *Server) targetV1(c *fasthttp.RequestCtx, p *engine.Principal) (engine.BucketID, engine.Precision, error) {
	args := c.QueryArgs()
	db := args.Peek("db")
	if len(db) == 0 {
		return 0, 0, engine.Errorf(engine.Invalid, "missing db")
	}
	precision, err := precisionV1(args.Peek("precision"))
	if err != nil {
		return 0, 0, err
	}
	bucket, err := s.engine.BucketForDatabase(p, stringOf(db), stringOf(args.Peek("rp")))
	if err != nil {
		if name := string(db); len(s.engine.RetentionPolicies(p, name)) == 0 {
			err = &missingDatabaseError{name, err}
		}
		return 0, 0, err
	}
	return bucket.ID, precision, p.CanWrite(bucket)
}

// precisionV1 reads the units of the v1 API. InfluxDB 2 takes them, and anything
// else, for nanoseconds; the documentation does not.
func precisionV1(name []byte) (engine.Precision, error) {
	switch string(name) {
	case "", "n", "ns":
		return engine.Nanosecond, nil
	case "u", "µ", "us":
		return engine.Microsecond, nil
	case "ms":
		return engine.Millisecond, nil
	case "s":
		return engine.Second, nil
	case "m":
		return engine.Minute, nil
	case "h":
		return engine.Hour, nil
	case "auto":
		return engine.AutoPrecision, nil
	}
	return 0, engine.Errorf(engine.Invalid, "invalid precision %q; valid precision units are n, ns, u, us, ms, s, m and h", name)
}
