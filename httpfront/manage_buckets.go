package httpfront

import (
	"math"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"headgate/engine"
	"headgate/engine/point"
)

// bucketObject is a bucket on the wire.
type bucketObject struct {
	ID             point.ID        `json:"id"`
	OrgID          point.ID        `json:"orgID"`
	Type           string          `json:"type"`
	Description    string          `json:"description,omitempty"`
	Name           string          `json:"name"`
	RetentionRules []retentionRule `json:"retentionRules"`
	CreatedAt      time.Time       `json:"createdAt"`
	UpdatedAt      time.Time       `json:"updatedAt"`
	Links          bucketLinks     `json:"links"`
	Labels         []string        `json:"labels"`
}

// retentionRule is a bucket's retention period and window. The names of the type
// and its members are part of the messages about bad JSON.
type retentionRule struct {
	Type                      string `json:"type"`
	EverySeconds              int64  `json:"everySeconds"`
	ShardGroupDurationSeconds int64  `json:"shardGroupDurationSeconds"`
}

type bucketLinks struct {
	Labels  string `json:"labels"`
	Members string `json:"members"`
	Org     string `json:"org"`
	Owners  string `json:"owners"`
	Self    string `json:"self"`
	Write   string `json:"write"`
}

func bucketPath(id point.ID) string { return "/api/v2/buckets/" + id.String() }

func newBucketObject(b engine.Bucket) bucketObject {
	self := bucketPath(b.ID)
	return bucketObject{
		ID: b.ID, OrgID: b.OrgID, Type: "user", Description: b.Description, Name: b.Name,
		RetentionRules: []retentionRule{{"expire", int64(b.RetentionPeriod / time.Second), int64(b.Window / time.Second)}},
		CreatedAt:      b.CreatedAt, UpdatedAt: b.UpdatedAt,
		Links: bucketLinks{
			Labels: self + "/labels", Members: self + "/members", Org: orgPath(b.OrgID), Owners: self + "/owners", Self: self,
			Write: "/api/v2/write?org=" + b.OrgID.String() + "&bucket=" + b.ID.String(),
		},
		Labels: []string{},
	}
}

type bucketList struct {
	Links   pageLinks      `json:"links"`
	Buckets []bucketObject `json:"buckets"`
}

func getBuckets(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	var f engine.BucketFilter
	var err error
	if f.Page, err = page(c); err != nil {
		return err
	}
	if f.ID, err = queryID(c, "id"); err != nil {
		return err
	}
	if f.After, err = queryID(c, "after"); err != nil {
		return err
	}
	if f.OrgID, err = s.listOrgID(c); err != nil {
		return err
	}
	if name := queryText(c, "name"); name != "" {
		f.Name = &name
	}
	buckets, err := s.engine.Buckets(p, f)
	system, isSystem := s.systemBucket(p, f, err)
	if err != nil && !isSystem {
		return err
	}
	// The links name the parameters as InfluxDB does: the bucket's name is "bucket".
	args := url.Values{}
	for _, arg := range [...][2]string{{"name", "bucket"}, {"id", "id"}, {"org", "org"}, {"orgID", "orgID"}, {"after", "after"}} {
		if v := queryText(c, arg[0]); v != "" {
			args.Set(arg[1], v)
		}
	}
	list := bucketList{Links: newPageLinks("/api/v2/buckets", args, f.Page, len(buckets)), Buckets: []bucketObject{}}
	if isSystem {
		list.Buckets = append(list.Buckets, system)
	}
	for _, b := range buckets {
		list.Buckets = append(list.Buckets, newBucketObject(b))
	}
	s.writeJSON(c, fasthttp.StatusOK, list)
	return nil
}

func getBucket(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	b, err := s.engine.Bucket(p, id)
	return s.answer(c, fasthttp.StatusOK, newBucketObject(b), err)
}

// retentionOf reads the retention rules of a request: at most one.
func retentionOf(rules []retentionRule) (retention, window time.Duration, err error) {
	if len(rules) > 1 {
		return 0, 0, engine.Errorf(engine.Unprocessable, "buckets cannot have more than one retention rule at this time")
	}
	if len(rules) == 0 {
		return 0, 0, nil
	}
	r := rules[0]
	const secondsMax = int64(math.MaxInt64 / time.Second)
	if r.EverySeconds > secondsMax || r.ShardGroupDurationSeconds > secondsMax {
		return 0, 0, engine.Errorf(engine.Unprocessable, "expiration and shard-group duration seconds cannot be over %d", secondsMax)
	}
	// Below that the engine refuses any negative number.
	seconds := func(n int64) time.Duration { return time.Duration(max(n, -1)) * time.Second }
	return seconds(r.EverySeconds), seconds(r.ShardGroupDurationSeconds), nil
}

func postBucket(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	var r struct {
		OrgID          point.ID        `json:"orgID"`
		Name           string          `json:"name"`
		Description    string          `json:"description"`
		RetentionRules []retentionRule `json:"retentionRules"`
	}
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	s.defaultOrg(&r.OrgID)
	if r.OrgID == 0 {
		return engine.Errorf(engine.Invalid, "organization id must be provided")
	}
	retention, window, err := retentionOf(r.RetentionRules)
	if err != nil {
		return err
	}
	b, err := s.engine.CreateBucket(s.ctx, p, engine.BucketRequest{
		OrgID: r.OrgID, Name: r.Name, Description: r.Description, RetentionPeriod: retention, Window: window,
	})
	return s.answer(c, fasthttp.StatusCreated, newBucketObject(b), err)
}

func patchBucket(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	var r struct {
		Name           *string         `json:"name"`
		Description    *string         `json:"description"`
		RetentionRules []retentionRule `json:"retentionRules"`
	}
	if err := s.decode(c, &r, badJSON); err != nil {
		return err
	}
	u := engine.BucketUpdate{Name: r.Name, Description: r.Description}
	retention, window, err := retentionOf(r.RetentionRules)
	if err != nil {
		return err
	}
	if len(r.RetentionRules) > 0 {
		u.RetentionPeriod, u.Window = &retention, window
	}
	b, err := s.engine.UpdateBucket(s.ctx, p, id, u)
	err = s.refuseSystemBucket(p, id, err, "system buckets cannot be changed")
	return s.answer(c, fasthttp.StatusOK, newBucketObject(b), err)
}

func deleteBucket(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	err = s.engine.DeleteBucket(s.ctx, p, id)
	return answerNothing(c, s.refuseSystemBucket(p, id, err, "system buckets cannot be deleted"))
}

func getBucketLabels(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	_, err = s.engine.Bucket(p, id)
	return s.answer(c, fasthttp.StatusOK, labelsAnswer{selfLink{bucketPath(id) + "/labels"}, []string{}}, err)
}

func getBucketMembers(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return s.getBucketUsers(c, p, engine.RoleMember, "/members")
}

func getBucketOwners(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	return s.getBucketUsers(c, p, engine.RoleOwner, "/owners")
}

// getBucketUsers lists who has rights on a bucket: those who have them on its
// organization.
func (s *Server) getBucketUsers(c *fasthttp.RequestCtx, p *engine.Principal, role engine.Role, path string) error {
	id, err := pathID(c, "id")
	if err != nil {
		return err
	}
	b, err := s.engine.Bucket(p, id)
	if err != nil {
		return err
	}
	users, err := s.engine.Members(p, b.OrgID, role)
	return s.answer(c, fasthttp.StatusOK, newMemberList(bucketPath(id)+path, users), err)
}
