// Package checkpoint writes and reads the state of models. A state names its fields once, in one method that takes a
// Codec, and that method serves both directions, so that writing and reading cannot drift apart.
//
// The form is little-endian and has no field names: a change to what a model visits needs a new version number there.
package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// errShort is returned for a checkpoint that ends too early.
var errShort = errors.New("checkpoint ends too early")

// Codec visits fields: it appends each to a buffer, or sets each from one. The zero Codec writes.
type Codec struct {
	buffer  []byte
	reading bool
	dry     bool
	err     error
}

// Writer returns a Codec that appends to b.
func Writer(b []byte) *Codec { return &Codec{buffer: b} }

// Reader returns a Codec that reads b, which it does not modify.
func Reader(b []byte) *Codec { return &Codec{buffer: b, reading: true} }

// Checker returns a Codec that goes through b as Reader does, finds the same errors and sets nothing.
func Checker(b []byte) *Codec { return &Codec{buffer: b, reading: true, dry: true} }

// Bytes returns what was written, or what is left to read.
func (c *Codec) Bytes() []byte { return c.buffer }

// Err returns the first error.
func (c *Codec) Err() error { return c.err }

// Fail sets the error unless there is one already.
func (c *Codec) Fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *Codec) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if len(c.buffer) < n {
		c.err = errShort
		return nil
	}
	b := c.buffer[:n]
	c.buffer = c.buffer[n:]
	return b
}

// Uint64 visits one integer.
func (c *Codec) Uint64(x *uint64) {
	if !c.reading {
		c.buffer = binary.LittleEndian.AppendUint64(c.buffer, *x)
	} else if b := c.take(8); b != nil && !c.dry {
		*x = binary.LittleEndian.Uint64(b)
	}
}

// Int visits one integer.
func (c *Codec) Int(x *int) {
	u := uint64(*x)
	c.Uint64(&u)
	*x = int(int64(u))
}

// Int64 visits one integer.
func (c *Codec) Int64(x *int64) {
	u := uint64(*x)
	c.Uint64(&u)
	*x = int64(u)
}

// Bool visits one truth value.
func (c *Codec) Bool(x *bool) {
	u := uint64(0)
	if *x {
		u = 1
	}
	c.Uint64(&u)
	*x = u != 0
}

// Float64 visits one number, bit for bit.
func (c *Codec) Float64(x *float64) {
	u := math.Float64bits(*x)
	c.Uint64(&u)
	*x = math.Float64frombits(u)
}

// Same visits a number that must be equal in the state and in the checkpoint, such as a length or a version.
func (c *Codec) Same(name string, want int) {
	got := want
	if !c.reading {
		c.Int(&got)
	} else if b := c.take(8); b != nil {
		got = int(int64(binary.LittleEndian.Uint64(b)))
	}
	if c.err == nil && got != want {
		c.err = fmt.Errorf("checkpoint has %s of %d, want %d", name, got, want)
	}
}

// Float64s visits a slice of fixed length.
func (c *Codec) Float64s(name string, x []float64) {
	c.Same(name, len(x))
	if !c.reading {
		for _, v := range x {
			c.buffer = binary.LittleEndian.AppendUint64(c.buffer, math.Float64bits(v))
		}
	} else if b := c.take(8 * len(x)); b != nil && !c.dry {
		for i := range x {
			x[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
}

// Float32s visits a slice of fixed length.
func (c *Codec) Float32s(name string, x []float32) {
	c.Same(name, len(x))
	if !c.reading {
		for _, v := range x {
			c.buffer = binary.LittleEndian.AppendUint32(c.buffer, math.Float32bits(v))
		}
	} else if b := c.take(4 * len(x)); b != nil && !c.dry {
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
}

// Uint16s visits a slice of fixed length.
func (c *Codec) Uint16s(name string, x []uint16) {
	c.Same(name, len(x))
	if !c.reading {
		for _, v := range x {
			c.buffer = binary.LittleEndian.AppendUint16(c.buffer, v)
		}
	} else if b := c.take(2 * len(x)); b != nil && !c.dry {
		for i := range x {
			x[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
	}
}
