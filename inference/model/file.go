package model

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// fileVersion is written into every model file. Raise it when a tensor's name, layout or meaning changes.
const fileVersion = 1

// Keys of the file's metadata that Encode writes; others belong to the caller.
const (
	metaVersion      = "prescale.version"
	metaArchitecture = "prescale.architecture"
)

// Encode returns the model file: the weights in safetensors form, with metadata as free text beside them. Equal arguments
// give equal bytes.
func Encode(w *Weights, metadata map[string]string) []byte {
	t := newTensors()
	maps.Copy(t.metadata, metadata)
	t.metadata[metaVersion] = strconv.Itoa(fileVersion)
	t.metadata[metaArchitecture] = w.Architecture.String()
	t.put("input.mean", w.Mean, len(w.Mean))
	t.put("input.scale", w.Scale, len(w.Scale))
	for i, l := range w.Layers {
		t.put(layerName(i, "weight"), l.W, l.In, l.Out)
		t.put(layerName(i, "bias"), l.B, l.Out)
	}
	return t.encode()
}

// Decode reads a model file and its metadata. The name appears in errors, which are *FormatError. Weights that are not
// finite are refused.
func Decode(name string, b []byte) (*Weights, map[string]string, error) {
	t, err := decodeTensors(name, b)
	if err != nil {
		return nil, nil, err
	}
	w, err := t.weights(name)
	if err != nil {
		return nil, nil, err
	}
	delete(t.metadata, metaVersion)
	delete(t.metadata, metaArchitecture)
	return w, t.metadata, nil
}

// weights takes the tensors of one model out of t and refuses what is left over.
func (t *tensors) weights(name string) (*Weights, error) {
	fail := func(format string, args ...any) (*Weights, error) {
		return nil, &FormatError{Name: name, Offset: 8, Reason: fmt.Sprintf(format, args...)}
	}
	if v := t.metadata[metaVersion]; v != strconv.Itoa(fileVersion) {
		return fail("metadata %s is %q; this program reads version %d", metaVersion, v, fileVersion)
	}
	a, err := ParseArchitecture(t.metadata[metaArchitecture])
	if err != nil {
		return fail("metadata %s: %v", metaArchitecture, err)
	}
	// Before anything is allocated for a: an architecture may promise far more than the file holds.
	var held int
	for _, data := range t.data {
		held += len(data)
	}
	if want := a.elements(); held != want {
		return fail("%d numbers in all, architecture %s takes %d", held, a, want)
	}
	w := zeroWeights(a)
	wanted := map[string]struct {
		into  []float32
		shape []int
	}{
		"input.mean":  {w.Mean, []int{a.Inputs}},
		"input.scale": {w.Scale, []int{a.Inputs}},
	}
	for i, l := range w.Layers {
		wanted[layerName(i, "weight")] = struct {
			into  []float32
			shape []int
		}{l.W, []int{l.In, l.Out}}
		wanted[layerName(i, "bias")] = struct {
			into  []float32
			shape []int
		}{l.B, []int{l.Out}}
	}
	for _, n := range slices.Sorted(maps.Keys(wanted)) {
		if _, ok := t.data[n]; !ok {
			return fail("tensor %q of architecture %s is missing", n, a)
		}
	}
	for _, n := range t.names() {
		want, ok := wanted[n]
		if !ok {
			return fail("tensor %q does not belong to architecture %s", n, a)
		}
		if !slices.Equal(t.shapes[n], want.shape) {
			return fail("tensor %q: shape %v, architecture %s takes %v", n, t.shapes[n], a, want.shape)
		}
		for i, f := range t.data[n] {
			if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
				return fail("tensor %q: element %d is %v", n, i, f)
			}
		}
		copy(want.into, t.data[n])
	}
	return w, nil
}

func layerName(i int, part string) string { return "layers." + strconv.Itoa(i) + "." + part }
