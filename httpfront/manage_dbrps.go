package httpfront

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// dbrpObject is a mapping on the wire.
type dbrpObject struct {
	ID              point.ID `json:"id"`
	Database        string   `json:"database"`
	RetentionPolicy string   `json:"retention_policy"`
	Default         bool     `json:"default"`
	Virtual         bool     `json:"virtual"`
	OrgID           point.ID `json:"orgID"`
	BucketID        point.ID `json:"bucketID"`
}

func newDBRPObject(m engine.DBRP) dbrpObject {
	return dbrpObject{m.ID, m.Database, m.RetentionPolicy, m.Default, m.Virtual, m.OrgID, m.BucketID}
}

// dbrpContent wraps one mapping, as all answers but that of POST do.
type dbrpContent struct {
	Content dbrpObject `json:"content"`
}

type dbrpList struct {
	Content []dbrpObject `json:"content"`
}

// dbrpOrg is the organization of a request about mappings, by id or by name.
func (s *Server) dbrpOrg(id, name string) (point.ID, error) {
	if id != "" {
		org, err := point.ParseID(id)
		if err != nil {
			return 0, engine.Errorf(engine.Invalid, "invalid org ID %q: %w", id, err)
		}
		return org, nil
	}
	if name == "" {
		var org point.ID
		if s.defaultOrg(&org); org == 0 {
			return 0, engine.Errorf(engine.Invalid, "either 'org' or 'orgID' must be provided")
		}
		return org, nil
	}
	o, ok := s.engine.OrganizationByName(name)
	if !ok {
		return 0, engine.Errorf(engine.NotFound, "invalid org %q: organization not found", name)
	}
	return o.ID, nil
}

// queryDBRPOrg is dbrpOrg of the query parameters.
func (s *Server) queryDBRPOrg(c *fasthttp.RequestCtx) (point.ID, error) {
	return s.dbrpOrg(queryText(c, "orgID"), queryText(c, "org"))
}

func getDBRPs(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	f := engine.DBRPFilter{Database: queryText(c, "db"), RetentionPolicy: queryText(c, "rp")}
	var err error
	if f.OrgID, err = s.queryDBRPOrg(c); err != nil {
		return err
	}
	for _, arg := range []struct {
		name, what string
		to         *point.ID
	}{{"id", "DBRP", &f.ID}, {"bucketID", "bucket", &f.BucketID}} {
		if v := queryText(c, arg.name); v != "" {
			if *arg.to, err = point.ParseID(v); err != nil {
				return engine.Errorf(engine.Invalid, "invalid %s ID %q: %w", arg.what, v, err)
			}
		}
	}
	if v := queryText(c, "default"); v != "" {
		isDefault, err := strconv.ParseBool(v)
		if err != nil {
			return engine.Errorf(engine.Invalid, "invalid default parameter")
		}
		f.Default = &isDefault
	}
	list := dbrpList{[]dbrpObject{}}
	for _, m := range s.engine.DBRPs(p, f) {
		list.Content = append(list.Content, newDBRPObject(m))
	}
	s.writeJSON(c, fasthttp.StatusOK, list)
	return nil
}

func postDBRP(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	var r struct {
		Database        string `json:"database"`
		RetentionPolicy string `json:"retention_policy"`
		Default         bool   `json:"default"`
		Org             string `json:"org"`
		OrgID           string `json:"orgID"`
		BucketID        string `json:"bucketID"`
	}
	if err := s.decode(c, &r, badJSONStructure); err != nil {
		return err
	}
	org, err := s.dbrpOrg(r.OrgID, r.Org)
	if err != nil {
		return err
	}
	bucket, err := point.ParseID(r.BucketID)
	if err != nil {
		return engine.Errorf(engine.Invalid, "invalid bucket ID %q: %w", r.BucketID, err)
	}
	m, err := s.engine.CreateDBRP(s.ctx, p, engine.DBRPRequest{
		OrgID: org, BucketID: bucket, Database: r.Database, RetentionPolicy: r.RetentionPolicy, Default: r.Default,
	})
	return s.answer(c, fasthttp.StatusCreated, newDBRPObject(m), err)
}

// oneDBRP reads what the calls about one mapping have in common.
func (s *Server) oneDBRP(c *fasthttp.RequestCtx) (org, id point.ID, err error) {
	if id, err = pathID(c, "id"); err == nil {
		org, err = s.queryDBRPOrg(c)
	}
	return org, id, err
}

func getDBRP(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	org, id, err := s.oneDBRP(c)
	if err != nil {
		return err
	}
	m, err := s.engine.DBRP(p, org, id)
	return s.answer(c, fasthttp.StatusOK, dbrpContent{newDBRPObject(m)}, err)
}

func patchDBRP(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	org, id, err := s.oneDBRP(c)
	if err != nil {
		return err
	}
	if _, err := s.engine.DBRP(p, org, id); err != nil {
		return err
	}
	var r struct {
		Default         *bool   `json:"default"`
		RetentionPolicy *string `json:"retention_policy"`
	}
	if err := s.decode(c, &r, badJSONStructure); err != nil {
		return err
	}
	m, err := s.engine.UpdateDBRP(s.ctx, p, org, id, r.RetentionPolicy, r.Default)
	return s.answer(c, fasthttp.StatusOK, dbrpContent{newDBRPObject(m)}, err)
}

func deleteDBRP(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	org, id, err := s.oneDBRP(c)
	if err != nil {
		return err
	}
	return answerNothing(c, s.engine.DeleteDBRP(s.ctx, p, org, id))
}
