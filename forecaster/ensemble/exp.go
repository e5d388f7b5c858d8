package ensemble

import "math"

// expParts is into how many parts the table cuts a doubling.
const (
	expShift = 5
	expParts = 1 << expShift
)

// powers holds 2^(i/expParts).
var powers = func() (t [expParts]float64) {
	for i := range t {
		t[i] = math.Exp2(float64(i) / expParts)
	}
	return t
}()

// exp is e to the x to eight digits, for x from -50 to 50, beyond which it stays: the weights need no more, and are most of a
// step's work with math.Exp.
func exp(x float64) float64 {
	if x > 50 {
		x = 50
	} else if !(x > -50) {
		x = -50
	}
	x *= expParts / math.Ln2
	n := int(x+expParts*1024) - expParts*1024 // the conversion cuts off, so it must see no negative number
	f := (x - float64(n)) * (math.Ln2 / expParts)
	return (1 + f*(1+f*(1.0/2+f/6))) * powers[n&(expParts-1)] * math.Float64frombits(uint64(1023+(n>>expShift))<<52)
}
