//go:build !unix

package cli

import "os"

// terminalSize only tells whether f may be a terminal.
func terminalSize(f *os.File) (columns, rows int, ok bool) {
	info, err := f.Stat()
	return 0, 0, err == nil && info.Mode()&os.ModeCharDevice != 0
}
