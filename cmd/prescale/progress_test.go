package main

import (
	"bytes"
	"testing"
)

// TestALongPassIsTold: what is no terminal is told of each task of a pass that is long, and of nothing else.
func TestALongPassIsTold(t *testing.T) {
	for _, tt := range []struct {
		long, quiet bool
		want        string
	}{{true, false, "forecasting\n1/2 prescale\n"}, {false, false, ""}, {true, true, ""}} {
		var out bytes.Buffer
		bar := &progressBar{out: &out, long: tt.long, quiet: tt.quiet}
		for _, task := range []string{"forecasting", "1/2 prescale"} {
			bar.begin(task)
			bar.share(0.5)
		}
		if bar.done(); out.String() != tt.want {
			t.Errorf("long %v, quiet %v: got %q, want %q", tt.long, tt.quiet, out.String(), tt.want)
		}
	}
}
