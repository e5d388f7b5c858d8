package vertical

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestACheckpointRecommendsTheSame(t *testing.T) {
	u := NewUsage()
	if _, err := Restore(u.Checkpoint()); err != nil {
		t.Fatalf("one that knows nothing: %v", err)
	}
	at := start
	for i := range 3 * 1440 {
		at = at.Add(time.Minute)
		u.Observe(at, "a", 0.5+0.4*math.Sin(float64(i)/100), 1e9+3e8*math.Cos(float64(i)/300), 1)
		u.Observe(at, "b", 0.1, 4e8, 1)
	}
	text := u.Checkpoint()
	if len(text) > 1000 {
		t.Errorf("%d bytes, want a few hundred", len(text))
	}
	v, err := Restore(text)
	if err != nil {
		t.Fatal(err)
	}
	same := func(when string) {
		t.Helper()
		got, ok := v.Recommend()
		want, _ := u.Recommend()
		for _, pair := range [][2]float64{
			{got.Target.CPUCores, want.Target.CPUCores}, {got.Target.MemoryBytes, want.Target.MemoryBytes}, {got.Lower.CPUCores, want.Lower.CPUCores},
			{got.Lower.MemoryBytes, want.Lower.MemoryBytes}, {got.Upper.CPUCores, want.Upper.CPUCores}, {got.Upper.MemoryBytes, want.Upper.MemoryBytes},
		} {
			// A bucket is at most 5 % wide, and rounding may fall on its edge.
			if !ok || math.Abs(pair[0]/pair[1]-1) > 0.06 {
				t.Fatalf("%s: got %+v, want %+v", when, got, want)
			}
		}
	}
	same("restored")
	// And they go on alike, as old weight decays.
	for range 3 * 1440 {
		at = at.Add(time.Minute)
		u.Observe(at, "a", 1.5, 2e9, 1)
		v.Observe(at, "a", 1.5, 2e9, 1)
	}
	same("three days later")
}

func FuzzRestore(f *testing.F) {
	u := NewUsage()
	u.Observe(start, "a", 0.5, 1e9, 1)
	f.Add(u.Checkpoint())
	f.Add("")
	f.Add("AQ")
	f.Add(strings.Repeat("A", 40))
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Restore(text)
		if err != nil {
			return
		}
		u.Observe(start.Add(time.Hour), "a", 0.5, 1e9, 1)
		if r, ok := u.Recommend(); !ok || math.IsNaN(r.Target.CPUCores) || math.IsNaN(r.Upper.MemoryBytes) {
			t.Errorf("%q recommends %+v", text, r)
		}
		if _, err := Restore(u.Checkpoint()); err != nil {
			t.Errorf("%q is not restored from its own checkpoint: %v", text, err)
		}
	})
}
