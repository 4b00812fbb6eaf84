package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"headgate/cmd/headgate/client"
)

// What there is on a server: organizations, buckets, tokens and users.

type object struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	OrgID       string `json:"orgID"`
	Org         string `json:"org"`
	User        string `json:"user"`
	UserID      string `json:"userID"`
	Status      string `json:"status"`
	Description string `json:"description"`
	Token       string `json:"token"`
	Type        string `json:"type"`
	Rules       []struct {
		EverySeconds int64 `json:"everySeconds"`
	} `json:"retentionRules"`
	Permissions []permission `json:"permissions"`
}

type permission struct {
	Action   string   `json:"action"`
	Resource resource `json:"resource"`
}

type resource struct {
	Type  string `json:"type"`
	ID    string `json:"id,omitempty"`
	OrgID string `json:"orgID,omitempty"`
	Name  string `json:"name,omitempty"`
}

// kind is one of them, and how it is shown.
type kind struct {
	path, member string
	heading      []string
	row          func(o object) []string
}

var (
	bucketKind = kind{"/api/v2/buckets", "buckets", []string{"ID", "Name", "Retention", "Organization ID", "Description"}, func(o object) []string {
		retention := "infinite"
		if len(o.Rules) > 0 && o.Rules[0].EverySeconds > 0 {
			retention = (time.Duration(o.Rules[0].EverySeconds) * time.Second).String()
			if days := o.Rules[0].EverySeconds / (24 * 3600); days > 0 && o.Rules[0].EverySeconds%(24*3600) == 0 {
				retention = strconv.FormatInt(days, 10) + "d"
			}
		}
		return []string{o.ID, o.Name, retention, o.OrgID, o.Description}
	}}
	orgKind   = kind{"/api/v2/orgs", "orgs", []string{"ID", "Name", "Description"}, func(o object) []string { return []string{o.ID, o.Name, o.Description} }}
	userKind  = kind{"/api/v2/users", "users", []string{"ID", "Name", "Status"}, func(o object) []string { return []string{o.ID, o.Name, o.Status} }}
	tokenKind = kind{"/api/v2/authorizations", "authorizations", []string{"ID", "Description", "Token", "Status", "User", "Organization", "Permissions"}, func(o object) []string {
		var may []string
		for i, p := range o.Permissions {
			if i == 4 && len(o.Permissions) > 5 {
				may = append(may, fmt.Sprintf("and %d more", len(o.Permissions)-i))
				break
			}
			text := p.Action + ":" + p.Resource.Type
			if p.Resource.Name != "" {
				text += "/" + p.Resource.Name
			} else if p.Resource.ID != "" {
				text += "/" + p.Resource.ID
			}
			may = append(may, text)
		}
		token := o.Token
		if token == "" {
			token = "(shown only when made)"
		}
		return []string{o.ID, o.Description, token, o.Status, o.User, o.Org, strings.Join(may, " ")}
	}}
)

// show shows objects as the command line wants them.
func (c *call) show(k kind, raw ...json.RawMessage) error {
	if c.common.json {
		if raw == nil {
			raw = []json.RawMessage{}
		}
		return c.showJSON(raw)
	}
	rows := [][]string{k.heading}
	for _, r := range raw {
		var o object
		if err := json.Unmarshal(r, &o); err != nil {
			return err
		}
		rows = append(rows, k.row(o))
	}
	return c.table(rows)
}

// pageLimit is how many objects a request asks for.
const pageLimit = 100

// each asks for all objects of a kind, a page at a time.
func each(ctx context.Context, cl *client.Client, k kind, q url.Values) ([]json.RawMessage, error) {
	var all []json.RawMessage
	for {
		q.Set("limit", strconv.Itoa(pageLimit))
		q.Set("offset", strconv.Itoa(len(all)))
		var answer map[string]json.RawMessage
		if err := cl.JSON(ctx, http.MethodGet, k.path, q, nil, &answer); err != nil {
			return nil, err
		}
		var page []json.RawMessage
		if err := json.Unmarshal(answer[k.member], &page); err != nil {
			return nil, fmt.Errorf("the server lists no %s: %w", k.member, err)
		}
		all = append(all, page...)
		// Where a list is not paged, all of it comes at once.
		if len(page) != pageLimit || k.member == "authorizations" {
			return all, nil
		}
	}
}

