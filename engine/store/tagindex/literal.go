package tagindex

import (
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// literalsMax is how many values an expression may stand for and still be taken
// for their list.
const literalsMax = 4096

// literals lists the strings that re matches, if that is all that it says: it is
// anchored at both ends and made of letters, alternatives, classes and options.
// Dashboards write their variables so.
func literals(re *regexp.Regexp) ([]string, bool) {
	s, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return nil, false
	}
	for s.Op == syntax.OpCapture {
		s = s.Sub[0]
	}
	n := len(s.Sub)
	if s.Op != syntax.OpConcat || n < 2 || s.Sub[0].Op != syntax.OpBeginText || s.Sub[n-1].Op != syntax.OpEndText {
		return nil, false
	}
	return concat(s.Sub[1 : n-1])
}

// expand lists the strings that s matches from end to end.
func expand(s *syntax.Regexp) ([]string, bool) {
	switch s.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		for _, r := range s.Rune {
			if odd(r, r) {
				return nil, false
			}
		}
		return []string{string(s.Rune)}, s.Flags&syntax.FoldCase == 0
	case syntax.OpCapture:
		return expand(s.Sub[0])
	case syntax.OpQuest:
		all, ok := expand(s.Sub[0])
		return append(all, ""), ok
	case syntax.OpCharClass:
		var all []string
		for i := 0; i < len(s.Rune); i += 2 {
			if odd(s.Rune[i], s.Rune[i+1]) || s.Rune[i+1]-s.Rune[i] > literalsMax || len(all) > literalsMax {
				return nil, false
			}
			for r := s.Rune[i]; r <= s.Rune[i+1]; r++ {
				all = append(all, string(r))
			}
		}
		return all, true
	case syntax.OpAlternate:
		var all []string
		for _, sub := range s.Sub {
			some, ok := expand(sub)
			if all = append(all, some...); !ok || len(all) > literalsMax {
				return nil, false
			}
		}
		return all, true
	case syntax.OpConcat:
		return concat(s.Sub)
	}
	return nil, false
}

// odd reports whether one of the runes from lo to hi may match other bytes than
// its own: those that are not UTF-8 match U+FFFD, and surrogates none.
func odd(lo, hi rune) bool { return hi >= 0xd800 && lo <= utf8.RuneError }

func concat(subs []*syntax.Regexp) ([]string, bool) {
	all := []string{""}
	for _, sub := range subs {
		ends, ok := expand(sub)
		if !ok || len(all)*len(ends) > literalsMax {
			return nil, false
		}
		var longer []string
		for _, a := range all {
			for _, e := range ends {
				longer = append(longer, a+e)
			}
		}
		all = longer
	}
	return all, true
}
