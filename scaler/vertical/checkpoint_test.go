package vertical

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
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

func TestACheckpointThatCannotBeIsRefused(t *testing.T) {
	u := NewUsage()
	u.Observe(start, "a", 0.5, 1e9, 1)
	whole, err := base64.RawStdEncoding.DecodeString(u.Checkpoint())
	if err != nil {
		t.Fatal(err)
	}
	varint, uvarint, float := binary.AppendVarint, binary.AppendUvarint, func(b []byte, x float64) []byte {
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	head := func(first int64, samples uint64) []byte {
		return uvarint(varint(varint([]byte{checkpointVersion}, first), 0), samples)
	}
	for _, tt := range []struct {
		b    []byte
		want string
	}{
		{nil, "want version 1"},
		{append([]byte{checkpointVersion + 1}, whole[1:]...), "want version 1"},
		{append(slices.Clone(whole), 0), "goes on behind its end"},
		{head(1<<40, 1), "a time is out of range"},
		{head(-1<<40, 1), "a time is out of range"},
		{head(0, math.MaxInt32+1), "a count is out of range"},
		{float(varint(head(0, 1), 0), math.NaN()), "a weight is no number"},
		{float(varint(head(0, 1), 0), maxWeight), "a weight is no number"},
		{float(varint(head(0, 1), 0), -1), "a weight is no number"},
		{uvarint(float(varint(head(0, 1), 0), 1), 1<<20), "a count is out of range"},
		{uvarint(uvarint(uvarint(float(varint(head(0, 1), 0), 1), 1), uint64(len(u.cpu.Weights))), 1), "a bucket is out of range"},
		{uvarint(uvarint(uvarint(float(varint(head(0, 1), math.MinInt64), 1), 1), 0), 1), "has weights and no time"},
	} {
		if _, err := Restore(base64.RawStdEncoding.EncodeToString(tt.b)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want %q", tt.b, err, tt.want)
		}
	}
	for n := 1; n < len(whole); n++ {
		if _, err := Restore(base64.RawStdEncoding.EncodeToString(whole[:n])); err == nil || !strings.Contains(err.Error(), "is cut short") {
			t.Errorf("the first %d of %d bytes: error %v", n, len(whole), err)
		}
	}
	if _, err := Restore("%"); err == nil {
		t.Error("no base64: no error")
	}
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
