package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
)

// broken is an image that ends in the midst.
type broken struct{ v1.Image }

func (broken) Layers() ([]v1.Layer, error) { return nil, errors.New("broken") }

// TestAnImageIsWrittenWholeOrNotAtAll: what a run that fails leaves is what was there.
func TestAnImageIsWrittenWholeOrNotAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tar")
	reference := name.MustParseReference("a:b")
	if err := writeImage(path, reference, empty.Image); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) == 0 {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	if err := writeImage(path, reference, broken{empty.Image}); err == nil {
		t.Error("a broken image: no error")
	}
	if left, err := os.ReadFile(path); err != nil || string(left) != string(whole) {
		t.Errorf("%d bytes are left of %d, %v", len(left), len(whole), err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("files: got %v, want the image alone", entries)
	}
}
