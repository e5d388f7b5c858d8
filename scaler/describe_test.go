package scaler

import (
	"os"
	"regexp"
	"testing"
)

// TestEveryTermIsDescribed: whatever a decision is made of, explain has words for it.
func TestEveryTermIsDescribed(t *testing.T) {
	source, err := os.ReadFile("decide.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?:\bterm\(|\bapply\(.*, )"(\w+)"`).FindAllSubmatch(source, -1)
	if len(names) < 15 {
		t.Fatalf("%d terms found in decide.go, want those of all its rules", len(names))
	}
	for _, name := range names {
		d := Decision{Terms: []Term{{Name: string(name[1]), Replicas: 3}}}
		if describe(&d); d.Terms[0].Detail == "" {
			t.Errorf("%s has no description", name[1])
		}
	}
}
