package model

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// The model file is in the safetensors format (https://github.com/huggingface/safetensors, "Format"): eight bytes with the
// little-endian length of a JSON header, the header, and the tensors one after the other. It can be read from Python as it
// is. Only float32 is used here; everything the format forbids is refused.

const maxHeaderBytes = 1 << 20

// FormatError says what is wrong with a model file and where.
type FormatError struct {
	Name   string // file name or record key, as the caller gave it
	Offset int64  // bytes from the start at which the fault was found
	Reason string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("model file %s: offset %d: %s", e.Name, e.Offset, e.Reason)
}

// tensorInfo is one entry of the header.
type tensorInfo struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// tensors is the content of a file: float32 data with shapes, and free text.
type tensors struct {
	shapes   map[string][]int
	data     map[string][]float32
	metadata map[string]string
}

func newTensors() *tensors {
	return &tensors{shapes: map[string][]int{}, data: map[string][]float32{}, metadata: map[string]string{}}
}

func (t *tensors) put(name string, data []float32, shape ...int) {
	t.shapes[name], t.data[name] = shape, data
}

func (t *tensors) names() []string { return slices.Sorted(maps.Keys(t.data)) }

// encode writes t with tensors in order of name, so that equal content gives equal bytes.
func (t *tensors) encode() []byte {
	header := map[string]any{}
	if len(t.metadata) > 0 {
		header["__metadata__"] = t.metadata
	}
	var size int64
	for _, name := range t.names() {
		end := size + 4*int64(len(t.data[name]))
		header[name] = tensorInfo{DType: "F32", Shape: t.shapes[name], Offsets: [2]int64{size, end}}
		size = end
	}
	head, err := json.Marshal(header) // encoding/json sorts map keys
	if err != nil {
		panic(err) // strings, ints and slices of them always marshal
	}
	for len(head)%8 != 0 { // the data starts aligned
		head = append(head, ' ')
	}
	out := make([]byte, 0, 8+int64(len(head))+size)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(head)))
	out = append(out, head...)
	for _, name := range t.names() {
		for _, f := range t.data[name] {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
		}
	}
	return out
}

// decodeTensors reads a whole file. Errors are *FormatError with the given name.
func decodeTensors(name string, b []byte) (*tensors, error) {
	fail := func(at int64, format string, args ...any) (*tensors, error) {
		return nil, &FormatError{Name: name, Offset: at, Reason: fmt.Sprintf(format, args...)}
	}
	size := int64(len(b))
	if size < 8 {
		return fail(size, "cut short: %d bytes, the header length alone takes 8", size)
	}
	headLen := binary.LittleEndian.Uint64(b)
	if headLen > maxHeaderBytes {
		return fail(0, "header of %d bytes, more than %d: not a safetensors file", headLen, maxHeaderBytes)
	}
	dataAt := 8 + int64(headLen)
	if dataAt > size {
		return fail(size, "cut short: the header should end at %d", dataAt)
	}
	infos, metadata, err := decodeHeader(b[8:dataAt])
	if err != nil {
		return fail(8, "header: %v", err)
	}
	order := make([]string, 0, len(infos))
	for n := range infos {
		order = append(order, n)
	}
	slices.SortFunc(order, func(x, y string) int {
		return cmp.Or(cmp.Compare(infos[x].Offsets[0], infos[y].Offsets[0]), cmp.Compare(infos[x].Offsets[1], infos[y].Offsets[1]),
			cmp.Compare(x, y))
	})
	t := newTensors()
	t.metadata = metadata
	var end int64
	for _, n := range order {
		info := infos[n]
		elements, ok := elementCount(info.Shape)
		switch from, to := info.Offsets[0], info.Offsets[1]; {
		case info.DType != "F32":
			return fail(8, "tensor %q: dtype %q, only F32 is read", n, info.DType)
		case !ok:
			return fail(8, "tensor %q: shape %v", n, info.Shape)
		case from != end:
			return fail(dataAt+from, "tensor %q starts at %d of the data, not at %d: tensors must touch and not overlap", n, from, end)
		case to-from != 4*elements:
			return fail(dataAt+from, "tensor %q: %d bytes for shape %v, which takes %d", n, to-from, info.Shape, 4*elements)
		case dataAt+to > size:
			return fail(size, "cut short: tensor %q should end at %d", n, dataAt+to)
		}
		data := make([]float32, elements)
		at := dataAt + info.Offsets[0]
		for i := range data {
			data[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[at:]))
			at += 4
		}
		t.put(n, data, info.Shape...)
		end = info.Offsets[1]
	}
	if dataAt+end != size {
		return fail(dataAt+end, "%d bytes after the last tensor", size-dataAt-end)
	}
	return t, nil
}

// decodeHeader reads the JSON object by token, because encoding/json would let a repeated name pass.
func decodeHeader(b []byte) (map[string]tensorInfo, map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("does not start with a JSON object")
	}
	infos, metadata := map[string]tensorInfo{}, map[string]string{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		name, _ := t.(string) // keys of an object are strings
		if name == "__metadata__" {
			if err := d.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("__metadata__: %w", err)
			}
			continue
		}
		if _, dup := infos[name]; dup {
			return nil, nil, fmt.Errorf("tensor %q appears twice", name)
		}
		var info tensorInfo
		if err := d.Decode(&info); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		infos[name] = info
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("more than one JSON value")
	}
	return infos, metadata, nil
}

// elementCount multiplies a shape out, refusing what is negative or too large to be meant.
func elementCount(shape []int) (int64, bool) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > maxWidth*maxWidth {
			return 0, false
		}
		if n *= int64(d); n > maxWidth*maxWidth {
			return 0, false
		}
	}
	return n, true
}
