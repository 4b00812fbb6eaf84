package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"headgate/cmd/headgate/cli"
	"headgate/engine"
)

// setUp does what POST /api/v2/setup would, when the flags ask for it and the
// data directory is fresh.
func (f *serveFlags) setUp(ctx context.Context, e *engine.Engine, stdout io.Writer, log *slog.Logger) error {
	if !e.SetupAllowed() {
		if flags, commands := f.ignored(e); len(flags) > 0 {
			log.Warn("the data directory is set up already, and these flags say otherwise; they have no effect", "flags", strings.Join(flags, " "), "to_change", strings.Join(commands, "; "))
		}
		return nil
	}
	if f.org == "" && f.bucket == "" && f.username == "" && f.pass == "" && f.token == "" {
		if f.retention != 0 {
			log.Warn("--retention has no effect: it is the first bucket's at set-up, which --org, --bucket, --username and --password ask for; headgate bucket update --retention sets it for any")
		}
		return nil
	}
	var given, missing []string
	forClients := true
	for _, m := range []struct{ name, value string }{{"org", f.org}, {"bucket", f.bucket}, {"username", f.username}, {"password", f.pass}, {"token", f.token}} {
		switch {
		case m.value == "" && m.name != "token":
			missing = append(missing, "--"+m.name)
		case m.value == "":
		case f.variables[envName(m.name)]:
			given = append(given, envName(m.name))
			forClients = forClients && cli.Variables(m.name) != ""
		default:
			given, forClients = append(given, "--"+m.name), false
		}
	}
	switch {
	case missing != nil && forClients:
		log.Warn("variables that clients have, too, are set, but not all that set-up at start needs, so the server is not set up", "set", strings.Join(given, " "), "also_needed", strings.Join(missing, " "))
		return nil
	case missing != nil:
		return fmt.Errorf("set-up at start (%s) also needs %s", strings.Join(given, ", "), strings.Join(missing, ", "))
	}
	result, err := e.Setup(ctx, engine.SetupRequest{
		Username: f.username, Password: f.pass, Org: f.org, Bucket: f.bucket, Token: f.token, RetentionPeriod: time.Duration(f.retention),
	})
	if err != nil {
		return fmt.Errorf("set-up: %w", err)
	}
	log.Info("set up", "org", f.org, "bucket", f.bucket, "username", f.username)
	if f.token == "" {
		fmt.Fprintf(stdout, "operator token, shown only now: %s\n", result.Token)
	}
	if orgs, err := e.Organizations(e.Operator(), engine.OrganizationFilter{}); err == nil && len(orgs) > 1 {
		log.Warn("the data directory was used without tokens before; what was written then is in another organization", "organization", orgs[0].Name)
	}
	return nil
}

// ignored are the flags for a set-up that is not what the data directory has, and the commands
// that make it so. Secrets are not among what they say.
func (f *serveFlags) ignored(e *engine.Engine) (flags, commands []string) {
	differs := func(flag, command string) {
		flags, commands = append(flags, flag), append(commands, command)
	}
	op := e.Operator()
	var org engine.Organization
	if f.org != "" {
		if found, err := e.Organizations(op, engine.OrganizationFilter{Name: f.org}); err == nil && len(found) == 1 {
			org = found[0]
		} else {
			differs("--org", "headgate org create "+f.org)
		}
	}
	var bucket *engine.Bucket
	if f.bucket != "" {
		filter := engine.BucketFilter{OrgID: org.ID, Name: &f.bucket}
		if found, err := e.Buckets(op, filter); err == nil && len(found) > 0 && (f.org == "" || org.ID != 0) {
			bucket = &found[0]
		} else {
			differs("--bucket", "headgate bucket create "+f.bucket)
		}
	}
	// 0 may have been left out.
	if f.retention != 0 && (bucket == nil || bucket.RetentionPeriod != time.Duration(f.retention)) {
		name := f.bucket
		if name == "" {
			name = "NAME"
		}
		differs("--retention", fmt.Sprintf("headgate bucket update %s --retention %s", name, &f.retention))
	}
	if f.username != "" {
		if _, err := e.Users(op, engine.UserFilter{Name: f.username}); err != nil {
			differs("--username", "headgate user create "+f.username)
		} else if f.pass != "" {
			// Any other error is none about the password.
			if wrong, ok := errors.AsType[*engine.Error](e.CheckPassword(f.username, f.pass)); ok && wrong.Kind == engine.Unauthorized {
				differs("--password", "headgate user password "+f.username)
			}
		}
	}
	if f.token != "" {
		if _, err := e.AuthenticateToken(f.token); err != nil {
			differs("--token", "headgate token create, whose token is to be used instead")
		}
	}
	return flags, commands
}
