package hack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// concurrent returns the places in a file of source that start a goroutine, use a channel or import a package for concurrent code.
func concurrent(name string, source any) ([]string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []string
	at := func(n ast.Node, what string) { found = append(found, set.Position(n.Pos()).String()+": "+what) }
	for _, i := range file.Imports {
		if path := strings.Trim(i.Path.Value, `"`); path == "sync" || path == "sync/atomic" || strings.HasPrefix(path, "golang.org/x/sync/") {
			at(i, "imports "+path)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.GoStmt:
			at(n, "starts a goroutine")
		case *ast.ChanType:
			at(n, "uses a channel")
		}
		return true
	})
	return found, nil
}

// The pure core is stepped by its caller: what is not concurrent needs no race detector, and gives the same bits again.
func TestThePureCoreIsNotConcurrent(t *testing.T) {
	files := 0
	for _, dir := range []string{"../forecaster", "../scaler"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			found, err := concurrent(path, nil)
			for _, f := range found {
				t.Error(f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("only %d files looked at", files)
	}
}

func TestConcurrencyIsFound(t *testing.T) {
	for source, want := range map[string]int{
		"package p\nfunc f() { go f() }":                             1,
		"package p\nvar c chan int":                                  1,
		"package p\nimport \"sync\"\nvar m sync.Mutex":               1,
		"package p\nimport \"sync/atomic\"\nvar n atomic.Int64":      1,
		"package p\nimport \"math\"\nvar x = math.Pi // go func(){}": 0,
	} {
		if found, err := concurrent("p.go", source); err != nil || len(found) != want {
			t.Errorf("%q: %v, %v: want %d", source, found, err, want)
		}
	}
}
