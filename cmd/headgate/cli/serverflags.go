package cli

import (
	"errors"
	"flag"
	"os"

	"headgate/cmd/headgate/client"
)

// ServerFlags are the flags that say which server is asked, and as whom, for commands of
// other packages: they have the names that they have here. What is left out comes from the
// environment, else from the active profile.
type ServerFlags struct {
	// Org is the organization's name or id, once Client has been called.
	Org    string
	common commonFlags
	bucket string
	call   *call // once Client has been called
}

// Register adds them to fs. token is what the usage of --token says.
func (f *ServerFlags) Register(fs *flag.FlagSet, token, org string) {
	c := &call{set: fs, short: make(map[string]string)}
	c.text(&f.common.host, "host", "", "", "`URL` of the server: http://, https://, or unix:///path of its socket;\nwhat is left out comes from the active profile, see \"headgate config\". Without one it is "+client.DefaultHost)
	c.text(&f.common.token, "token", "t", "", token)
	c.text(&f.common.org, "org", "o", "", org)
	c.text(&f.common.orgID, "org-id", "", "", "`id` of the organization, instead of its name")
	c.text(&f.common.activeConfig, "active-config", "c", "", "`profile` to use, instead of the active one")
	c.text(&f.common.configsPath, "configs-path", "", "", "`file` with profiles; default $XDG_CONFIG_HOME/headgate/profiles.toml")
	c.flag(&f.common.skipVerify, "skip-verify", "", "take any certificate of an https server")
}

// RegisterBucket adds --bucket.
func (f *ServerFlags) RegisterBucket(fs *flag.FlagSet) {
	c := &call{set: fs, short: make(map[string]string)}
	c.text(&f.bucket, "bucket", "b", "", "`name` or id of the bucket, instead of the argument")
}

// Bucket is the bucket that an argument names, unless it is empty, or what stands for it. Client
// has been called.
func (f *ServerFlags) Bucket(argument string) (string, error) {
	if argument != "" && f.bucket != "" {
		return "", usagef("unexpected argument %q beside --bucket", argument)
	}
	return f.call.bucket(argument+f.bucket, "")
}

// Client returns a client for the server. getenv nil is os.LookupEnv.
func (f *ServerFlags) Client(userAgent string, getenv func(string) (string, bool)) (*client.Client, error) {
	if getenv == nil {
		getenv = os.LookupEnv
	}
	c := &call{Env: &Env{Getenv: getenv}, common: f.common}
	if c.common.configsPath == "" {
		c.common.configsPath, _ = c.variable("CONFIGS_PATH")
	}
	if err := c.resolve(); err != nil {
		return nil, err
	}
	f.Org, f.call = c.common.org, c
	cl, err := client.New(c.clientOptions(userAgent))
	if err != nil {
		return nil, usageError{err}
	}
	return cl, nil
}

// Status is the exit status for an error: 2 for a command line that makes no sense, else 1.
func Status(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// Variables are the variables that set a flag of the commands that ask a server, "" if there
// are none.
func Variables(flagName string) string {
	v := map[string]string{"host": "HOST", "token": "TOKEN", "org": "ORG", "org-id": "ORG_ID", "active-config": "ACTIVE_CONFIG", "configs-path": "CONFIGS_PATH", "bucket": "BUCKET"}[flagName]
	if v == "" {
		return ""
	}
	return "HEADGATE_" + v + " or INFLUX_" + v
}
