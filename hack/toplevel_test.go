package hack

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTopLevel fails on a tracked file or folder that a newcomer would not look for at the top, such as one left over from a trial.
func TestTopLevel(t *testing.T) {
	want := strings.Fields(".ci .gitignore .golangci.yml LICENSE README.md cmd feedback forecaster go.mod go.sum hack inference manifests metrics scaler")
	list := exec.Command("git", "ls-files")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Skipf("no git repository here: %v", err)
	}
	last := ""
	for file := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(file), "/")
		if name != last && !slices.Contains(want, name) {
			t.Errorf("%s is at the top level: move it into one of %v, or remove it", name, want)
		}
		last = name
	}
}
