package scaler

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryTermIsDescribed: whatever a decision is made of, explain has words for it.
func TestEveryTermIsDescribed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names [][][]byte
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, regexp.MustCompile(`(?:\bterm\(|\bapply\(.*, )"(\w+)"`).FindAllSubmatch(source, -1)...)
	}
	if len(names) < 23 {
		t.Fatalf("%d terms found, want those of all rules", len(names))
	}
	for _, name := range names {
		d := Decision{Terms: []Term{{Name: string(name[1]), Replicas: 3}}}
		if describe(&d); d.Terms[0].Detail == "" {
			t.Errorf("%s has no description", name[1])
		}
	}
}
