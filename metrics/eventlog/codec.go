package eventlog

import (
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/prescale/prescale/metrics/series"
)

// The records are protobuf messages as record.proto describes them. They are written and read here by hand: a tick of a
// thousand policies then costs no reflection and no garbage but its strings.

// NewerError says that a record was written by a later version of this program than the reader's.
type NewerError struct{ Version uint64 }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the record has version %d and this program reads up to %d: upgrade this replica", e.Version, Version)
}

// AppendTo appends the record in its wire form.
func (t *Tick) AppendTo(b []byte) []byte {
	b = appendMessage(b, 1, t.Stamp.append)
	b = appendMessage(b, 2, func(b []byte) []byte { return appendObservation(b, &t.Observation, t.At, true) })
	b = appendBytes(b, 3, t.Anchor)
	b = appendBytes(b, 4, t.Seed)
	return appendBytes(b, 5, t.Configuration)
}

// AppendTo appends the record in its wire form. Of the observation the values per partition and Counted are left out.
func (d *Decision) AppendTo(b []byte) []byte {
	b = appendMessage(b, 1, d.Stamp.append)
	b = appendMessage(b, 2, func(b []byte) []byte { return appendObservation(b, &d.Observation, d.At, false) })
	b = appendVarint(b, 3, protowire.EncodeZigZag(int64(d.DesiredReplicas)))
	b = appendBytes(b, 4, d.Reason)
	return appendBytes(b, 5, d.Payload)
}

// AppendTo appends the record in its wire form.
func (c *Checkpoint) AppendTo(b []byte) []byte {
	b = appendMessage(b, 1, c.Stamp.append)
	b = appendVarint(b, 2, uint64(c.ReplayFrom))
	b = appendBytes(b, 3, c.State)
	return appendCounted(b, 4, c.Counted, c.At)
}

func (s *Stamp) append(b []byte) []byte {
	b = appendVarint(b, 1, Version)
	b = appendVarint(b, 2, s.Seq)
	b = appendFixed64(b, 3, uint64(s.At.UnixNano()))
	b = appendVarint(b, 4, s.Origin)
	b = appendFixed64(b, 5, s.Spec)
	b = appendVarint(b, 6, s.Term)
	return appendBytes(b, 7, s.Writer)
}

// valueFields are the plain values of an observation by field number.
func valueFields(o *series.Observation) [11]*series.Value {
	return [11]*series.Value{
		&o.ArrivalRecords, &o.ConsumedRecords, &o.ArrivalWork, &o.LagRecords, &o.LagSeconds, &o.LagSecondsError,
		&o.ReadyReplicas, &o.StartingReplicas, &o.Partitions, &o.BusyRatio, &o.LatencySeconds,
	}
}

// firstValueField is the number of valueFields' first.
const firstValueField = 3

func appendObservation(b []byte, o *series.Observation, tick time.Time, whole bool) []byte {
	if !o.At.Equal(tick) {
		b = protowire.AppendTag(b, 1, protowire.Fixed64Type)
		b = protowire.AppendFixed64(b, uint64(o.At.UnixNano()))
	}
	b = appendVarint(b, 2, uint64(o.Interval))
	for i, v := range valueFields(o) {
		b = appendValue(b, protowire.Number(firstValueField+i), *v)
	}
	b = appendDoubles(b, 14, o.StartupSeconds)
	b = appendDoubles(b, 15, o.ProvisionedStartupSeconds)
	if o.Rebalancing {
		b = appendVarint(b, 16, 1)
	}
	if whole {
		b = appendValues(b, 17, o.PartitionLagRecords)
		b = appendValues(b, 18, o.PartitionArrivalRecords)
	}
	for i := range o.Pools {
		p := &o.Pools[i]
		b = appendMessage(b, 19, func(b []byte) []byte {
			b = appendBytes(b, 1, p.Name)
			b = appendValue(b, 2, p.ReadyReplicas)
			b = appendValue(b, 3, p.StartingReplicas)
			b = appendValue(b, 4, p.ConsumedRecords)
			b = appendValue(b, 5, p.BusyRatio)
			b = appendDoubles(b, 6, p.StartupSeconds)
			return appendValue(b, 7, p.UnschedulableReplicas)
		})
	}
	for _, p := range o.Problems {
		b = protowire.AppendTag(b, 20, protowire.BytesType)
		b = protowire.AppendString(b, p)
	}
	b = appendValue(b, 21, o.UnschedulableReplicas)
	b = appendValue(b, 23, o.ReplicaCPUCores)
	if whole {
		b = appendCounted(b, 22, o.Counted, tick)
	}
	return b
}