// find is the object that a name or an id means.
func find(ctx context.Context, cl *client.Client, k kind, q url.Values, what string) (object, error) {
	all, err := each(ctx, cl, k, q)
	if err != nil {
		return object{}, err
	}
	var byID *object
	for _, raw := range all {
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			return o, err
		}
		if o.Name == what && what != "" {
			return o, nil
		}
		if o.ID == what {
			byID = &o
		}
	}
	if byID != nil {
		return *byID, nil
	}
	noun := strings.TrimSuffix(k.member, "s")
	command := map[string]string{"authorization": "token"}[noun]
	if command == "" {
		command = noun
	}
	return object{}, fmt.Errorf("no %s %q; \"headgate %s list\" shows what there is", noun, what, command)
}

// orgObject is the organization to work in: the one named, or the only one.
func (c *call) orgObject(ctx context.Context, cl *client.Client) (object, error) {
	if c.common.org != "" {
		return find(ctx, cl, orgKind, url.Values{}, c.common.org)
	}
	all, err := each(ctx, cl, orgKind, url.Values{})
	if err != nil {
		return object{}, err
	}
	if len(all) != 1 {
		return object{}, usagef("no organization: give --org, set HEADGATE_ORG or run headgate config create")
	}
	var o object
	return o, json.Unmarshal(all[0], &o)
}

// objectFlags are the flags of commands about one object.
type objectFlags struct {
	name, id, newName, description, retention, password string
	readBuckets, writeBuckets                           []string
	read, write, all, operator                          bool
}

func (c *call) objectFlags() *objectFlags {
	f := new(objectFlags)
	c.values = f
	c.output()
	return f
}

// which is the object meant: by flag or as an argument.
func (c *call) which(noun string) (string, error) {
	f := c.values.(*objectFlags)
	what := f.id
	if what == "" {
		what = f.name
	}
	if what == "" && len(c.args) > 0 {
		what = c.args[0]
	}
	if what == "" || len(c.args) > 1 {
		return "", usagef("give the name or id of one %s", noun)
	}
	return what, nil
}

// change sends in to one object and shows the answer.
func (c *call) change(ctx context.Context, cl *client.Client, k kind, method, id string, in any) error {
	path := k.path
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	if method == http.MethodDelete {
		return cl.JSON(ctx, method, path, nil, nil, nil)
	}
	var raw json.RawMessage
	if err := cl.JSON(ctx, method, path, nil, in, &raw); err != nil {
		return err
	}
	return c.show(k, raw)
}

// listOf lists a kind, or those of one name or id.
func listOf(k kind, noun string, flags func(c *call)) *command {
	return &command{name: "list", about: "Lists what there is.", flags: flags, args: "[NAME]", run: func(ctx context.Context, c *call) error {
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		q := url.Values{}
		if k.member == "buckets" || k.member == "authorizations" {
			q = c.orgQuery()
		}
		all, err := each(ctx, cl, k, q)
		if err != nil {
			return err
		}
		f := c.values.(*objectFlags)
		if what, err := c.which(noun); err == nil {
			kept := all[:0]
			for _, raw := range all {
				var o object
				if json.Unmarshal(raw, &o) == nil && (o.ID == what || o.Name == what && f.id == "") {
					kept = append(kept, raw)
				}
			}
			if all = kept; len(all) == 0 {
				return fmt.Errorf("no %s %q", noun, what)
			}
		}
		return c.show(k, all...)
	}}
}

// deleteOf deletes one of a kind.
func deleteOf(k kind, noun string, flags func(c *call)) *command {
	return &command{name: "delete", about: "Deletes one, and what belongs to it.", flags: flags, args: "[NAME]", run: func(ctx context.Context, c *call) error {
		return c.withObject(ctx, k, noun, func(cl *client.Client, o object) error {
			return c.change(ctx, cl, k, http.MethodDelete, o.ID, nil)
		})
	}}
}

