package cli

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// What is known of the terminal that somebody may be looking at.

// widthUnknown is how wide a terminal is taken to be that does not say.
const widthUnknown = 80

// isTerminal is whether w is one.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, _, ok = terminalSize(f)
	return ok
}

// Live is whether w is a terminal on which a line can be written anew: any but one that
// says of itself that it is dumb.
func Live(w io.Writer) bool { return isTerminal(w) && os.Getenv("TERM") != "dumb" }

// Size is how many columns and rows a terminal has at this moment. What it does not say is
// 80 by 24.
func Size(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		columns, rows, _ = terminalSize(f)
	}
	if columns <= 0 {
		columns = widthUnknown
	}
	if rows <= 0 {
		rows = 24
	}
	return columns, rows
}

// Clip is the beginning of a line that fits into columns: what is longer would go on in
// the next row, where nothing takes it away again. Control characters count, which is too
// little rather than too much.
func Clip(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	n := 0
	for i := range line {
		if n == columns {
			return line[:i]
		}
		n++
	}
	return line
}

// Clipped returns a writer to w for those that write a line anew with "\r": on a terminal,
// each of their writes is cut to its width. Elsewhere it is w.
func Clipped(w io.Writer) io.Writer {
	if !isTerminal(w) {
		return w
	}
	return clipped{w}
}

type clipped struct{ w io.Writer }

const clearLine = "\x1b[K"

func (c clipped) Write(p []byte) (int, error) {
	line, ok := strings.CutPrefix(string(p), "\r"+clearLine)
	if !ok || strings.Contains(line, "\n") {
		return c.w.Write(p)
	}
	columns, _ := Size(c.w)
	if _, err := io.WriteString(c.w, "\r"+clearLine+Clip(line, columns-1)); err != nil {
		return 0, err
	}
	return len(p), nil
}
