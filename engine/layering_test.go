package engine_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulePath = "headgate"

// layers says which packages of ours a package may import, its test files
// excluded. Patterns are the go command's: "wal" is that package alone, "wal/..."
// is it and everything below. The longest pattern that fits a package is its row;
// a package without a row fails the test.
var layers = map[string][]string{
	"cmd/headgate":         {"..."},
	"cmd/headgate/...":     {"cmd/headgate/..."},
	"bench/...":            {"..."},
	"httpfront/...":        {"httpfront/...", "engine", "engine/point"},
	"engine":               {"engine/...", "actors/...", "wal/..."},
	"actors/...":           {"actors/...", "wal", "engine/store", "engine/store/disk", "engine/record", "engine/lineproto", "engine/point"},
	"engine/datadir":       {"engine/catalog", "engine/store/...", "engine/point", "wal/pebblewal"},
	"engine/influxql/...":  {"engine/influxql/...", "engine/point"},
	"engine/flux/...":      {"engine/flux/...", "engine/point"},
	"engine/store/...":     {"engine/store/...", "engine/point", "engine/record", "wal/fence"},
	"engine/catalog/...":   {"engine/catalog/...", "engine/point"},
	"engine/lineproto/...": {"engine/lineproto/...", "engine/point"},
	"engine/record/...":    {"engine/record/...", "engine/point"},
	"engine/point":         {},
	"engine/testkit":       {},
	"wal":                  {},
	"wal/waltest":          {"wal", "engine/testkit"},
	"wal/fence":            {},
	"wal/pebblewal/...":    {"wal", "wal/fence", "wal/pebblewal/..."},
}

// bigDependencies says which packages of ours may know a big dependency, its
// test files excluded. None at all: only tests may.
var bigDependencies = map[string][]string{
	"github.com/valyala/fasthttp/...":         {"httpfront/..."},
	"github.com/asynkron/protoactor-go/...":   {"actors/..."},
	"github.com/cockroachdb/pebble/...":       {"wal/pebblewal/...", "wal/fence", "engine/store/..."},
	"github.com/influxdata/influxdb/...":      {"engine/influxql/..."},
	"github.com/influxdata/flux/...":          {"engine/flux/..."},
	"github.com/apache/arrow/...":             {"engine/flux/..."},
	"github.com/cockroachdb/datadriven/...":   {},
	"github.com/influxdata/line-protocol/...": {},
}

// topLevel is what the root of the repository may hold.
var topLevel = []string{
	"engine", "actors", "httpfront", "wal", "bench", "cmd", "go.mod", "go.sum", "ARCHITECTURE.md",
	"README.md", "LICENSE", ".ci", ".gitignore",
}

type listedPackage struct {
	ImportPath string
	Imports    []string
}

// listPackages runs go list in the root of the module.
func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	// -e: a package that does not compile is another test's failure.
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pkgs []listedPackage
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) == 0 {
		t.Fatal("go list named no package")
	}
	return pkgs
}

// ours returns the path of a package inside the module.
func ours(importPath string) (string, bool) {
	if importPath == modulePath {
		return ".", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

// fits reports whether path is what pattern names.
func fits(pattern, path string) bool {
	root, deep := strings.CutSuffix(pattern, "...")
	if !deep {
		return path == pattern
	}
	return path == strings.TrimSuffix(root, "/") || strings.HasPrefix(path, root)
}

func fitsAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return fits(pattern, path) })
}

// rowOf returns the pattern of table that fits path best, "" when none does: its own, or
// the longest.
func rowOf(table map[string][]string, path string) string {
	if _, ok := table[path]; ok {
		return path
	}
	best := ""
	for pattern := range table {
		if fits(pattern, path) && len(pattern) > len(best) {
			best = pattern
		}
	}
	return best
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range listPackages(t) {
		pkg, ok := ours(p.ImportPath)
		if !ok {
			t.Errorf("go list named %s, which is not of module %s", p.ImportPath, modulePath)
			continue
		}
		row := rowOf(layers, pkg)
		if row == "" {
			t.Errorf("package %s has no row in the layering table", pkg)
			continue
		}
		for _, imp := range p.Imports {
			if imported, ok := ours(imp); ok && !fitsAny(layers[row], imported) {
				t.Errorf("%s imports %s; %s may import only %v", pkg, imported, row, layers[row])
			}
		}
	}
}

func TestBigDependenciesHaveOneHome(t *testing.T) {
	for _, p := range listPackages(t) {
		pkg, _ := ours(p.ImportPath)
		for _, imp := range p.Imports {
			row := rowOf(bigDependencies, imp)
			if row != "" && !fitsAny(bigDependencies[row], pkg) {
				t.Errorf("%s imports %s; only %v may", pkg, imp, bigDependencies[row])
			}
		}
	}
}

// TestFits shows the tables above mean what they say.
func TestFits(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"engine", "engine", true},
		{"engine", "engine/point", false},
		{"engine/...", "engine", true},
		{"engine/...", "engine/point", true},
		{"engine/...", "enginex", false},
		{"...", "wal/pebblewal", true},
	} {
		if got := fits(c.pattern, c.path); got != c.want {
			t.Errorf("fits(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
	if got := rowOf(map[string][]string{"cmd/a": nil, "cmd/a/...": nil}, "cmd/a"); got != "cmd/a" {
		t.Errorf("cmd/a's row is %q", got)
	}
	if got := rowOf(bigDependencies, "github.com/cockroachdb/pebble/v2/vfs"); got != "github.com/cockroachdb/pebble/..." {
		t.Errorf("pebble's row is %q", got)
	}
}

// TestTopLevel keeps the root to what the layout names, going by what git tracks.
func TestTopLevel(t *testing.T) {
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		t.Skipf("not a git checkout: %v", err)
	}
	seen := map[string]bool{}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		top, _, _ := strings.Cut(filepath.ToSlash(name), "/")
		if !seen[top] && !slices.Contains(topLevel, top) {
			t.Errorf("the repository's root holds %s, which the layout does not name", top)
		}
		seen[top] = true
	}
}
