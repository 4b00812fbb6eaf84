package cli

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"headgate/cmd/headgate/client"
)

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
		token := ""
		if c.tokenGiven { // a profile's is another server's
			token = c.common.token
		}
		c.common.token = "" // setup needs none to be allowed
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
