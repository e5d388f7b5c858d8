package model

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// random returns weights whose last layer is not zero, standardisation included.
func random(t testing.TB, architecture string, seed uint64) *Weights {
	t.Helper()
	a, err := ParseArchitecture(architecture)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	w := NewWeights(a, rng)
	for _, p := range w.parameters() {
		for i := range p {
			p[i] += float32(rng.NormFloat64() * 0.3)
		}
	}
	for i := range w.Mean {
		w.Mean[i], w.Scale[i] = float32(rng.NormFloat64()), float32(0.5+rng.Float64())
	}
	return w
}

// slow is the forward pass as the definition says it, in float64.
func slow(w *Weights, x []float32) []float64 {
	h := make([]float64, len(x))
	for i := range x {
		h[i] = (float64(x[i]) - float64(w.Mean[i])) * float64(w.Scale[i])
	}
	for n, l := range w.Layers {
		y := make([]float64, l.Out)
		for o := range y {
			y[o] = float64(l.B[o])
			for i := range h {
				y[o] += h[i] * float64(l.W[i*l.Out+o])
			}
			if n < len(w.Layers)-1 {
				y[o] = math.Max(y[o], 0)
			}
		}
		h = y
	}
	var sum float64
	for i := range h {
		h[i] = math.Exp(h[i])
		sum += h[i]
	}
	for i := range h {
		h[i] /= sum
	}
	return h
}

// runners are all that this machine has.
func runners(w *Weights) map[string]Runner {
	all := map[string]Runner{"graph": newGraphRunner(w), "plan": NewPlan(w)}
	if p := newPacked(w); p != nil {
		all["packed"] = p
	}
	return all
}

func TestRunnersAgreeWithTheDefinition(t *testing.T) {
	for _, architecture := range []string{"3-2", "1-1-2", "3-16-16-2", "14-64-64-2", "5-33-7-4", "20-130-70-17"} {
		w := random(t, architecture, 7)
		a := w.Architecture
		for name, r := range runners(w) {
			for _, rows := range []int{0, 1, 2, 7, 8, 9, 31, 100, 300} {
				rng := rand.New(rand.NewPCG(uint64(rows), 1))
				x := make([]float32, rows*a.Inputs)
				for i := range x {
					x[i] = float32(rng.NormFloat64() * 2)
				}
				out := make([]float32, rows*a.Classes)
				if err := r.Predict(x, rows, out); err != nil {
					t.Fatalf("%s %s, %d rows: %v", name, architecture, rows, err)
				}
				for row := range rows {
					want := slow(w, x[row*a.Inputs:(row+1)*a.Inputs])
					for c := range want {
						if got := float64(out[row*a.Classes+c]); math.Abs(got-want[c]) > 1e-5 {
							t.Fatalf("%s %s, %d rows: row %d class %d: got %v, want %v", name, architecture, rows, row, c, got, want[c])
						}
					}
				}
			}
		}
	}
}

// TestOneExtremeRowDoesNotSpoilTheOthers: Gorgonia's own softmax gives NaN for every row behind one like the first. The
// greatest score of the last one is not its first.
func TestOneExtremeRowDoesNotSpoilTheOthers(t *testing.T) {
	w := random(t, "2-2", 1)
	w.Layers[0].W = []float32{300, 0, 0, 1}
	x := []float32{2, 0, -1, 0.5, 0, 0.25, -2, 0}
	for i := range w.Mean {
		w.Mean[i], w.Scale[i] = 0, 1
	}
	for name, r := range runners(w) {
		out := make([]float32, 8)
		if err := r.Predict(x, 4, out); err != nil {
			t.Fatal(err)
		}
		for row := range 4 {
			for c, want := range slow(w, x[2*row:2*row+2]) {
				if got := float64(out[2*row+c]); !(math.Abs(got-want) <= 1e-5) {
					t.Errorf("%s: row %d class %d: got %v, want %v", name, row, c, got, want)
				}
			}
		}
	}
	trainer, err := NewTrainer(w, 4, 1e-3)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if loss, err := trainer.Step(x, []int{0, 1, 1, 1}); err != nil || !(math.Abs(loss-slowLoss(w, x, []int{0, 1, 1, 1})) <= 1e-4) {
		t.Errorf("loss %v, %v", loss, err)
	}
}