// appendCounted leaves the time out where it is that of the tick.
func appendCounted(b []byte, n protowire.Number, c series.Counted, tick time.Time) []byte {
	if !c.Known() {
		return b
	}
	return appendMessage(b, n, func(b []byte) []byte {
		b = appendFixed64(b, 1, c.Topics)
		b = appendVarint(b, 2, uint64(c.EndRecords))
		if !c.At.Equal(tick) {
			b = protowire.AppendTag(b, 3, protowire.Fixed64Type)
			b = protowire.AppendFixed64(b, uint64(c.At.UnixNano()))
		}
		return b
	})
}

// appendValues writes nil as an absent message, so that what is not known and what is empty stay apart.
func appendValues(b []byte, n protowire.Number, values []series.Value) []byte {
	if values == nil {
		return b
	}
	counts := true
	for _, v := range values {
		x, known := v.Get()
		counts = counts && (!known || x >= 0 && !math.Signbit(x) && x < 1<<53 && x == math.Trunc(x))
	}
	return appendMessage(b, n, func(b []byte) []byte {
		if len(values) == 0 {
			return b
		}
		if !counts {
			numbers := make([]float64, len(values))
			for i, v := range values {
				numbers[i] = v.NaN()
			}
			return appendDoubles(b, 2, numbers)
		}
		return appendMessage(b, 1, func(b []byte) []byte {
			for _, v := range values {
				x, known := v.Get()
				if known {
					x++
				}
				b = protowire.AppendVarint(b, uint64(x))
			}
			return b
		})
	})
}

func appendMessage(b []byte, n protowire.Number, body func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, n, protowire.BytesType)
	// One byte is left for the length and the body moved where it needs more.
	start := len(b)
	b = body(append(b, 0))
	size := len(b) - start - 1
	if extra := protowire.SizeVarint(uint64(size)) - 1; extra > 0 {
		b = append(b, make([]byte, extra)...)
		copy(b[start+1+extra:], b[start+1:start+1+size])
	}
	protowire.AppendVarint(b[:start], uint64(size))
	return b
}

func appendVarint(b []byte, n protowire.Number, x uint64) []byte {
	if x == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), x)
}

func appendFixed64(b []byte, n protowire.Number, x uint64) []byte {
	if x == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), x)
}

func appendBytes[B string | []byte](b []byte, n protowire.Number, x B) []byte {
	if len(x) == 0 {
		return b
	}
	return append(protowire.AppendVarint(protowire.AppendTag(b, n, protowire.BytesType), uint64(len(x))), x...)
}

func appendValue(b []byte, n protowire.Number, v series.Value) []byte {
	x, known := v.Get()
	if !known {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), math.Float64bits(x))
}

func appendDoubles(b []byte, n protowire.Number, xs []float64) []byte {
	if len(xs) == 0 {
		return b
	}
	b = protowire.AppendTag(b, n, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(8*len(xs)))
	for _, x := range xs {
		b = protowire.AppendFixed64(b, math.Float64bits(x))
	}
	return b
}

var (
	errNoStamp = errors.New("the record has no stamp")
	errNoSeq   = errors.New("the record's stamp has no sequence number")
)
