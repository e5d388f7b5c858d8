package hack

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/prescale/prescale/"

// allowed lists the import edges among our packages, as in hack/CONVENTIONS.md. A pattern that ends in "/..." covers the
// package and everything below it. The first rule whose pattern matches the importer is the one that counts.
var allowed = []struct {
	importer string
	imports  []string
}{
	{"metrics/series", nil},
	{"metrics/collector/...", []string{"metrics/collector/...", "metrics/series"}},
	{"metrics/eventlog/...", []string{"metrics/eventlog/...", "metrics/series"}},
	{"metrics/externalscaler/...", []string{"metrics/externalscaler/..."}},
	{"metrics/external/...", []string{"metrics/external/..."}},
	{"forecaster/catalog", []string{"forecaster/...", "metrics/series"}},
	{"forecaster/...", []string{"forecaster/...", "metrics/series"}},
	{"scaler/...", []string{"scaler/...", "forecaster", "metrics/series"}},
	{"inference/...", []string{"inference/..."}},
	{"feedback/...", []string{"feedback/...", "inference/event", "inference/model", "inference/registry", "inference/transaction"}},
	{"cmd/inference/...", []string{"cmd/inference/...", "cmd/internal/...", "inference/..."}},
	{"cmd/feedback/...", []string{"cmd/feedback/...", "cmd/internal/...", "feedback/...", "inference/..."}},
	{"cmd/prescale/...", []string{"cmd/prescale/...", "cmd/internal/...", "metrics/...", "forecaster/...", "scaler/..."}},
	{"cmd/demo/...", []string{"cmd/...", "metrics/...", "forecaster/...", "scaler/...", "inference/...", "feedback/..."}},
	{"cmd/internal/...", []string{"cmd/internal/...", "metrics/...", "forecaster/...", "scaler/..."}},
	{"hack/...", []string{"..."}},
}

// matches reports whether pkg is what pattern names.
func matches(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
	}
	return pkg == pattern
}

func matchesAny(patterns []string, pkg string) bool {
	for _, p := range patterns {
		if matches(p, pkg) {
			return true
		}
	}
	return false
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// violations returns the edges that no rule allows, as "importer -> imported".
func violations(all []listed) []string {
	var bad []string
	for _, p := range all {
		importer := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			imported, ours := strings.CutPrefix(imported, module)
			if !ours || imported == importer {
				continue
			}
			ok := false
			for _, rule := range allowed {
				if matches(rule.importer, importer) {
					ok = matchesAny(rule.imports, imported)
					break
				}
			}
			if !ok {
				bad = append(bad, importer+" -> "+imported)
			}
		}
	}
	return bad
}

func TestImportsFollowTheDataFlow(t *testing.T) {
	all := packages(t)
	if len(all) < 5 {
		t.Fatalf("only %d packages listed", len(all))
	}
	for _, edge := range violations(all) {
		t.Errorf("import not allowed: %s (see hack/CONVENTIONS.md)", edge)
	}
}

func TestForbiddenEdgesAreFound(t *testing.T) {
	for _, edge := range [][2]string{
		{"metrics/series", "forecaster"},
		{"metrics/collector/kafka", "scaler"},
		{"forecaster", "scaler"},
		{"forecaster/ridge", "metrics/collector"},
		{"scaler", "forecaster/catalog"},
		{"scaler", "inference/event"},
		{"inference/server", "scaler"},
		{"metrics/external", "scaler"},
		{"feedback/train", "inference/server"},
		{"cmd/prescale", "inference/model"},
		{"newpackage", "scaler"},
	} {
		if got := violations([]listed{{module + edge[0], []string{module + edge[1]}}}); len(got) != 1 {
			t.Errorf("%s -> %s: allowed", edge[0], edge[1])
		}
	}
}
