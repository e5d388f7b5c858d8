package hack

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The designs name each other, files and tests, and are named from code and from the README. All of these go stale in silence.
var (
	byPath   = regexp.MustCompile(`hack/designs/([a-z-]+\.md)`)
	byName   = regexp.MustCompile(`\b[a-z][a-z-]*\.md\b`)
	goFile   = regexp.MustCompile("`[a-z/0-9]*?([a-z0-9_]+\\.go)`")
	testName = regexp.MustCompile(`\bTest[A-Z]\w*`)
	testFunc = regexp.MustCompile(`(?m)^func (Test\w+)`)
)

// texts returns the repository's files that may name a design, by path from its root.
func texts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); path != ".." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "artefacts") {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.Name() == "designs_test.go" { // which names what is not there
			return nil
		}
		if slices.Contains([]string{".go", ".md", ".sh", ".yaml", ".proto", ".py"}, filepath.Ext(path)) {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found[strings.TrimPrefix(filepath.ToSlash(path), "../")] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// stale returns what is named and is not there, and the designs that no other file names.
func stale(texts map[string]string) []string {
	const folder = "hack/designs/"
	files, tests, named := map[string]bool{}, []string{}, map[string]bool{}
	for path, text := range texts {
		files[filepath.Base(path)] = true
		for _, m := range testFunc.FindAllStringSubmatch(text, -1) {
			tests = append(tests, m[1])
		}
	}
	var bad []string
	name := func(path, design string) {
		if _, ok := texts[folder+design]; !ok {
			bad = append(bad, fmt.Sprintf("%s names %s, which is not there", path, folder+design))
		}
		named[design] = named[design] || path != folder+design
	}
	for path, text := range texts {
		for _, m := range byPath.FindAllStringSubmatch(text, -1) {
			name(path, m[1])
		}
		if !strings.HasPrefix(path, folder) {
			continue
		}
		for _, m := range byName.FindAllString(text, -1) {
			name(path, m)
		}
		for _, m := range goFile.FindAllStringSubmatch(text, -1) {
			if !files[m[1]] {
				bad = append(bad, fmt.Sprintf("%s names the file %s, which is not there", path, m[1]))
			}
		}
		for _, m := range testName.FindAllString(text, -1) {
			if !slices.ContainsFunc(tests, func(test string) bool { return strings.HasPrefix(test, m) }) {
				bad = append(bad, fmt.Sprintf("%s names %s, and no test's name begins so", path, m))
			}
		}
	}
	for path := range texts {
		if design, ok := strings.CutPrefix(path, folder); ok && design != "README.md" && !named[design] {
			bad = append(bad, fmt.Sprintf("no other file names %s", path))
		}
	}
	slices.Sort(bad)
	return bad
}

func TestDesignsNameWhatIsThere(t *testing.T) {
	all := texts(t)
	if _, ok := all["hack/designs/README.md"]; !ok || len(all) < 100 {
		t.Fatalf("%d files found, hack/designs/README.md among them: %v", len(all), ok)
	}
	for _, what := range stale(all) {
		t.Error(what)
	}
}

// TestEachDesignSaysWhyWhatAndWhatNot: those that argue have the four sections, in this order. forecaster.md and scaler.md describe.
func TestEachDesignSaysWhyWhatAndWhatNot(t *testing.T) {
	section := regexp.MustCompile(`(?m)^## (\S+)`)
	for path, text := range texts(t) {
		design, ok := strings.CutPrefix(path, "hack/designs/")
		if !ok || slices.Contains([]string{"README.md", "forecaster.md", "scaler.md"}, design) {
			continue
		}
		var got []string
		for _, m := range section.FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		if want := []string{"Motivation", "Proposal", "Non-goals", "Alternatives"}; !slices.Equal(got, want) {
			t.Errorf("%s: sections %q, want %q", path, got, want)
		}
	}
}

func TestStaleNamesAreFound(t *testing.T) {
	got := stale(map[string]string{
		"hack/designs/README.md":   "[one](one.md)",
		"hack/designs/one.md":      "see gone.md, `a/b.go`, `a/away.go`, `TestOf`, `TestAway`",
		"hack/designs/orphan.md":   "orphan.md",
		"a/b.go":                   "package a // hack/designs/one.md, hack/designs/left.md",
		"a/b_test.go":              "func TestOfThis(t *testing.T) {}",
		"manifests/elsewhere.yaml": "gone.md of another project",
	})
	want := []string{
		"a/b.go names hack/designs/left.md, which is not there",
		"hack/designs/one.md names TestAway, and no test's name begins so",
		"hack/designs/one.md names hack/designs/gone.md, which is not there",
		"hack/designs/one.md names the file away.go, which is not there",
		"no other file names hack/designs/orphan.md",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