// withObject finds the object that the command line means.
func (c *call) withObject(ctx context.Context, k kind, noun string, do func(cl *client.Client, o object) error) error {
	what, err := c.which(noun)
	if err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	q := url.Values{}
	if k.member == "buckets" {
		q = c.orgQuery()
	}
	o, err := find(ctx, cl, k, q, what)
	if err != nil {
		return err
	}
	return do(cl, o)
}

func retentionRules(text string) ([]map[string]any, error) {
	if text == "" {
		return nil, nil
	}
	if text == "infinite" || text == "inf" {
		text = "0s"
	}
	d, err := durationOf(text)
	if err != nil {
		return nil, err
	}
	if d%time.Second != 0 {
		return nil, usagef("a retention period is whole seconds, not %s", text)
	}
	return []map[string]any{{"type": "expire", "everySeconds": int64(d / time.Second)}}, nil
}

func bucketCommand() *command {
	flags := func(c *call) {
		f := c.objectFlags()
		c.text(&f.name, "name", "n", "", "`name` of the bucket, instead of the argument")
		c.text(&f.id, "id", "i", "", "`id` of the bucket, instead of its name")
	}
	more := func(c *call) {
		flags(c)
		f := c.values.(*objectFlags)
		c.text(&f.retention, "retention", "r", "", "`time` that points are kept, such as 30d or 12h; infinite for ever, the default of a new bucket")
		c.text(&f.description, "description", "d", "", "`text` about the bucket")
		c.text(&f.newName, "new-name", "", "", "`name` to give it (update)")
	}
	create := func(ctx context.Context, c *call) error {
		name, err := c.which("bucket")
		if err != nil {
			return err
		}
		f := c.values.(*objectFlags)
		rules, err := retentionRules(f.retention)
		if err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		org, err := c.orgObject(ctx, cl)
		if err != nil {
			return err
		}
		in := map[string]any{"orgID": org.ID, "name": name, "description": f.description, "retentionRules": rules}
		return c.change(ctx, cl, bucketKind, http.MethodPost, "", in)
	}
	update := func(ctx context.Context, c *call) error {
		f := c.values.(*objectFlags)
		in := make(map[string]any)
		rules, err := retentionRules(f.retention)
		if err != nil {
			return err
		}
		if rules != nil {
			in["retentionRules"] = rules
		}
		if f.description != "" {
			in["description"] = f.description
		}
		if f.newName != "" {
			in["name"] = f.newName
		} else if f.id != "" && f.name != "" { // as influx has it
			in["name"] = f.name
		}
		if len(in) == 0 {
			return usagef("give what to change: --retention, --description or --new-name")
		}
		return c.withObject(ctx, bucketKind, "bucket", func(cl *client.Client, o object) error {
			return c.change(ctx, cl, bucketKind, http.MethodPatch, o.ID, in)
		})
	}
	return &command{name: "bucket", about: "Makes, lists, changes and deletes buckets.", subs: []*command{
		{name: "create", args: "[NAME]", about: "Makes a bucket.", flags: more, run: create}, listOf(bucketKind, "bucket", flags),
		{name: "update", args: "[NAME]", about: "Changes name, description or retention period.", flags: more, run: update}, deleteOf(bucketKind, "bucket", flags),
	}}
}

func orgCommand() *command {
	flags := func(c *call) {
		f := c.objectFlags()
		c.text(&f.name, "name", "n", "", "`name` of the organization, instead of the argument")
		c.text(&f.id, "id", "i", "", "`id` of the organization, instead of its name")
		c.text(&f.description, "description", "d", "", "`text` about it (create, update)")
		c.text(&f.newName, "new-name", "", "", "`name` to give it (update)")
	}
	create := func(ctx context.Context, c *call) error {
		name, err := c.which("organization")
		if err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		return c.change(ctx, cl, orgKind, http.MethodPost, "", map[string]any{"name": name, "description": c.values.(*objectFlags).description})
	}
	update := func(ctx context.Context, c *call) error {
		return c.updateNamed(ctx, orgKind, "organization")
	}
	return &command{name: "org", about: "Makes, lists, changes and deletes organizations.", subs: []*command{
		{name: "create", args: "[NAME]", about: "Makes an organization.", flags: flags, run: create}, listOf(orgKind, "organization", flags),
		{name: "update", args: "[NAME]", about: "Changes name or description.", flags: flags, run: update}, deleteOf(orgKind, "organization", flags),
	}}
}

