package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"headgate/cmd/headgate/client"
)

// Env is what a command has around it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv looks a variable up. Default os.LookupEnv.
	Getenv func(string) (string, bool)
	// Version names the binary to servers.
	Version string
	// Meter makes what shows how far a command is, unless it is nil: update as often as
	// there is news, and end before anything else is written.
	Meter func(w io.Writer) (update func(step string, done, total int64), end func())
	// OtherCommands are commands that are not of this package, for completion, and Help is what
	// such a command says with --help. Help may be nil.
	OtherCommands []string
	Help          func(command ...string) string
}

// command is one row of the table of commands.
type command struct {
	name  string
	args  string // in the usage line
	about string
	// local is whether it asks no server, and has none of the flags for that.
	local bool
	run   func(ctx context.Context, c *call) error
	// subs are the commands below it, instead of run.
	subs []*command
	// other is the sub that arguments mean of which the first is none, nil for none.
	other func(args []string, env *Env) *command
	// flags declares the flags that it has beside the common ones.
	flags func(c *call)
}

// call is a command that runs.
type call struct {
	*Env
	command *command
	path    string // "bucket create"
	set     *flag.FlagSet
	short   map[string]string // long name -> short name
	args    []string
	common  commonFlags
	values  any // what flags declared
	// profile is the one to use, empty when it is another server's.
	profile profile
	// passedOver says why the active profile is not used, if it is another server's.
	passedOver string
	// tokenGiven says that the token is of a flag or a variable and not of the profile.
	tokenGiven bool
}

// commonFlags are those of every command that asks a server.
type commonFlags struct {
	host, token, org, orgID, configsPath, activeConfig string
	skipVerify, json, hideHeaders, httpDebug           bool
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errReported is a failure that has been told already.
var errReported = errors.New("reported")

// Names are the commands of this package.
func Names() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

func commands() []*command {
	return []*command{
		writeCommand(), queryCommand(), exportCommand(), deleteCommand(), bucketCommand(), orgCommand(), tokenCommand(),
		userCommand(), setupCommand(), pingCommand(), statusCommand(), configCommand(), completionCommand(),
	}
}

// Run runs the command called name. known is false when there is none. The status is 0
// for success, 1 for failure, 2 for a command line that makes no sense.
func Run(ctx context.Context, name string, args []string, env Env) (status int, known bool) {
	if env.Getenv == nil {
		env.Getenv = os.LookupEnv
	}
	for _, c := range commands() {
		if c.named(name, false) {
			return c.dispatch(ctx, c.name, args, &env), true
		}
	}
	return 2, false
}

// aliases are what influx calls commands, too. "headgate rm" is none of them: delete is about
// points there.
func aliases(command string, sub bool) []string {
	switch {
	case command == "token":
		return []string{"auth", "authorization"}
	case command == "org":
		return []string{"organization"}
	case sub && command == "list":
		return []string{"ls", "find"}
	case sub && command == "delete":
		return []string{"rm", "remove"}
	case sub && command == "rm":
		return []string{"delete", "remove"}
	}
	return nil
}

// named is whether it is called name.
func (c *command) named(name string, sub bool) bool {
	return c.name == name || slices.Contains(aliases(c.name, sub), name)
}

func (c *command) dispatch(ctx context.Context, path string, args []string, env *Env) int {
	if len(args) > 0 {
		for _, sub := range c.subs {
			if sub.named(args[0], true) {
				return sub.dispatch(ctx, path+" "+sub.name, args[1:], env)
			}
		}
	}
	if len(args) > 0 && c.other != nil {
		if sub := c.other(args, env); sub != nil {
			return sub.dispatch(ctx, path+" "+sub.name, args, env)
		}
	}
	if c.run == nil {
		help := len(args) > 0 && slices.Contains([]string{"help", "--help", "-help", "-h"}, args[0])
		out := env.Stderr
		if help {
			out = env.Stdout
		} else if len(args) > 0 {
			var names []string
			for _, sub := range c.subs {
				names = append(names, sub.name)
			}
			if near := Nearest(args[0], names); near != "" {
				fmt.Fprintf(out, "headgate %s: unknown command %q; did you mean \"headgate %[1]s %[3]s\"?\n", path, args[0], near)
				return 2
			}
			fmt.Fprintf(out, "headgate %s: unknown command %q\n\n", path, args[0])
		}
		fmt.Fprintf(out, "usage: headgate %s <command> [flags]\n\n%s\n\ncommands:\n", path, c.about)
		for _, sub := range c.subs {
			about, _, _ := strings.Cut(sub.about, "\n")
			fmt.Fprintf(out, "  %-9s %s\n", sub.name, about)
		}
		fmt.Fprintf(out, "\n\"headgate %s <command> --help\" lists the flags of a command.\n", path)
		if help {
			return 0
		}
		return 2
	}
	call := &call{Env: env, command: c, path: path, set: flag.NewFlagSet(path, flag.ContinueOnError), short: make(map[string]string)}
	call.declare()
	err := call.parse(args)
	if err == nil {
		err = c.run(ctx, call)
	}
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		call.help(env.Stdout)
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(env.Stderr, "headgate %s: %v\nSee \"headgate %[1]s --help\".\n", path, err)
		return 2
	case !errors.Is(err, errReported):
		fmt.Fprintf(env.Stderr, "headgate %s: %v\n", path, err)
	}
	return 1
}

