package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"headgate/cmd/headgate/client"
)

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

var tokenKind = kind{"/api/v2/authorizations", "authorizations", []string{"ID", "Description", "Token", "Status", "User", "Organization", "Permissions"}, func(o object) []string {
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
	list, del := listOf(tokenKind, "token"), deleteOf(tokenKind, "token")
	list.flags, del.flags = flags, flags // tokens have no names
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
