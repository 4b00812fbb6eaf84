package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"headgate/cmd/headgate/client"
)

var userKind = kind{"/api/v2/users", "users", []string{"ID", "Name", "Status"}, func(o object) []string { return []string{o.ID, o.Name, o.Status} }}

func userCommand() *command {
	createFlags := func(c *call) {
		c.text(&c.newFlags("user").password, "password", "p", "", "`password` to give the user; without one the user has tokens only")
	}
	updateFlags := func(c *call) {
		c.text(&c.whichFlags("user").newName, "new-name", "", "", "`name` to give it")
	}
	passwordFlags := func(c *call) {
		c.text(&c.whichFlags("user").password, "password", "p", "", "`password` to give the user; read from standard input when left out")
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
			if f.password == "" && isTerminal(c.Stdin) {
				var err error
				if f.password, err = c.prompt().password(ctx, "New password, 8 to 72 characters"); err != nil {
					return err
				}
			}
			if f.password == "" {
				line, err := bufio.NewReader(c.Stdin).ReadString('\n')
				if f.password = strings.TrimRight(line, "\r\n"); f.password == "" {
					if err == nil || errors.Is(err, io.EOF) {
						err = usagef("no password: give --password, or the password on standard input")
					}
					return err
				}
			}
			return setPassword(ctx, c, cl, o.ID, f.password)
		})
	}
	update := func(ctx context.Context, c *call) error { return c.updateNamed(ctx, userKind, "user") }
	return &command{name: "user", about: "Makes, lists, changes and deletes users.", subs: []*command{
		{name: "create", args: "[NAME]", about: "Makes a user, a member of --org if there is one.", flags: createFlags, run: create}, listOf(userKind, "user"),
		{name: "update", args: "[NAME]", about: "Changes the name.", flags: updateFlags, run: update},
		{name: "password", args: "[NAME]", about: "Sets a user's password.", flags: passwordFlags, run: password}, deleteOf(userKind, "user"),
	}}
}
