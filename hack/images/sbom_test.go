package main

import "testing"

func TestPurl(t *testing.T) {
	for _, tt := range []struct{ path, version, want string }{
		{"github.com/NYTimes/gziphandler", "v1.1.1", "pkg:golang/github.com/nytimes/gziphandler@v1.1.1"},
		{"github.com/google/flatbuffers", "v2.0.6+incompatible", "pkg:golang/github.com/google/flatbuffers@v2.0.6%2Bincompatible"},
		{"stdlib", "1.26.0", "pkg:golang/stdlib@1.26.0"},
	} {
		if got := purl(tt.path, tt.version); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.path, tt.version, got, tt.want)
		}
	}
}
