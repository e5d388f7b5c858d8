package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prescale/prescale/cmd/internal/config"
)

// TestConfigsOfTheManifestsAreGood loads every configuration that we deploy, as the daemon would.
func TestConfigsOfTheManifestsAreGood(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../manifests/*/config.yaml", "../../manifests/*/*/config.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 4 {
		t.Fatalf("only %d configurations found: %v", len(files), files)
	}
	for _, file := range files {
		if _, err := config.Load(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	bad := filepath.Join(t.TempDir(), "config.yaml")
	text := "clusters: {main: {brokers: [\"kafka:9092\"]}}\nexternalScaler: {listen: \":9090\"}\nmetricsAPI: {forward: {url: \"http://keda\"}}\n"
	if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(bad); err == nil {
		t.Error("an external scaler without TLS and a forward without a CA were taken")
	}
}
