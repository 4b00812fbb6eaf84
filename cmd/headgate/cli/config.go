package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"headgate/cmd/headgate/client"
)

// profile is one server, as whom and where, in the configuration file.
type profile struct {
	URL    string `toml:"url" json:"url"`
	Token  string `toml:"token,omitempty" json:"-"`
	Org    string `toml:"org,omitempty" json:"org"`
	Bucket string `toml:"bucket,omitempty" json:"bucket"`
	Active bool   `toml:"active,omitempty" json:"active"`
}

type profiles map[string]profile

// profilesPath is the file with the profiles.
func (c *call) profilesPath() (string, error) {
	if c.common.configsPath != "" {
		return c.common.configsPath, nil
	}
	if dir, ok := c.Getenv("XDG_CONFIG_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "headgate", "profiles.toml"), nil
	}
	home, ok := c.Getenv("HOME")
	if !ok || home == "" {
		return "", nil
	}
	return filepath.Join(home, ".config", "headgate", "profiles.toml"), nil
}

// profiles reads the file; one that does not exist has none.
func (c *call) profiles() (profiles, error) {
	path, err := c.profilesPath()
	if err != nil || path == "" {
		return nil, err
	}
	p := make(profiles)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	} else if err != nil {
		return nil, err
	}
	if err := toml.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// active is the profile called name, or the active one and its name, or none.
func (p profiles) active(name string) (string, profile, error) {
	if name != "" {
		one, ok := p[name]
		if !ok {
			return name, one, fmt.Errorf("no profile is called %q; \"headgate config list\" shows what there is", name)
		}
		return name, one, nil
	}
	for name, one := range p {
		if one.Active {
			return name, one, nil
		}
	}
	return "", profile{}, nil
}

// activate makes name the only active profile.
func (p profiles) activate(name string) {
	for n, one := range p {
		one.Active = n == name
		p[n] = one
	}
}

// save writes the file, whole or not at all, for its owner only: it holds tokens.
func (c *call) save(p profiles) error {
	path, err := c.profilesPath()
	if err != nil {
		return err
	}
	if path == "" {
		return errors.New("no home directory: give --configs-path")
	}
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(p); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".profiles-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text.Bytes())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

type configFlags struct {
	profile
	name   string
	active bool
}

func configCommand() *command {
	flags := func(c *call) {
		f := new(configFlags)
		c.values = f
		c.text(&f.name, "config-name", "n", "", "`name` of the profile, instead of the argument")
		c.text(&f.URL, "host-url", "u", "", "`URL` of the server")
		c.set.StringVar(&f.URL, "host", "", "the same as --host-url, a `URL`")
		c.text(&f.Token, "token", "t", "", "`token` to keep in the profile")
		c.text(&f.Org, "org", "o", "", "`organization` to use")
		c.text(&f.Bucket, "bucket", "b", "", "`bucket` to use")
		c.flag(&f.active, "active", "a", "make it the active profile")
		c.output()
	}
	list := func(c *call) { c.output() }
	one := func(name, args, about string, run func(context.Context, *call) error, flags func(*call)) *command {
		return &command{name: name, args: args, about: about, local: true, run: run, flags: flags}
	}
	use := one("use", "NAME", "Makes a profile the active one. \"headgate config NAME\" is the same.", configUse, list)
	named := func(args []string, env *Env) *command {
		c := &call{Env: env, command: use, set: flag.NewFlagSet("", flag.ContinueOnError), short: make(map[string]string)}
		c.declare()
		// What is wrong with the command line or the file is told by the commands about it.
		if c.parse(args) != nil || len(c.args) == 0 {
			return nil
		}
		if p, err := c.profiles(); err != nil || p[c.args[0]] == (profile{}) {
			return nil
		}
		return use
	}
	return &command{name: "config", other: named, about: "Keeps profiles: the servers that commands ask, with token, organization and bucket. With --host of\nanother server nothing of the active profile is used.", subs: []*command{
		one("create", "[NAME]", "Makes a profile; the first one becomes active.", configCreate, flags),
		one("set", "[NAME]", "Changes what is given of a profile.", configSet, flags),
		use,
		one("list", "", "Lists the profiles, without their tokens.", configList, list),
		one("rm", "NAME", "Removes a profile.", configRemove, list),
	}}
}

// profileName is the profile that the command line names.
func (c *call) profileName() (string, error) {
	name := ""
	if f, ok := c.values.(*configFlags); ok {
		name = f.name
	}
	if len(c.args) > 0 {
		name = c.args[0]
	}
	if name == "" || len(c.args) > 1 {
		return "", usagef("give the name of one profile")
	}
	return name, nil
}

func configCreate(_ context.Context, c *call) error {
	f := c.values.(*configFlags)
	p, err := c.profiles()
	if err != nil {
		return err
	}
	if f.name == "" && len(c.args) == 0 {
		f.name = "default"
	}
	name, err := c.profileName()
	if err != nil {
		return err
	}
	if _, ok := p[name]; ok {
		return fmt.Errorf("profile %q exists; \"headgate config set %[1]s\" changes it", name)
	}
	if p == nil {
		p = make(profiles)
	}
	p[name] = f.profile
	if f.active || len(p) == 1 {
		p.activate(name)
	}
	return c.saveAndShow(p, name)
}

func configSet(_ context.Context, c *call) error {
	f := c.values.(*configFlags)
	p, name, err := c.existing()
	if err != nil {
		return err
	}
	one := p[name]
	for _, v := range []struct{ to, from *string }{{&one.URL, &f.URL}, {&one.Token, &f.Token}, {&one.Org, &f.Org}, {&one.Bucket, &f.Bucket}} {
		if *v.from != "" {
			*v.to = *v.from
		}
	}
	p[name] = one
	if f.active {
		p.activate(name)
	}
	return c.saveAndShow(p, name)
}

func configUse(_ context.Context, c *call) error {
	p, name, err := c.existing()
	if err != nil {
		return err
	}
	p.activate(name)
	return c.saveAndShow(p, name)
}

func configRemove(_ context.Context, c *call) error {
	p, name, err := c.existing()
	if err != nil {
		return err
	}
	delete(p, name)
	return c.save(p)
}

func configList(_ context.Context, c *call) error {
	p, err := c.profiles()
	if err != nil {
		return err
	}
	return c.showProfiles(p, slices.Sorted(maps.Keys(p))...)
}

// existing reads the profiles and which of them is meant.
func (c *call) existing() (profiles, string, error) {
	p, err := c.profiles()
	if err != nil {
		return nil, "", err
	}
	name, err := c.profileName()
	if err != nil {
		return nil, "", err
	}
	_, _, err = p.active(name)
	return p, name, err
}

func (c *call) saveAndShow(p profiles, name string) error {
	if err := c.save(p); err != nil {
		return err
	}
	return c.showProfiles(p, name)
}

func (c *call) showProfiles(p profiles, names ...string) error {
	if c.common.json {
		shown := make(profiles)
		for _, name := range names {
			one := p[name]
			one.URL = client.WithoutUser(one.URL)
			shown[name] = one
		}
		return c.showJSON(shown)
	}
	rows := [][]string{{"Active", "Name", "URL", "Org", "Bucket"}}
	for _, name := range names {
		one := p[name]
		rows = append(rows, []string{strings.Repeat("*", map[bool]int{true: 1}[one.Active]), name, client.WithoutUser(one.URL), one.Org, one.Bucket})
	}
	return c.table(rows)
}
