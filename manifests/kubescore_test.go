//go:build integration

package manifests

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// TestNothingCriticalByKubeScore runs kube-score, pinned in hack/kubescore, over all that can be applied. What we do otherwise
// on purpose is annotated where it stands, with the reason.
func TestNothingCriticalByKubeScore(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "kube-score")
	build := exec.Command("go", "build", "-modfile=hack/kubescore/go.mod", "-o", tool, "github.com/zegl/kube-score/cmd/kube-score")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build kube-score: %v\n%s", err, out)
	}
	score := func(text []byte, args ...string) (report string, scored int) {
		t.Helper()
		cmd := exec.Command(tool, append([]string{"score", "-", "-o", "ci"}, args...)...)
		cmd.Stdin = bytes.NewReader(text)
		out, err := cmd.Output() // Exits with 1 where something is critical.
		if len(out) == 0 {
			t.Fatalf("kube-score says nothing: %v", err)
		}
		for line := range strings.Lines(string(out)) {
			scored++
			if strings.HasPrefix(line, "[CRITICAL]") {
				report += line
			}
		}
		return report, scored
	}
	dirs, err := filepath.Glob("overlays/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(dirs, "base", "examples") {
		resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
		if err != nil {
			t.Fatal(err)
		}
		text, err := resources.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		var args []string
		if dir == "examples" {
			args = []string{"--ignore-test", "horizontalpodautoscaler-has-target"} // the consumers are the reader's own
		}
		report, scored := score(text, args...)
		if report != "" {
			t.Errorf("%s:\n%s", dir, report)
		}
		if scored < 3 {
			t.Errorf("%s: only %d lines", dir, scored)
		}
	}
	// It finds what is critical.
	if report, _ := score([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: c}]}\n")); report == "" {
		t.Error("a bare pod is found to be fine")
	}
}
