package series

import (
	"encoding/json"
	"fmt"
	"math"
)

// Value is a number that may be missing. Missing is not zero: arithmetic on a missing Value gives a missing Value, and it
// is written as null. The zero Value is missing. Values are comparable with ==.
type Value struct {
	number float64
	known  bool
}

// Missing is the Value that is not known.
var Missing = Value{}

// Of returns the known Value x. A NaN or infinite x gives Missing, since neither can be observed.
func Of(x float64) Value {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Missing
	}
	return Value{number: x, known: true}
}

// OfInt returns the known Value n.
func OfInt[I ~int | ~int32 | ~int64](n I) Value { return Value{number: float64(n), known: true} }

// Known reports whether v holds a number.
func (v Value) Known() bool { return v.known }

// Get returns the number and whether it is known; the number is 0 where it is not.
func (v Value) Get() (float64, bool) { return v.number, v.known }

// Or returns the number, or fallback where it is missing.
func (v Value) Or(fallback float64) float64 {
	if !v.known {
		return fallback
	}
	return v.number
}

// NaN returns the number, or NaN where it is missing: the form in which models take gaps.
func (v Value) NaN() float64 { return v.Or(math.NaN()) }

// Plus returns v + w, missing where either is.
func (v Value) Plus(w Value) Value {
	if !v.known || !w.known {
		return Missing
	}
	return Of(v.number + w.number)
}

// Times returns v × x, missing where v is.
func (v Value) Times(x float64) Value {
	if !v.known {
		return Missing
	}
	return Of(v.number * x)
}

// Max returns the larger of the two; where one is missing, the other.
func (v Value) Max(w Value) Value {
	switch {
	case !v.known:
		return w
	case !w.known || v.number >= w.number:
		return v
	default:
		return w
	}
}

// String returns the number in the shortest form, or "missing".
func (v Value) String() string {
	if !v.known {
		return "missing"
	}
	return fmt.Sprintf("%g", v.number)
}

// MarshalJSON writes the number, or null where it is missing.
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.known {
		return []byte("null"), nil
	}
	return json.Marshal(v.number)
}

// UnmarshalJSON reads a number or null.
func (v *Value) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*v = Missing
		return nil
	}
	var x float64
	if err := json.Unmarshal(data, &x); err != nil {
		return fmt.Errorf("want a number or null, got %s", data)
	}
	*v = Of(x)
	return nil
}

// IsZero reports whether v is missing, so that `json:",omitzero"` leaves missing values out.
func (v Value) IsZero() bool { return !v.known }