func (c *call) declare() {
	c.set.SetOutput(io.Discard)
	if c.command.flags != nil {
		c.command.flags(c)
	}
	f := &c.common
	c.text(&f.configsPath, "configs-path", "", "", "`file` with profiles; default $XDG_CONFIG_HOME/headgate/profiles.toml")
	if c.command.local {
		return
	}
	c.text(&f.host, "host", "", "", "`URL` of the server: http://, https://, or unix:///path of its socket; default "+client.DefaultHost)
	c.text(&f.token, "token", "t", "", "`token` to authenticate with; not needed with --auth=false")
	c.text(&f.org, "org", "o", "", "`name` or id of the organization; not needed with --auth=false")
	c.text(&f.orgID, "org-id", "", "", "`id` of the organization, instead of its name")
	c.text(&f.activeConfig, "active-config", "c", "", "`profile` to use, instead of the active one")
	c.flag(&f.skipVerify, "skip-verify", "", "take any certificate of an https server")
	c.flag(&f.httpDebug, "http-debug", "", "show the heads of requests and answers on standard error, without the token")
}

// text declares a flag that is a text, with a short name unless that is empty.
func (c *call) text(p *string, name, short, value, usage string) {
	c.set.StringVar(p, name, value, usage)
	if short != "" {
		c.set.StringVar(p, short, value, usage)
		c.short[name] = short
	}
}

func (c *call) flag(p *bool, name, short, usage string) {
	c.set.BoolVar(p, name, false, usage)
	if short != "" {
		c.set.BoolVar(p, short, false, usage)
		c.short[name] = short
	}
}

// list declares a flag that may be given several times.
func (c *call) list(p *[]string, name, short, usage string) {
	add := func(v string) error { *p = append(*p, v); return nil }
	c.set.Func(name, usage, add)
	if short != "" {
		c.set.Func(short, usage, add)
		c.short[name] = short
	}
}

// output declares the flags of commands that show tables.
func (c *call) output() {
	c.flag(&c.common.json, "json", "", "show JSON instead of a table")
	c.flag(&c.common.hideHeaders, "hide-headers", "", "show no heading above a table")
}

// parse reads the command line: flags and arguments in any order.
func (c *call) parse(args []string) error {
	for {
		if err := c.set.Parse(args); errors.Is(err, flag.ErrHelp) {
			return err
		} else if err != nil {
			return usageError{FlagError(err, c.set)}
		}
		rest := c.set.Args()
		if len(rest) == 0 {
			break
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			c.args = append(c.args, rest...)
			break
		}
		c.args, args = append(c.args, rest[0]), rest[1:]
	}
	if c.command.args == "" && len(c.args) > 0 {
		if c.set.Lookup("bucket") != nil {
			return usagef("unexpected argument %q; --bucket names the bucket", c.args[0])
		}
		return usagef("unexpected argument %q", c.args[0])
	}
	f := &c.common
	if f.configsPath == "" {
		f.configsPath, _ = c.variable("CONFIGS_PATH")
	}
	if c.command.local {
		return nil
	}
	return c.resolve()
}

// variable looks up HEADGATE_name, then INFLUX_name.
func (c *call) variable(name string) (string, bool) {
	for _, prefix := range []string{"HEADGATE_", "INFLUX_"} {
		if v, ok := c.Getenv(prefix + name); ok && v != "" {
			return v, true
		}
	}
	return "", false
}

// resolve fills the flags that were left out.
func (c *call) resolve() error {
	f := &c.common
	profiles, err := c.profiles()
	if err != nil {
		return err
	}
	named := f.activeConfig != ""
	if !named {
		f.activeConfig, _ = c.variable("ACTIVE_CONFIG")
	}
	name, p, err := profiles.active(f.activeConfig)
	if err != nil {
		return err
	}
	if f.host == "" {
		f.host, _ = c.variable("HOST")
	}
	if f.host == "" {
		f.host = p.URL
	}
	// A server must not learn what lets others into another one. Who names the profile means
	// it, and one without a URL is for any.
	if named || p.URL == "" || client.SameServer(f.host, p.URL) {
		c.profile = p
	} else {
		c.passedOver = fmt.Sprintf("the active profile %q is for %s, so nothing of it is used for another server, unless --active-config names it", name, client.WithoutUser(p.URL))
	}
	fill := func(p *string, variable, saved string) {
		if *p == "" {
			*p, _ = c.variable(variable)
		}
		if *p == "" {
			*p = saved
		}
	}
	fill(&f.token, "TOKEN", "")
	c.tokenGiven = f.token != ""
	if !c.tokenGiven {
		f.token = c.profile.Token
	}
	if f.orgID == "" && f.org == "" {
		f.orgID, _ = c.variable("ORG_ID")
	}
	if f.orgID != "" {
		f.org = f.orgID
	}
	fill(&f.org, "ORG", c.profile.Org)
	return nil
}

