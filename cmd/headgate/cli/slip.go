package cli

import (
	"errors"
	"flag"
	"strings"
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

// FlagError is what a FlagSet says of a command line, with two dashes as most people write
// flags, and with the flag that was meant.
func FlagError(err error, fs *flag.FlagSet) error {
	text := strings.Replace(err.Error(), " -", " --", 1)
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: --"); ok {
		text = "unknown flag --" + name
		if near := Nearest(name, LongFlags(fs)); near != "" {
			text += "; did you mean --" + near + "?"
		}
	}
	return errors.New(text)
}