// updateNamed changes name and description.
func (c *call) updateNamed(ctx context.Context, k kind, noun string) error {
	f := c.values.(*objectFlags)
	in := make(map[string]any)
	if f.newName != "" {
		in["name"] = f.newName
	} else if f.id != "" && f.name != "" {
		in["name"] = f.name
	}
	if f.description != "" {
		in["description"] = f.description
	}
	if len(in) == 0 {
		return usagef("give what to change, such as --new-name")
	}
	return c.withObject(ctx, k, noun, func(cl *client.Client, o object) error {
		return c.change(ctx, cl, k, http.MethodPatch, o.ID, in)
	})
}

func userCommand() *command {
	flags := func(c *call) {
		f := c.objectFlags()
		c.text(&f.name, "name", "n", "", "`name` of the user, instead of the argument")
		c.text(&f.id, "id", "i", "", "`id` of the user, instead of the name")
		c.text(&f.newName, "new-name", "", "", "`name` to give it (update)")
		c.text(&f.password, "password", "p", "", "`password` (create, password); read from standard input when left out there")
	}
	setPassword := func(ctx context.Context, c *call, cl *client.Client, id, password string) error {
		return cl.JSON(ctx, http.MethodPost, "/api/v2/users/"+id+"/password", nil, map[string]string{"password": password}, nil)
	}
	create := func(ctx context.Context, c *call) error {
		name, err := c.which("user")
		if err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		var raw json.RawMessage
		if err := cl.JSON(ctx, http.MethodPost, userKind.path, nil, map[string]string{"name": name}, &raw); err != nil {
			return err
		}
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		if c.common.org != "" {
			org, err := c.orgObject(ctx, cl)
			if err == nil {
				err = cl.JSON(ctx, http.MethodPost, "/api/v2/orgs/"+org.ID+"/members", nil, map[string]string{"id": o.ID}, nil)
			}
			if err != nil {
				return fmt.Errorf("the user was made, but is no member of %q: %w", c.common.org, err)
			}
		}
		if password := c.values.(*objectFlags).password; password != "" {
			if err := setPassword(ctx, c, cl, o.ID, password); err != nil {
				return fmt.Errorf("the user was made, but has no password (\"headgate user password %s\" sets one): %w", name, err)
			}
		}
		return c.show(userKind, raw)
	}
	password := func(ctx context.Context, c *call) error {
		f := c.values.(*objectFlags)
		return c.withObject(ctx, userKind, "user", func(cl *client.Client, o object) error {
			if f.password == "" {
				if isTerminal(c.Stdin) {
					fmt.Fprint(c.Stderr, "New password (it is shown): ")
				}
				line, err := bufio.NewReader(c.Stdin).ReadString('\n')
				if f.password = strings.TrimRight(line, "\r\n"); f.password == "" {
					return errors.Join(errors.New("no password"), err)
				}
			}
			return setPassword(ctx, c, cl, o.ID, f.password)
		})
	}
	update := func(ctx context.Context, c *call) error { return c.updateNamed(ctx, userKind, "user") }
	return &command{name: "user", about: "Makes, lists, changes and deletes users.", subs: []*command{
		{name: "create", args: "[NAME]", about: "Makes a user, a member of --org if there is one.", flags: flags, run: create}, listOf(userKind, "user", flags),
		{name: "update", args: "[NAME]", about: "Changes the name.", flags: flags, run: update},
		{name: "password", args: "[NAME]", about: "Sets a user's password.", flags: flags, run: password}, deleteOf(userKind, "user", flags),
	}}
}

