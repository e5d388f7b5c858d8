package vertical

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// checkpointVersion begins every checkpoint. Bump it when what follows changes, or when buckets do.
const checkpointVersion = 1

// checkpointScale is the weight of the heaviest bucket in a checkpoint; the others' are rounded to it, and one under half a unit
// is left out, as in the VPA's checkpoints (MaxCheckpointWeight in pkg/recommender/util/histogram.go).
const checkpointScale = 10000

// Checkpoint returns what was learned as text of a few hundred bytes, for Restore. Which replica's memory peak is the open
// interval's is not in it.
func (u *Usage) Checkpoint() string {
	b := []byte{checkpointVersion}
	b = binary.AppendVarint(b, unix(u.first))
	b = binary.AppendVarint(b, unix(u.last))
	b = binary.AppendUvarint(b, uint64(u.samples))
	for _, h := range []*histogram{u.cpu, u.memory} {
		b = h.appendTo(b)
	}
	return base64.RawStdEncoding.EncodeToString(b)
}

// Restore returns a Usage that recommends what the one did, to the rounding, that wrote the checkpoint.
func Restore(checkpoint string) (*Usage, error) {
	b, err := base64.RawStdEncoding.DecodeString(checkpoint)
	if err != nil {
		return nil, fmt.Errorf("usage checkpoint: %w", err)
	}
	if len(b) == 0 || b[0] != checkpointVersion {
		return nil, fmt.Errorf("usage checkpoint: want version %d", checkpointVersion)
	}
	r := reader{b: b[1:]}
	u := NewUsage()
	u.first, u.last, u.samples = r.time(), r.time(), int(r.uvarint(math.MaxInt32))
	for _, h := range []*histogram{u.cpu, u.memory} {
		h.readFrom(&r)
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = errors.New("goes on behind its end")
	}
	if r.err != nil {
		return nil, fmt.Errorf("usage checkpoint: %w", r.err)
	}
	return u, nil
}

// unix keeps the zero Time apart from 1970.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return math.MinInt64
	}
	return t.Unix()
}

func (h *histogram) appendTo(b []byte) []byte {
	heaviest := 0.0
	for _, w := range h.Weights {
		heaviest = max(heaviest, w)
	}
	b = binary.AppendVarint(b, unix(h.Reference))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(heaviest))
	var buckets []uint64 // distance from the one before, weight
	last := 0
	for i, w := range h.Weights {
		if n := math.Round(w / heaviest * checkpointScale); n >= 1 {
			buckets = append(buckets, uint64(i-last), uint64(n))
			last = i
		}
	}
	b = binary.AppendUvarint(b, uint64(len(buckets)/2))
	for _, x := range buckets {
		b = binary.AppendUvarint(b, x)
	}
	return b
}

func (h *histogram) readFrom(r *reader) {
	h.Reference = r.time()
	heaviest := r.float()
	at := 0
	for range r.uvarint(uint64(len(h.Weights))) {
		at += int(r.uvarint(uint64(len(h.Weights))))
		w := float64(r.uvarint(checkpointScale)) / checkpointScale * heaviest
		if r.err != nil {
			return
		}
		if at >= len(h.Weights) {
			r.err = errors.New("a bucket is out of range")
			return
		}
		h.Weights[at] = w
		h.Total += w
	}
	// Weights are relative to the reference: without one they mean nothing.
	if r.err == nil && h.Total > 0 && h.Reference.IsZero() {
		r.err = errors.New("has weights and no time")
	}
}

// maxWeight bounds a bucket's weight: maxDecay half-lives of a cluster's samples are far below it.
const maxWeight = 1e100

// reader reads a checkpoint; after the first error all it reads is zero.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("is cut short")

func (r *reader) time() time.Time {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return time.Time{}
	}
	r.b = r.b[n:]
	if x == math.MinInt64 {
		return time.Time{}
	}
	// Years 1 to 9999.
	if x < -62135596800 || x > 253402300799 {
		r.fail(errors.New("a time is out of range"))
		return time.Time{}
	}
	return time.Unix(x, 0).UTC()
}

func (r *reader) uvarint(most uint64) uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	if x > most {
		r.fail(errors.New("a count is out of range"))
		return 0
	}
	return x
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.fail(errShort)
		return 0
	}
	x := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	if !(x >= 0 && x < maxWeight) {
		r.fail(errors.New("a weight is no number"))
		return 0
	}
	return x
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}
