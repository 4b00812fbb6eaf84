package cli

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"headgate/cmd/headgate/client"
)

var bucketKind = kind{"/api/v2/buckets", "buckets", []string{"ID", "Name", "Retention", "Organization ID", "Description"}, func(o object) []string {
	retention := "infinite"
	if len(o.Rules) > 0 && o.Rules[0].EverySeconds > 0 {
		retention = (time.Duration(o.Rules[0].EverySeconds) * time.Second).String()
		if days := o.Rules[0].EverySeconds / (24 * 3600); days > 0 && o.Rules[0].EverySeconds%(24*3600) == 0 {
			retention = strconv.FormatInt(days, 10) + "d"
		}
	}
	return []string{o.ID, o.Name, retention, o.OrgID, o.Description}
}}

// retentionMin is the shortest retention period that a server takes.
const retentionMin = time.Hour

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
	if d > 0 && d < retentionMin { // InfluxDB answers it as an error of its own
		return nil, usagef("a retention period is an hour or more, or infinite, not %s", text)
	}
	return []map[string]any{{"type": "expire", "everySeconds": int64(d / time.Second)}}, nil
}

func bucketCommand() *command {
	more := func(c *call, f *objectFlags) {
		c.text(&f.retention, "retention", "r", "", "`time` that points are kept, such as 30d or 12h; infinite for ever, the default of a new bucket")
		c.text(&f.description, "description", "d", "", "`text` about the bucket")
	}
	createFlags := func(c *call) { more(c, c.newFlags("bucket")) }
	updateFlags := func(c *call) {
		f := c.whichFlags("bucket")
		more(c, f)
		c.text(&f.newName, "new-name", "", "", "`name` to give it")
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
		{name: "create", args: "[NAME]", about: "Makes a bucket.", flags: createFlags, run: create}, listOf(bucketKind, "bucket"),
		{name: "update", args: "[NAME]", about: "Changes name, description or retention period.", flags: updateFlags, run: update}, deleteOf(bucketKind, "bucket"),
	}}
}