func tokenCommand() *command {
	flags := func(c *call) {
		f := c.objectFlags()
		c.text(&f.id, "id", "i", "", "`id` of the token, instead of the argument")
	}
	create := &command{name: "create", about: "Makes a token and shows it, this once.", flags: func(c *call) {
		f := c.objectFlags()
		c.text(&f.description, "description", "d", "", "`text` about what it is for")
		c.list(&f.readBuckets, "read-bucket", "", "`bucket` that it may read, by name or id; may be repeated")
		c.list(&f.writeBuckets, "write-bucket", "", "`bucket` that it may write, by name or id; may be repeated")
		c.flag(&f.read, "read-buckets", "", "it may read all buckets of the organization")
		c.flag(&f.write, "write-buckets", "", "it may write all buckets of the organization")
		c.flag(&f.all, "all-access", "", "it may do anything within the organization")
		c.flag(&f.operator, "operator", "", "it may do anything at all")
	}, run: tokenCreate}
	status := func(to string) *command {
		return &command{name: to, args: "ID", about: "Makes a token " + to + ".", flags: flags, run: func(ctx context.Context, c *call) error {
			return c.withObject(ctx, tokenKind, "token", func(cl *client.Client, o object) error {
				return c.change(ctx, cl, tokenKind, http.MethodPatch, o.ID, map[string]string{"status": to})
			})
		}}
	}
	list, del := listOf(tokenKind, "token", flags), deleteOf(tokenKind, "token", flags)
	list.args, del.args = "[ID]", "ID"
	list.about, del.about = "Lists the tokens and what they may do.", "Deletes a token; it is refused at once."
	return &command{name: "token", about: "Makes, lists and deletes tokens. \"headgate auth\" is the same.", subs: []*command{create, list, status("active"), status("inactive"), del}}
}

func tokenCreate(ctx context.Context, c *call) error {
	f := c.values.(*objectFlags)
	cl, err := c.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	org, err := c.orgObject(ctx, cl)
	if err != nil {
		return err
	}
	var may []permission
	allow := func(action, typ, id, orgID string) {
		may = append(may, permission{action, resource{Type: typ, ID: id, OrgID: orgID}})
	}
	for _, one := range []struct {
		action string
		names  []string
		all    bool
	}{{"read", f.readBuckets, f.read}, {"write", f.writeBuckets, f.write}} {
		for _, name := range one.names {
			b, err := find(ctx, cl, bucketKind, url.Values{"orgID": {org.ID}}, name)
			if err != nil {
				return err
			}
			allow(one.action, "buckets", b.ID, org.ID)
		}
		if one.all {
			allow(one.action, "buckets", "", org.ID)
		}
	}
	if f.all || f.operator {
		orgID := org.ID
		if f.operator {
			orgID = ""
		}
		for _, action := range []string{"read", "write"} {
			for _, typ := range []string{"authorizations", "buckets", "dbrp", "orgs", "users"} {
				switch {
				case typ == "users" && orgID != "":
				case typ == "orgs" && orgID != "":
					allow(action, typ, orgID, "")
				default:
					allow(action, typ, "", orgID)
				}
			}
		}
	}
	if may == nil {
		return usagef("give what it may do: --read-bucket, --write-bucket, --read-buckets, --write-buckets, --all-access or --operator")
	}
	return c.change(ctx, cl, tokenKind, http.MethodPost, "", map[string]any{"orgID": org.ID, "description": f.description, "permissions": may})
}

// setupFlags are the flags of setup.
type setupFlags struct{ username, password, bucket, retention, name string }