func TestPredictRefusesSlicesThatDoNotFit(t *testing.T) {
	w := random(t, "3-4-2", 1)
	for name, r := range runners(w) {
		for _, tt := range []struct{ features, rows, scores int }{{2, 1, 2}, {3, 1, 1}, {3, 2, 4}, {0, -1, 0}} {
			if err := r.Predict(make([]float32, tt.features), tt.rows, make([]float32, tt.scores)); err == nil {
				t.Errorf("%s: %+v: no error", name, tt)
			}
		}
	}
}

func TestPredictIsSafeForConcurrentUse(t *testing.T) {
	w := random(t, "3-16-2", 1)
	for name, r := range runners(w) {
		var group sync.WaitGroup
		for g := range 4 {
			group.Go(func() {
				x := []float32{float32(g), 1, -float32(g)}
				want := slow(w, x)
				out := make([]float32, 2)
				for range 200 {
					if err := r.Predict(x, 1, out); err != nil || math.Abs(float64(out[0])-want[0]) > 1e-5 {
						t.Errorf("%s: got %v, %v, want %v", name, out, err, want)
						return
					}
				}
			})
		}
		group.Wait()
	}
}

func TestFileReadsBackAsWritten(t *testing.T) {
	w := random(t, "3-5-2", 3)
	file := Encode(w, map[string]string{"parent": "4"})
	if again := Encode(w, map[string]string{"parent": "4"}); !bytes.Equal(file, again) {
		t.Error("equal weights give different files")
	}
	got, metadata, err := Decode("test", file)
	if err != nil {
		t.Fatal(err)
	}
	if metadata["parent"] != "4" || len(metadata) != 1 {
		t.Errorf("metadata %v", metadata)
	}
	if !bytes.Equal(Encode(got, metadata), file) {
		t.Error("weights changed on the way")
	}
}

func TestFileCutShortIsRefusedWithNameAndOffset(t *testing.T) {
	file := Encode(random(t, "3-5-2", 3), nil)
	for n := range file {
		_, _, err := Decode("models/default.safetensors", file[:n])
		var format *FormatError
		if !errors.As(err, &format) {
			t.Fatalf("cut at %d of %d: %v", n, len(file), err)
		}
		if format.Name != "models/default.safetensors" || format.Offset != int64(n) || !strings.Contains(format.Reason, "cut short") {
			t.Fatalf("cut at %d of %d: %v", n, len(file), err)
		}
	}
}

