package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"headgate/cmd/headgate/client"
)

// setupFlags are the flags of setup.
type setupFlags struct{ username, password, bucket, retention, name string }

func setupCommand() *command {
	return &command{name: "setup", about: "Sets a new server up: the first user, organization, bucket and operator token, which it keeps as a profile.\nThe token is --token, or one that the server makes. On a terminal it asks for what is left out.", flags: func(c *call) {
		f := new(setupFlags)
		c.values = f
		c.output()
		c.text(&f.username, "username", "u", "", "`name` of the user")
		c.text(&f.password, "password", "p", "", "`password` of the user, 8 to 72 characters")
		c.text(&f.bucket, "bucket", "b", "", "`name` of the bucket")
		c.text(&f.retention, "retention", "r", "", "`time` that the bucket keeps points, such as 30d; infinite if left out")
		c.text(&f.name, "name", "n", "", "`profile` to keep host, token, organization and bucket in; default, or default2 and so on beside that of another server")
		force := false
		c.flag(&force, "force", "f", "make no questions of what influx would have confirmed; nothing here is, the flag is there for scripts that give it")
	}, run: func(ctx context.Context, c *call) error {
		f := c.values.(*setupFlags)
		if (f.username == "" || f.password == "" || f.bucket == "" || c.common.org == "") && !isTerminal(c.Stdin) {
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
		host := c.common.host
		if host == "" {
			host = client.DefaultHost
		}
		another := func(name string) bool {
			old, taken := p[name]
			return taken && !client.SameServer(old.URL, host)
		}
		name := f.name
		if name == "" {
			name = "default"
			for i := 2; another(name); i++ {
				name = "default" + strconv.Itoa(i)
			}
		} else if another(name) { // and its token would be lost
			return fmt.Errorf("profile %q is for %s: give another --name, or remove it (headgate config rm %[1]s)", name, client.WithoutUser(p[name].URL))
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
		if err := f.ask(ctx, c, cl); err != nil {
			return err
		}
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

// ask asks whoever is at the terminal for what the command line leaves out, if the server
// can be set up.
func (f *setupFlags) ask(ctx context.Context, c *call, cl *client.Client) error {
	var missing bool
	for _, v := range []string{f.username, f.password, c.common.org, f.bucket} {
		missing = missing || v == ""
	}
	if !missing {
		return nil
	}
	var said struct{ Allowed bool }
	if err := cl.JSON(ctx, http.MethodGet, "/api/v2/setup", nil, nil, &said); err != nil {
		return err
	}
	if !said.Allowed {
		return errors.New("the server is set up already; \"headgate config create\" keeps a profile with a token of it")
	}
	p := c.prompt()
	for _, q := range []struct {
		to       *string
		question string
		ask      func(context.Context, string) (string, error)
	}{
		{&f.username, "Name of the first user", p.text}, {&f.password, "Password, 8 to 72 characters", p.password},
		{&c.common.org, "Organization", p.text}, {&f.bucket, "Bucket", p.text},
	} {
		if *q.to != "" {
			continue
		}
		var err error
		if *q.to, err = q.ask(ctx, q.question); err != nil {
			return err
		}
	}
	return nil
}