// bucket is the bucket that a flag names, or what stands for it.
func (c *call) bucket(name, id string) (string, error) {
	if id != "" && name != "" {
		return "", errTwoBuckets
	}
	if id != "" {
		return id, nil
	}
	for _, variable := range []string{"BUCKET", "BUCKET_NAME", "BUCKET_ID"} {
		if name == "" {
			name, _ = c.variable(variable)
		}
	}
	if name == "" {
		name = c.profile.Bucket
	}
	if name == "" {
		hint := "\"headgate bucket list\" shows what there is"
		if c.passedOver != "" {
			hint = c.passedOver
		}
		return "", usagef("no bucket: give --bucket or set HEADGATE_BUCKET; %s", hint)
	}
	return name, nil
}

var errTwoBuckets = usagef("give --bucket or --bucket-id, not both")

// bucketName is the same where only a name will do: the server is asked for that of an id, and
// for the organization that the bucket is in.
func (c *call) bucketName(ctx context.Context, cl *client.Client, name, id string) (string, error) {
	switch {
	case name != "" && id != "":
		return "", errTwoBuckets
	case name == "" && id == "":
		if _, ok := c.variable("BUCKET"); !ok {
			if _, ok := c.variable("BUCKET_NAME"); !ok {
				id, _ = c.variable("BUCKET_ID")
			}
		}
	}
	if id == "" {
		return c.bucket(name, "")
	}
	var o object
	if err := cl.JSON(ctx, http.MethodGet, bucketKind.path+"/"+url.PathEscape(id), nil, nil, &o); err != nil {
		return "", fmt.Errorf("bucket with id %q: %w", id, err)
	}
	c.common.org = o.OrgID
	return o.Name, nil
}

// client returns a client for the server.
func (c *call) client() (*client.Client, error) {
	cl, err := client.New(c.clientOptions("headgate-cli/" + c.Version))
	if err != nil {
		return nil, usageError{err}
	}
	return cl, nil
}

func (c *call) clientOptions(userAgent string) client.Options {
	o := client.Options{Host: c.common.host, Token: c.common.token, SkipVerify: c.common.skipVerify, UserAgent: userAgent, NoToken: c.passedOver}
	if c.common.httpDebug {
		o.Debug = c.Stderr
	}
	return o
}

// orgQuery is the organization as parameters of a request.
func (c *call) orgQuery() url.Values {
	q := url.Values{}
	if c.common.org != "" {
		q.Set("org", c.common.org)
	}
	return q
}

func (c *call) help(w io.Writer) {
	usage := "headgate " + c.path + " [flags]"
	if c.command.args != "" {
		usage += " " + c.command.args
	}
	fmt.Fprintf(w, "usage: %s\n\n%s\n\nflags:\n", usage, c.command.about)
	c.set.VisitAll(func(f *flag.Flag) {
		if len(f.Name) == 1 {
			return // with its long name
		}
		kind, text := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if short := c.short[f.Name]; short != "" {
			name = "-" + short + ", " + name
		}
		fmt.Fprintln(w, strings.TrimRight("  "+name+" "+kind, " "))
		fmt.Fprintf(w, "        %s\n", text)
		var more []string
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			more = append(more, "default "+f.DefValue)
		}
		if v := Variables(f.Name); v != "" {
			more = append(more, "environment "+v)
		}
		if len(more) > 0 {
			fmt.Fprintf(w, "        %s\n", strings.Join(more, ", "))
		}
	})
}

// meter shows how far a command is.
func (c *call) meter() (func(step string, done, total int64), func()) {
	if c.Meter == nil {
		return func(string, int64, int64) {}, func() {}
	}
	return c.Meter(c.Stderr)
}

// timeOf reads a time that a flag names: RFC 3339, a date, or how long ago.
func timeOf(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if d, err := durationOf(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, usagef("%q is no time: write 2026-01-02T15:04:05Z, 2026-01-02, now, or how long ago, such as 15m or 30d", text)
}

// durationOf reads a time span such as 90m, 30d, 4w or 1d12h.
func durationOf(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	var total time.Duration
	for rest := text; rest != ""; {
		n := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if n <= 0 {
			return 0, usagef("%q is no duration: write a number and a unit, such as 90m, 30d or 4w", text)
		}
		end := n + 1
		for end < len(rest) && (rest[end] < '0' || rest[end] > '9') {
			end++
		}
		unit := map[string]string{"d": "h", "w": "h"}[rest[n:end]]
		factor := map[string]time.Duration{"d": 24, "w": 7 * 24}[rest[n:end]]
		if unit == "" {
			unit, factor = rest[n:end], 1
		}
		d, err := time.ParseDuration(rest[:n] + unit)
		if err != nil || d > 1<<62/factor || total > 1<<62-d*factor {
			return 0, usagef("%q is no duration: write a number and a unit, such as 90m, 30d or 4w", text)
		}
		total += d * factor
		rest = rest[end:]
	}
	return total, nil
}
