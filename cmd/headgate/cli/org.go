package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"headgate/cmd/headgate/client"
)

var orgKind = kind{"/api/v2/orgs", "orgs", []string{"ID", "Name", "Description"}, func(o object) []string { return []string{o.ID, o.Name, o.Description} }}

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

func orgCommand() *command {
	createFlags := func(c *call) {
		c.text(&c.newFlags("organization").description, "description", "d", "", "`text` about it")
	}
	updateFlags := func(c *call) {
		f := c.whichFlags("organization")
		c.text(&f.description, "description", "d", "", "`text` about it")
		c.text(&f.newName, "new-name", "", "", "`name` to give it")
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
		{name: "create", args: "[NAME]", about: "Makes an organization.", flags: createFlags, run: create}, listOf(orgKind, "organization"),
		{name: "update", args: "[NAME]", about: "Changes name or description.", flags: updateFlags, run: update}, deleteOf(orgKind, "organization"),
	}}
}