func setupCommand() *command {
	return &command{name: "setup", about: "Sets a new server up: the first user, organization, bucket and operator token, which it keeps as a profile.\nThe token is --token, or one that the server makes.", flags: func(c *call) {
		f := new(setupFlags)
		c.values = f
		c.output()
		c.text(&f.username, "username", "u", "", "`name` of the user")
		c.text(&f.password, "password", "p", "", "`password` of the user, 8 to 72 characters")
		c.text(&f.bucket, "bucket", "b", "", "`name` of the bucket")
		c.text(&f.retention, "retention", "r", "", "`time` that the bucket keeps points, such as 30d; infinite if left out")
		c.text(&f.name, "name", "n", "default", "`profile` to keep host, token, organization and bucket in")
		force := false
		c.flag(&force, "force", "f", "ask nothing; nothing is ever asked, the flag is there for scripts that give it")
	}, run: func(ctx context.Context, c *call) error {
		f := c.values.(*setupFlags)
		if f.username == "" || f.password == "" || f.bucket == "" || c.common.org == "" {
			return usagef("give --username, --password, --org and --bucket")
		}
		var seconds int64
		if f.retention != "" {
			rules, err := retentionRules(f.retention)
			if err != nil {
				return err
			}
			seconds = rules[0]["everySeconds"].(int64)
		}
		p, err := c.profiles()
		if err != nil {
			return err
		}
		token := c.common.token
		c.common.token = "" // of a profile of another server, perhaps; setup needs none
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		in := map[string]any{"username": f.username, "password": f.password, "org": c.common.org, "bucket": f.bucket, "retentionPeriodSeconds": seconds, "token": token}
		var answer struct {
			User, Bucket, Org object
			Auth              object
		}
		if err := cl.JSON(ctx, http.MethodPost, "/api/v2/setup", nil, in, &answer); err != nil {
			return err
		}
		if p == nil {
			p = make(profiles)
		}
		host := c.common.host
		if host == "" {
			host = client.DefaultHost
		}
		name := f.name
		if old, taken := p[name]; taken && old.URL != host {
			for i := 2; taken; i++ {
				name = f.name + strconv.Itoa(i)
				_, taken = p[name]
			}
		}
		p[name] = profile{URL: host, Token: answer.Auth.Token, Org: c.common.org, Bucket: f.bucket}
		p.activate(name)
		if err := c.save(p); err != nil {
			fmt.Fprintf(c.Stderr, "headgate setup: the server is set up, but no profile was kept: %v\nThe token is %s\n", err, answer.Auth.Token)
			return errReported
		}
		if c.common.json {
			return c.showJSON(map[string]string{"user": answer.User.Name, "organization": answer.Org.Name, "bucket": answer.Bucket.Name, "profile": name, "token": answer.Auth.Token})
		}
		return c.table([][]string{{"User", "Organization", "Bucket", "Profile", "Token"}, {answer.User.Name, answer.Org.Name, answer.Bucket.Name, name, answer.Auth.Token}})
	}}
}

type deleteFlags struct{ bucket, bucketID, start, stop, predicate string }

func deleteCommand() *command {
	return &command{name: "delete", about: "Deletes the points of a bucket between two times, both included, that a predicate names.", flags: func(c *call) {
		f := new(deleteFlags)
		c.values = f
		c.text(&f.bucket, "bucket", "b", "", "`name` or id of the bucket")
		c.text(&f.bucketID, "bucket-id", "", "", "`id` of the bucket, instead of its name")
		c.text(&f.start, "start", "", "", "first `time`: 2026-01-02T15:04:05Z, 2026-01-02, or how long ago, such as 15m")
		c.text(&f.stop, "stop", "", "", "last `time`, in the same forms, or now")
		c.text(&f.predicate, "predicate", "p", "", "`condition` such as '_measurement=\"cpu\" AND host=\"a\"'; all points if left out")
	}, run: func(ctx context.Context, c *call) error {
		f := c.values.(*deleteFlags)
		bucket, err := c.bucket(f.bucket, f.bucketID)
		if err != nil {
			return err
		}
		if f.start == "" || f.stop == "" {
			return usagef("give --start and --stop; --start 1970-01-01 --stop now is all that has been")
		}
		now := time.Now()
		start, err := timeOf(f.start, now)
		if err != nil {
			return err
		}
		stop, err := timeOf(f.stop, now)
		if err != nil {
			return err
		}
		if stop.Before(start) {
			return usagef("--stop is before --start")
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		q := c.orgQuery()
		q.Set("bucket", bucket)
		return cl.JSON(ctx, http.MethodPost, "/api/v2/delete", q, map[string]string{"start": start.Format(time.RFC3339Nano), "stop": stop.Format(time.RFC3339Nano), "predicate": f.predicate}, nil)
	}}
}

func pingCommand() *command {
	return &command{name: "ping", about: "Asks a server whether it takes writes: prints OK, or fails and says why.", run: func(ctx context.Context, c *call) error {
		cl, err := c.client()
		if err != nil {
			return err
		}
		defer cl.Close()
		if err := cl.JSON(ctx, http.MethodGet, "/health", nil, nil, nil); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.Stdout, "OK")
		return err
	}}
}

// open opens the file that a flag names, which must be no directory.
func (c *call) open(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%s is a directory", name)
	}
	return f, nil
}
