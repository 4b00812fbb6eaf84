package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

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

// kind is one of them, and how it is shown.
type kind struct {
	path, member string
	heading      []string
	row          func(o object) []string
}

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

// find is the object that a name or an id means: the name first, as anybody may have given an
// object a name that is the id of another.
func find(ctx context.Context, cl *client.Client, k kind, q url.Values, what string) (object, error) {
	return findBy(ctx, cl, k, q, what, false)
}

// findBy is find, or only looks for an id.
func findBy(ctx context.Context, cl *client.Client, k kind, q url.Values, what string, onlyID bool) (object, error) {
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
		if o.Name == what && what != "" && !onlyID {
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
	if len(all) == 0 { // a list leaves out what its reader may not see
		return object{}, fmt.Errorf("no %s %q: there is none that the token may see", noun, what)
	}
	return object{}, fmt.Errorf("no %s %q that the token may see; \"headgate %s list\" shows what there is", noun, what, command)
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

// newFlags are the flags of commands that make an object.
func (c *call) newFlags(noun string) *objectFlags {
	f := c.objectFlags()
	c.text(&f.name, "name", "n", "", "`name` of the "+noun+", instead of the argument")
	return f
}

// whichFlags are the flags of commands about an object that there is.
func (c *call) whichFlags(noun string) *objectFlags {
	f := c.newFlags(noun)
	c.text(&f.id, "id", "i", "", "`id` of the "+noun+", instead of the name")
	return f
}

// which is the object meant: by flag or as an argument.
func (c *call) which(noun string) (string, error) {
	f := c.values.(*objectFlags)
	names := c.args
	if f.id != "" { // a name beside it is what update is to give, as influx has it
		names = append([]string{f.id}, names...)
	} else if f.name != "" {
		names = append([]string{f.name}, names...)
	}
	both := f.id != "" && f.name != "" && c.command.name != "update"
	if len(names) != 1 || names[0] == "" || both {
		by := "name or id"
		switch {
		case c.set.Lookup("id") == nil:
			by = "name"
		case c.set.Lookup("name") == nil: // tokens have none
			by = "id"
		}
		return "", usagef("give the %s of one %s", by, noun)
	}
	return names[0], nil
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
func listOf(k kind, noun string) *command {
	flags := func(c *call) { c.whichFlags(noun) }
	return &command{name: "list", about: "Lists what there is.", flags: flags, args: "[NAME]", run: func(ctx context.Context, c *call) error {
		f, what := c.values.(*objectFlags), ""
		var err error
		if f.id != "" || f.name != "" || len(c.args) > 0 {
			if what, err = c.which(noun); err != nil {
				return err
			}
		}
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
		if what != "" {
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
func deleteOf(k kind, noun string) *command {
	flags := func(c *call) { c.whichFlags(noun) }
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
	o, err := findBy(ctx, cl, k, q, what, c.values.(*objectFlags).id != "")
	if err != nil {
		return err
	}
	return do(cl, o)
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
