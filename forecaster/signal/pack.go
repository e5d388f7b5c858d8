package signal

import "math"

// pack stores a non-negative number in 16 bits: 6 of exponent and 10 of mantissa, a relative error under 1/2048 from
// 2^-24 to 2^38. 0 stands for a gap; a true 0 becomes the smallest number.
func pack(z float64) uint16 {
	if math.IsNaN(z) {
		return 0
	}
	fraction, exponent := math.Frexp(z) // z = fraction × 2^exponent, fraction in [0.5, 1)
	e := exponent + 24
	if z <= 0 || e < 0 {
		return 1
	}
	m := int(math.Round((fraction - 0.5) * 2048))
	if m == 1024 {
		m = 0
		e++
	}
	if e > 62 {
		return math.MaxUint16
	}
	return max(1, uint16(e<<10|m))
}

// unpack is pack's inverse; a gap is NaN.
func unpack(p uint16) float64 {
	if p == 0 {
		return math.NaN()
	}
	bits := uint64(int(p>>10)-24+1022)<<52 | uint64(p&1023)<<42
	return math.Float64frombits(bits)
}
