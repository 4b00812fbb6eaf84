package cli

import (
	"context"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func completionCommand() *command {
	return &command{name: "completion", args: "bash|zsh|fish", local: true, about: `Prints what makes a shell complete commands and flags:
  bash: source <(headgate completion bash)
  zsh:  headgate completion zsh > "${fpath[1]}/_headgate"
  fish: headgate completion fish > ~/.config/fish/completions/headgate.fish`, run: runCompletion}
}

// words are what may follow a command: its commands and flags.
type words struct {
	path  string // "bucket create"
	about string
	words []string
}

// allWords lists every command of c and below it.
func allWords(env *Env, c *command, path string) []words {
	about, _, _ := strings.Cut(c.about, "\n")
	w := words{path: path, about: about}
	var below []words
	for _, sub := range c.subs {
		w.words = append(w.words, sub.name)
		below = append(below, allWords(env, sub, path+" "+sub.name)...)
	}
	if c.run != nil {
		call := &call{Env: env, command: c, path: path, set: flag.NewFlagSet(path, flag.ContinueOnError), short: make(map[string]string)}
		call.declare()
		if words := strings.Split(c.args, "|"); len(words) > 1 {
			w.words = append(w.words, words...)
		}
		for _, name := range LongFlags(call.set) {
			w.words = append(w.words, "--"+name)
		}
	}
	return append([]words{w}, below...)
}

var (
	helpCommand = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*)  +\S`)
	helpFlag    = regexp.MustCompile(`(?m)^  (?:-\w, )?(--[\w-]+)`)
)

// helpWords are the words of a command of another package, by what its help lists.
func (c *call) helpWords(path ...string) []words {
	if c.Help == nil {
		return nil
	}
	help := c.Help(path...)
	_, list, isGroup := strings.Cut(help, "\ncommands:\n")
	w := words{path: strings.Join(path, " ")}
	var below []words
	if isGroup {
		for _, m := range helpCommand.FindAllStringSubmatch(list, -1) {
			w.words = append(w.words, m[1])
			below = append(below, c.helpWords(append(slices.Clone(path), m[1])...)...)
		}
	}
	for _, m := range helpFlag.FindAllStringSubmatch(help, -1) {
		w.words = append(w.words, m[1])
	}
	return append([]words{w}, below...)
}

func runCompletion(_ context.Context, c *call) error {
	if len(c.args) != 1 || !slices.Contains([]string{"bash", "zsh", "fish"}, c.args[0]) {
		return usagef("name one shell: bash, zsh or fish")
	}
	names := append(Names(), c.OtherCommands...)
	slices.Sort(names)
	var all []words
	for _, cmd := range commands() {
		all = append(all, allWords(c.Env, cmd, cmd.name)...)
	}
	for _, name := range c.OtherCommands {
		all = append(all, c.helpWords(name)...)
	}
	var b strings.Builder
	if c.args[0] == "fish" {
		fmt.Fprint(&b, "function __headgate_at\n    set -l words (commandline -opc | string match -v -- '-*')\n    test \"$words[2..]\" = \"$argv\"\nend\ncomplete -c headgate -f\n")
		fmt.Fprintf(&b, "complete -c headgate -n __fish_use_subcommand -a '%s'\n", strings.Join(names, " "))
		for _, w := range all {
			for _, word := range w.words {
				if long, ok := strings.CutPrefix(word, "--"); ok {
					fmt.Fprintf(&b, "complete -c headgate -n '__headgate_at %s' -l %s\n", w.path, long)
				} else {
					fmt.Fprintf(&b, "complete -c headgate -n '__headgate_at %s' -a %s\n", w.path, word)
				}
			}
		}
		_, err := fmt.Fprint(c.Stdout, b.String())
		return err
	}
	if c.args[0] == "zsh" {
		fmt.Fprint(&b, "#compdef headgate\nautoload -U +X bashcompinit && bashcompinit\n")
	}
	fmt.Fprint(&b, "_headgate() {\n    local path= word i\n    for ((i = 1; i < COMP_CWORD; i++)); do\n        word=${COMP_WORDS[i]}\n        [[ $word == -* ]] || path+=\" $word\"\n    done\n    local words=\n    case \"$path\" in\n")
	fmt.Fprintf(&b, "    '') words='%s' ;;\n", strings.Join(names, " "))
	// Longer paths first: what follows a command may be an argument or a flag's value.
	slices.SortStableFunc(all, func(a, b words) int { return strings.Count(b.path, " ") - strings.Count(a.path, " ") })
	for _, w := range all {
		fmt.Fprintf(&b, "    ' %s'|' %s '*) words='%s' ;;\n", w.path, w.path, strings.Join(w.words, " "))
	}
	fmt.Fprint(&b, "    esac\n    COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -o default -F _headgate headgate\n")
	_, err := fmt.Fprint(c.Stdout, b.String())
	return err
}