func TestFaultyFilesAreRefused(t *testing.T) {
	file := func(header string, data int) []byte {
		b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
		return append(append(b, header...), make([]byte, data)...)
	}
	nan := random(t, "3-5-2", 3)
	nan.Layers[1].W[2] = float32(math.NaN())
	const meta = `"__metadata__":{"prescale.version":"1","prescale.architecture":"1-2"},`
	const rest = `"input.scale":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},` +
		`"layers.0.bias":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},` +
		`"layers.0.weight":{"dtype":"F32","shape":[1,2],"data_offsets":[16,24]}}`
	const mean = `"input.mean":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},`
	if _, _, err := Decode("ok", file("{"+meta+mean+rest, 24)); err != nil {
		t.Fatalf("the file that the others are variations of: %v", err)
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want string
	}{
		{"trailing", append(Encode(random(t, "3-5-2", 3), nil), 0), "1 bytes after the last tensor"},
		{"huge header", bytes.Repeat([]byte{0xff}, 64), "not a safetensors file"},
		{"no object", file("[]", 0), "does not start with a JSON object"},
		{"two values", file("{}{}", 0), "more than one JSON value"},
		{"twice", file("{"+meta+mean+mean+rest, 24), `"input.mean" appears twice`},
		{"dtype", file("{"+meta+strings.Replace(mean, "F32", "F16", 1)+rest, 24), "only F32"},
		{"gap", file("{"+meta+strings.Replace(mean, "[0,4]", "[1,4]", 1)+rest, 24), "must touch"},
		{"negative", file("{"+meta+strings.Replace(mean, "[0,4]", "[-4,4]", 1)+rest, 24), "must touch"},
		{"overlap", file("{"+meta+mean+strings.Replace(rest, "[8,16]", "[4,12]", 1), 24), "must touch"},
		{"shape", file("{"+meta+strings.Replace(mean, "[1]", "[2]", 1)+rest, 24), "4 bytes for shape [2]"},
		{"negative shape", file("{"+meta+strings.Replace(mean, "[1]", "[-1]", 1)+rest, 24), "shape [-1]"},
		{"overflowing shape", file("{"+meta+strings.Replace(mean, "[1]", "[268435456,268435456,16]", 1)+rest, 24), "shape"},
		{"version", file(strings.Replace("{"+meta+mean+rest, `"1"`, `"9"`, 1), 24), "reads version 1"},
		{"no metadata", file("{"+mean+rest, 24), `version is ""`},
		{"bad architecture", file(strings.Replace("{"+meta+mean+rest, "1-2", "1-x", 1), 24), `"x" is not a number`},
		{"greedy architecture", file(strings.Replace("{"+meta+mean+rest, "1-2", "9999-9999-2", 1), 24), "6 numbers in all"},
		{"other architecture", file(strings.Replace("{"+meta+mean+rest, "1-2", "2-2", 1), 24), "6 numbers in all"},
		{"missing", file(strings.Replace("{"+meta+mean+rest, "input.mean", "mean", 1), 24), `"input.mean" of architecture 1-2 is missing`},
		{"not a number", Encode(nan, nil), `"layers.1.weight": element 2 is NaN`},
	} {
		_, _, err := Decode("m", tt.in)
		var format *FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// off is a runner whose scores are a little wrong.
type off struct {
	Runner
	by float32
}

func (o off) Predict(x []float32, rows int, out []float32) error {
	err := o.Runner.Predict(x, rows, out)
	if len(out) > 0 {
		out[len(out)-1] += o.by
	}
	return err
}

func TestLoadRefusesAPlanThatDisagreesWithTheGraph(t *testing.T) {
	w := random(t, "3-16-2", 5)
	m, err := Load("m", Encode(w, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, isGraph := m.Runner.(*graphRunner); isGraph || m.PlanError != nil {
		t.Errorf("serves %T, %v", m.Runner, m.PlanError)
	}
	for _, by := range []float32{1e-3, float32(math.NaN())} {
		m, err = load("m", w, nil, off{NewPlan(w), by})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Runner.(*graphRunner); !ok || m.PlanError == nil {
			t.Errorf("off by %v: serves %T, %v", by, m.Runner, m.PlanError)
		}
	}
}

func TestParseArchitecture(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"3-2", ""}, {"14-64-64-2", ""},
		{"", "is not a number"}, {"3", "at least inputs and classes"}, {"3-x-2", `"x" is not a number`},
		{"0-2", "inputs: 0"}, {"3-0-2", "hidden[0]: 0"}, {"3-1", "classes: 1"}, {"3-99999-2", "hidden[0]: 99999"},
		{"3-1-1-1-1-1-1-1-1-1-2", "9 layers"},
	} {
		a, err := ParseArchitecture(tt.in)
		switch {
		case tt.want == "" && (err != nil || a.String() != tt.in):
			t.Errorf("%q: %v, %v", tt.in, a, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q: got %v, want %q", tt.in, err, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(random(f, "1-2", 1), nil))
	f.Add(Encode(random(f, "2-3-2", 1), map[string]string{"a": "b"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, metadata, err := Decode("fuzz", b)
		if err != nil {
			return
		}
		if _, _, err := Decode("again", Encode(w, metadata)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPredictAllocatesNothing(t *testing.T) {
	w := random(t, "14-64-64-2", 1)
	x, out := make([]float32, 14), make([]float32, 2)
	for name, r := range runners(w) {
		if name == "graph" {
			continue
		}
		// A garbage collection in between empties the pool, so the mean is a little above 0.
		if n := testing.AllocsPerRun(1000, func() {
			if err := r.Predict(x, 1, out); err != nil {
				t.Fatal(err)
			}
		}); n > 0.1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkPredict(b *testing.B) {
	w := random(b, "14-64-64-2", 1)
	for _, name := range []string{"graph", "plan", "packed"} {
		r, ok := runners(w)[name]
		if !ok {
			continue
		}
		for _, rows := range []int{1, 32, 256} {
			b.Run(fmt.Sprintf("%s/rows=%d", name, rows), func(b *testing.B) {
				x, out := make([]float32, rows*14), make([]float32, rows*2)
				rng := rand.New(rand.NewPCG(1, 1))
				for i := range x {
					x[i] = float32(rng.NormFloat64())
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := r.Predict(x, rows, out); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	file := Encode(random(b, "14-64-64-2", 1), nil)
	for b.Loop() {
		if _, err := Load("m", file); err != nil {
			b.Fatal(err)
		}
	}
}
