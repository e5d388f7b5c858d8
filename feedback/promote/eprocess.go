// Package promote decides when the evidence that one model is better than another is strong enough, however often one looks.
package promote

import (
	"fmt"
	"math"
)

// Evidence is an e-process for "the challenger is not better": a game of betting on the differences d_t of the two losses,
// whose capital K_t = Π(1 + β_t·d_t) is, if that is true, a supermartingale, so that by Ville's inequality it ever reaches
// 1/α with a chance of at most α. It may be looked at after every example, and stopped at any.
//
// The bet β_t in [0, ½] depends on the differences before t only: the aGRAPA rule of I. Waudby-Smith and A. Ramdas,
// "Estimating means of bounded random variables by betting", JRSS B 86 (2024), section B.3, with their starting values of mean 0
// and variance ¼.
//
// Fields are exported to be stored. The zero value is not ready; use New.
type Evidence struct {
	Scale   float64 `json:"scaleNats"` // difference of loss that counts as 1; larger ones are clipped
	Alpha   float64 `json:"alpha"`     // bound on the chance of a false promotion
	Count   int64   `json:"count"`     // examples
	LogK    float64 `json:"logK"`      // ln K_t
	Sum     float64 `json:"sum"`       // Σd
	Squares float64 `json:"squares"`   // Σ(d - mean at the time)²
}

// New returns evidence of nothing yet. A scale of 1 nat and α = 0.01 are the defaults of the trainer: a challenger that is
// better by 0.1 nats with differences of 0.3 about that needs some hundred examples.
func New(scaleNats, alpha float64) (Evidence, error) {
	if !(scaleNats > 0) || math.IsInf(scaleNats, 0) {
		return Evidence{}, fmt.Errorf("promote: scale %v nats is not above 0", scaleNats)
	}
	if !(alpha > 0 && alpha < 1) {
		return Evidence{}, fmt.Errorf("promote: alpha %v is outside 0 to 1", alpha)
	}
	return Evidence{Scale: scaleNats, Alpha: alpha}, nil
}

// Add takes in the losses of both on one example that neither has been trained on, and reports whether the evidence is
// enough now.
func (e *Evidence) Add(championNats, challengerNats float64) bool {
	d := (championNats - challengerNats) / e.Scale
	if math.IsNaN(d) {
		return e.enough()
	}
	d = max(-1, min(1, d))
	n := float64(e.Count)
	mean := e.Sum / (n + 1)
	variance := (0.25 + e.Squares) / (n + 1)
	beta := max(0, min(0.5, mean/(variance+mean*mean)))
	e.LogK += math.Log1p(beta * d)
	e.Count++
	e.Sum += d
	after := e.Sum / (n + 2)
	e.Squares += (d - after) * (d - after)
	return e.enough()
}

// enough reports whether K has reached 1/α.
func (e *Evidence) enough() bool { return e.LogK >= -math.Log(e.Alpha) }

// K is the capital: 1 says nothing either way, 1/α is enough.
func (e *Evidence) K() float64 { return math.Exp(e.LogK) }

// Reset forgets all differences.
func (e *Evidence) Reset() { *e = Evidence{Scale: e.Scale, Alpha: e.Alpha} }
