package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// table shows rows in columns, the first row above the others as a heading.
func (c *call) table(rows [][]string) error {
	if c.common.hideHeaders {
		rows = rows[1:]
	}
	var b strings.Builder
	align(&b, rows)
	_, err := fmt.Fprint(c.Stdout, b.String())
	return err
}

// align writes rows in columns, two blanks apart.
func align(b *strings.Builder, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if i < len(row)-1 { // nothing stands behind the last one
				widths[i] = max(widths[i], utf8.RuneCountInString(printable(cell)))
			}
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			cell = printable(cell)
			line += cell + strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell))+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// printable is s with what could move a terminal's cursor written as an escape: the
// server holds what anyone has sent.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func (c *call) showJSON(v any) error {
	e := json.NewEncoder(c.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
