package hack

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/prescale/prescale/"

// rule says what an importer may import.
type rule struct {
	importer string
	imports  []string
}

// allowed lists the import edges among our packages, as in hack/CONVENTIONS.md. A pattern that ends in "/..." covers the
// package and everything below it. The first rule whose pattern matches the importer is the one that counts.
var allowed = []rule{
	{"metrics/series", nil},
	{"metrics/collector/...", []string{"metrics/collector/...", "metrics/series"}},
	{"metrics/eventlog/...", []string{"metrics/series"}},
	{"metrics/externalscaler/...", []string{"metrics/externalscaler/..."}},
	{"metrics/external/...", []string{"metrics/external/..."}},
	{"forecaster/catalog", []string{"forecaster/..."}},
	{"forecaster/...", []string{"forecaster/...", "metrics/series"}},
	{"scaler/...", []string{"scaler/...", "forecaster", "metrics/series"}},
	{"inference/...", []string{"inference/..."}},
	{"feedback/...", []string{"feedback/...", "inference/event", "inference/model", "inference/registry", "inference/transaction"}},
	{"cmd/inference", []string{"cmd/internal/...", "inference/..."}},
	{"cmd/feedback", []string{"cmd/internal/...", "feedback/...", "inference/..."}},
	{"cmd/prescale", []string{"cmd/internal/...", "metrics/...", "forecaster", "forecaster/batch", "forecaster/catalog", "forecaster/score", "scaler/..."}},
	{"cmd/demo", []string{"cmd/...", "metrics/...", "scaler/...", "inference/...", "feedback/..."}},
	{"cmd/internal/...", []string{"cmd/internal/...", "metrics/...", "forecaster", "forecaster/catalog", "scaler/..."}},
	{"hack/...", []string{"..."}},
}

// inTests are the edges that tests may have beside those: to rigs, and to what their package is tried with.
var inTests = []rule{
	{"scaler/...", []string{"hack/...", "forecaster/catalog"}},
	{"feedback/...", []string{"hack/...", "inference/server"}},
	{"manifests", []string{"scaler/..."}},
	{"...", []string{"hack/..."}},
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
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// packages lists ours, with the files of integration tests too.
func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-tags", "integration", "-json=ImportPath,Imports,TestImports,XTestImports", module+"...").Output()
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

// ruled returns what the first rule for the importer allows.
func ruled(rules []rule, importer string) []string {
	for _, r := range rules {
		if matches(r.importer, importer) {
			return r.imports
		}
	}
	return nil
}

// violations returns the edges that no rule allows, as "importer -> imported".
func violations(all []listed) []string {
	var bad []string
	for _, p := range all {
		importer := strings.TrimPrefix(p.ImportPath, module)
		may := ruled(allowed, importer)
		check := func(imports, may []string) {
			for _, imported := range imports {
				imported, ours := strings.CutPrefix(imported, module)
				if ours && imported != importer && !matchesAny(may, imported) {
					bad = append(bad, importer+" -> "+imported)
				}
			}
		}
		check(p.Imports, may)
		may = append(may[:len(may):len(may)], ruled(inTests, importer)...)
		check(p.TestImports, may)
		check(p.XTestImports, may)
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

// TestNoRuleAllowsWhatNobodyImports: an edge that is gone from the code goes from the rules.
func TestNoRuleAllowsWhatNobodyImports(t *testing.T) {
	all := packages(t)
	for _, r := range allowed {
		for _, edge := range r.imports {
			used := slices.ContainsFunc(all, func(p listed) bool {
				importer := strings.TrimPrefix(p.ImportPath, module)
				return matches(r.importer, importer) && slices.ContainsFunc(p.Imports, func(imported string) bool {
					return strings.HasPrefix(imported, module) && matches(edge, strings.TrimPrefix(imported, module))
				})
			})
			if !used {
				t.Errorf("%s may import %s, and does not", r.importer, edge)
			}
		}
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
		{"cmd/prescale", "forecaster/ridge"},
		{"newpackage", "scaler"},
	} {
		if got := violations([]listed{{ImportPath: module + edge[0], Imports: []string{module + edge[1]}}}); len(got) != 1 {
			t.Errorf("%s -> %s: allowed", edge[0], edge[1])
		}
	}
	for _, edge := range [][2]string{{"metrics/series", "forecaster"}, {"scaler/sim", "inference/event"}, {"inference/server", "scaler"}, {"scaler", "cmd/internal/config"}} {
		imports := []string{module + edge[1]}
		if got := violations([]listed{{ImportPath: module + edge[0], TestImports: imports, XTestImports: imports}}); len(got) != 2 {
			t.Errorf("%s -> %s: allowed in a test", edge[0], edge[1])
		}
	}
}
