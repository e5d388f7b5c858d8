package command

import (
	"errors"
	"math"
	"runtime/debug"
	"strings"
	"testing"
)

func TestMemoryStaysBelowTheContainersLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, c := range []struct {
		container, gomemlimit string
		want                  int64
	}{
		{"", "", math.MaxInt64},
		{"10000000000", "", 9_000_000_000},
		{"10000000000", "8GiB", math.MaxInt64}, // read when the process began
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		t.Setenv(memoryVariable, c.container)
		t.Setenv("GOMEMLIMIT", c.gomemlimit)
		if err := limitMemory(); err != nil {
			t.Error(err)
		}
		if got := debug.SetMemoryLimit(-1); got != c.want {
			t.Errorf("container %q, GOMEMLIMIT %q: got %d, want %d", c.container, c.gomemlimit, got, c.want)
		}
	}
	t.Setenv("GOMEMLIMIT", "")
	for _, bad := range []string{"512Mi", "0", "-1"} {
		t.Setenv(memoryVariable, bad)
		var input *InputError
		if err := limitMemory(); !errors.As(err, &input) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: got %v, want an InputError that names it", bad, err)
		}
	}
}
