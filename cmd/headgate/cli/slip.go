package cli

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// What somebody may have meant.

// Nearest is the one of names that is nearest to what somebody wrote, unless none is near.
func Nearest(wrote string, names []string) string {
	best, least := "", len(wrote)/3+2
	for _, name := range names {
		if len(wrote) > 2 && strings.HasPrefix(name, wrote) {
			return name
		}
		if d := editDistance(wrote, name); d < least && d < len(name) {
			best, least = name, d
		}
	}
	return best
}

// editDistance is how many characters must be put in, taken out or replaced to make b
// of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// LongFlags are the names of flags, but those of one letter.
func LongFlags(fs *flag.FlagSet) []string {
	var names []string
	fs.VisitAll(func(f *flag.Flag) {
		if len(f.Name) > 1 {
			names = append(names, f.Name)
		}
	})
	return names
}

// otherNames are what other programs call a flag, where the spelling is far off.
var otherNames = map[string]string{
	"port": "listen", "address": "listen", "addr": "listen", "bind": "listen", "bind-address": "listen", "http-bind-address": "listen",
	"dir": "data-dir", "engine-path": "data-dir", "storage-path": "data-dir", "url": "host", "server": "host", "auth-token": "token", "organization": "org", "database": "db",
	"end": "stop", "stop": "end",
}

// badValue is what a FlagSet says of a value that a flag does not take.
var badValue = regexp.MustCompile(`^invalid (?:boolean )?value ("(?s:.*)") for (?:flag )?-([^ :]+): (.*)$`)

// ValueError is why a flag does not take a value. For the flags of package flag, which only say
// "parse error", it tells what they take.
func ValueError(f *flag.Flag, err error) error {
	g, ok := f.Value.(flag.Getter)
	if !ok || err == nil {
		return err
	}
	switch text := err.Error(); {
	case text == "value out of range":
		return errors.New("the number is too large")
	case text != "parse error":
		return err
	}
	switch g.Get().(type) {
	case bool:
		return errors.New("write true or false")
	case int, int64, uint, uint64:
		return errors.New("write a whole number")
	case float64:
		return errors.New("write a number")
	case time.Duration:
		return errors.New("write a number and a unit (ns, us, ms, s, m, h), such as 500ms or 2s")
	}
	return err
}

// FlagError is what a FlagSet says of a command line, with two dashes as most people write
// flags, and with the flag that was meant.
func FlagError(err error, fs *flag.FlagSet) error {
	if m := badValue.FindStringSubmatch(err.Error()); m != nil {
		if f := fs.Lookup(m[2]); f != nil {
			return fmt.Errorf("invalid value %s for flag --%s: %w", m[1], m[2], ValueError(f, errors.New(m[3])))
		}
	}
	text := strings.Replace(err.Error(), " -", " --", 1)
	name, ok := strings.CutPrefix(text, "flag provided but not defined: --")
	switch {
	case ok && strings.ContainsAny(name, " \n"):
		text = `an argument that begins with a dash is taken for a flag, unless "--" stands before it`
	case ok:
		text = "unknown flag --" + name
		if len(name) == 1 {
			text = "unknown flag -" + name
		}
		if meant := otherNames[name]; fs.Lookup(meant) != nil {
			text += "; did you mean --" + meant + "?"
		} else if near := Nearest(name, LongFlags(fs)); near != "" {
			text += "; did you mean --" + near + "?"
		}
	}
	return errors.New(text)
}
