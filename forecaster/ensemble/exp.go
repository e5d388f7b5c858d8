package ensemble

import "math"

// expParts is into how many parts the table cuts a doubling.
const (
	expShift = 8
	expParts = 1 << expShift
)

// powers holds the bits of 2^(i/expParts).
var powers = func() (t [expParts]uint32) {
	for i := range t {
		t[i] = math.Float32bits(float32(math.Exp2(float64(i) / expParts)))
	}
	return t
}()

// whole is so large that a float32 beside it has no fraction: what is added to it is rounded to an integer, which is then in its lowest
// 22 bits, negative ones in two's complement. Its own are zero there.
const whole = 3 << 22

// exp is e to the x to five digits, for x from -50 to 50, beyond which it stays: the weights need no more, and are most of a
// step's work with math.Exp.
func exp(x float32) float32 {
	if x > 50 {
		x = 50
	} else if !(x > -50) {
		x = -50
	}
	rounded := x*(expParts/math.Ln2) + whole
	n := math.Float32bits(rounded)
	f := x - (rounded-whole)*(math.Ln2/expParts)
	return (1 + f) * math.Float32frombits(powers[n%expParts]+n>>expShift<<23)
}
