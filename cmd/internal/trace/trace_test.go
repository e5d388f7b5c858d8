package trace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBundledTrace(t *testing.T) {
	azure, err := Open(AzureName)
	if err != nil {
		t.Fatal(err)
	}
	// The counts are those of the published file: 19,366 requests in 3,501.72 s.
	if got, want := len(azure.Arrivals), 19366; got != want {
		t.Errorf("requests: got %d, want %d", got, want)
	}
	if got, want := azure.Span(), 3501720*time.Millisecond; got != want {
		t.Errorf("span: got %v, want %v", got, want)
	}
	if got, want := azure.Arrivals[1], (Arrival{4314600 * time.Microsecond, 396, 109}); got != want {
		t.Errorf("second request: got %v, want %v", got, want)
	}
	for _, want := range []string{"CC-BY 4.0", "Azure/AzurePublicDataset", "Changes"} {
		if !strings.Contains(notice, want) {
			t.Errorf("the notice lacks %q", want)
		}
	}
}

func TestUntil(t *testing.T) {
	all := &Trace{Arrivals: []Arrival{{Offset: 1}, {Offset: 2}, {Offset: 2}, {Offset: 5}}}
	for _, c := range []struct {
		offset time.Duration
		want   int
	}{{0, 0}, {1, 0}, {2, 1}, {3, 3}, {5, 3}, {6, 4}} {
		if got := len(all.Until(c.offset).Arrivals); got != c.want {
			t.Errorf("until %d: got %d arrivals, want %d", c.offset, got, c.want)
		}
	}
}

func TestOpenReadsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.csv")
	if err := os.WriteFile(path, []byte("t_s\n0\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Open(path); err != nil || len(got.Arrivals) != 2 || got.Name != path {
		t.Errorf("got %+v, %v; want its two arrivals", got, err)
	}
	if _, err := Open(path + ".gone"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: got %v", err)
	}
}

func TestReadBins(t *testing.T) {
	// 1.5 + 1.5 requests: the halves are carried, so the second bin gets two. The last bin is as wide as the one before.
	got, err := read(strings.NewReader("t_s,requests\n0,1.5\n10,1.5\n"), "bins")
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{5 * time.Second, 12500 * time.Millisecond, 17500 * time.Millisecond}
	if len(got.Arrivals) != len(want) {
		t.Fatalf("got %v, want %v", got.Arrivals, want)
	}
	for i := range want {
		if got.Arrivals[i].Offset != want[i] {
			t.Errorf("arrival %d: got %v, want %v", i, got.Arrivals[i].Offset, want[i])
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"", "want a header line"},
		{"time,requests\n", `line 1: the first column is "time"; want t_s`},
		{"t_s\n", "it has no requests"},
		{"t_s\n1\nx\n", `line 3: t_s: "x": want a number from 0`},
		{"t_s\n1\n1_000\n", `line 3: t_s: "1_000": want a number from 0`},
		{"t_s\n1\n-1\n", `line 3: t_s: "-1": want a number from 0`},
		{"t_s\n2\n1\n", `line 3: t_s: "1" is before the line above`},
		{"t_s,context_tokens\n1,NaN\n", `line 2: context_tokens: "NaN": want a number from 0`},
		{"t_s,requests\n1,1e9\n", "line 2: requests"},
		{"t_s,requests\n1\n", "wrong number of fields"},
		{"\x1f\x8bnot gzip", "gzip"},
	} {
		if _, err := read(strings.NewReader(c.file), "f.csv"); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "f.csv") {
			t.Errorf("%q: got error %v, want one with %q and the name", c.file, err, c.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("t_s,requests\n0,1.5\n10,1.5\n")
	f.Add("t_s,context_tokens,generated_tokens\n0,1,2\n")
	f.Fuzz(func(t *testing.T, file string) {
		if strings.Count(file, "\n") > 20 || strings.Contains(file, "e") || len(file) > 200 {
			t.Skip() // Millions of requests a bin are legal, and slow.
		}
		got, err := read(strings.NewReader(file), "fuzz")
		if err != nil {
			return
		}
		for i := 1; i < len(got.Arrivals); i++ {
			if got.Arrivals[i].Offset < got.Arrivals[i-1].Offset {
				t.Fatalf("arrival %d is before the one above", i)
			}
		}
	})
}

func TestClockRoundTrip(t *testing.T) {
	wall, start := time.Now(), time.Date(2023, 11, 16, 18, 15, 46, 0, time.UTC)
	c := NewClock(wall, start, 20)
	if got, want := c.At(wall.Add(3*time.Second)), start.Add(time.Minute); !got.Equal(want) {
		t.Errorf("At: got %v, want %v", got, want)
	}
	if got, want := c.Wall(start.Add(time.Minute)), wall.Add(3*time.Second); !got.Equal(want) {
		t.Errorf("Wall: got %v, want %v", got, want)
	}
}

func TestPlayIsNeverEarlyAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		played := &Trace{}
		for i := range 1000 {
			played.Arrivals = append(played.Arrivals, Arrival{Offset: time.Duration(i*i) * time.Millisecond})
		}
		clock := NewClock(time.Now(), time.Unix(0, 0), 20)
		n := 0
		err := Play(t.Context(), clock, played, func(i int, at time.Time, a Arrival) error {
			now := clock.At(time.Now())
			if i != n || now.Before(at) {
				t.Errorf("arrival %d (want %d) came at %v, due %v", i, n, now, at)
			}
			if late := now.Sub(at); late > 20*2*maxSleep {
				t.Errorf("arrival %d came %v late", i, late)
			}
			n++
			return nil
		})
		if err != nil || n != 1000 {
			t.Errorf("got %d arrivals and error %v, want 1000 and none", n, err)
		}
	})
}

func TestPlayStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		clock := NewClock(time.Now(), time.Unix(0, 0), 1)
		trace := &Trace{Arrivals: []Arrival{{Offset: 0}, {Offset: time.Hour}}}
		err := Play(ctx, clock, trace, func(int, time.Time, Arrival) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		broken := errors.New("broken")
		if err := Play(t.Context(), clock, trace, func(int, time.Time, Arrival) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("got %v, want the callback's error", err)
		}
	})
}
