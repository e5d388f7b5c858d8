package eventlog

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/prescale/prescale/metrics/series"
)

// field is one field as it was read: a number for the fixed and varint types, bytes for the others.
type field struct {
	number protowire.Number
	kind   protowire.Type
	x      uint64
	b      []byte
}

// decodeFields hands visit every field of the message b in order. Groups and 32-bit fields, which the schema has none of,
// are skipped.
func decodeFields(b []byte, visit func(field) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		f := field{number: number, kind: kind}
		switch kind {
		case protowire.VarintType:
			f.x, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.x, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(b)
		default:
			if n = protowire.ConsumeFieldValue(number, kind, b); n >= 0 {
				b = b[n:]
				continue
			}
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

func (f field) want(kind protowire.Type) error {
	if f.kind != kind {
		return fmt.Errorf("field %d: wire type %d, want %d", f.number, f.kind, kind)
	}
	return nil
}

func (f field) message(visit func(field) error) error {
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	if err := decodeFields(f.b, visit); err != nil {
		return fmt.Errorf("field %d: %w", f.number, err)
	}
	return nil
}

func (f field) varintTo(to *uint64) error {
	*to = f.x
	return f.want(protowire.VarintType)
}

func (f field) fixed64To(to *uint64) error {
	*to = f.x
	return f.want(protowire.Fixed64Type)
}

func (f field) timeTo(to *time.Time) error {
	*to = time.Unix(0, int64(f.x)).UTC()
	return f.want(protowire.Fixed64Type)
}

func (f field) valueTo(to *series.Value) error {
	*to = series.Of(math.Float64frombits(f.x))
	return f.want(protowire.Fixed64Type)
}

func (f field) stringTo(to *string) error {
	*to = string(f.b)
	return f.want(protowire.BytesType)
}

func (f field) bytesTo(to *[]byte) error {
	*to = slices.Clone(f.b)
	return f.want(protowire.BytesType)
}

// doublesTo appends packed doubles, or one that is not packed, as every protobuf reader must.
func (f field) doublesTo(to *[]float64) error {
	if f.kind == protowire.Fixed64Type {
		*to = append(*to, math.Float64frombits(f.x))
		return nil
	}
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	if len(f.b)%8 != 0 {
		return fmt.Errorf("field %d: %d bytes of doubles, want a multiple of 8", f.number, len(f.b))
	}
	for b := f.b; len(b) > 0; b = b[8:] {
		*to = append(*to, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return nil
}

func (f field) countsTo(to *[]series.Value) error {
	add := func(x uint64) {
		if x == 0 {
			*to = append(*to, series.Missing)
			return
		}
		*to = append(*to, series.Of(float64(x-1)))
	}
	if f.kind == protowire.VarintType {
		add(f.x)
		return nil
	}
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	for b := f.b; len(b) > 0; {
		x, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return fmt.Errorf("field %d: %w", f.number, protowire.ParseError(n))
		}
		add(x)
		b = b[n:]
	}
	return nil
}
