package datadir

import (
	"os"
	"slices"
	"strings"
)

// Foreign returns the names of what a directory has that is no data directory and
// would become one: none if it is a data directory, empty, missing or cannot be read. Hidden
// files and lost+found do not count.
func Foreign(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // opening it says why
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if slices.Contains([]string{catalogDir, shardDir, unfinishedFile}, name) {
			return nil
		}
		if name != "lost+found" && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names
}
