package ensemble

import (
	"math"

	"github.com/prescale/prescale/forecaster/signal"
)

// The last tracker adds to each target's quantiles what keeps the share of outcomes under them at its level (the P term of
// conformal PID control). It judges what was told at the time, not what would be told now: its offset has since learned from
// outcomes that overlap with the one that it judges. A gain that is always high enough to hold the coverage of a day costs
// much pinball loss, so the gain grows where coverage is off: by the square of how many standard errors of finalMisses
// outcomes it is. While a series is fresh those that overlap count as one for that. Of a step it grows sooner where outcomes in a
// row are on one side: by the sum of their misses, which is one where they are as many as are due, beside the root of how many
// overlap. Far steps, whose outcomes come late, move less, by the fourth root of the span. A young series' quantiles are left to the
// experts' own trackers, whose gains are large at first.
// The numbers were chosen on parts of the public traces that the benchmark does not score, and on traces that it leaves out.
const (
	finalMemory = 300 // outcomes, the inverse of the gain
	finalMisses = 200 // outcomes over which coverage is watched
	finalBoost  = 4   // the gain grows at most so many times by that
	finalRun    = 8   // and by a run
	finalRamp   = 100 // outcomes until the gain is whole
)

func (b *bank) adjusted(y, offset, scale float64) float64 {
	if offset == 0 {
		return y
	}
	return signal.Backward(signal.Forward(y) + offset*scale)
}

// The offset is linear in what is known of the moment, so that quantiles that are right by and large, but too narrow in a busy hour
// and too wide in a quiet one, are corrected in both; of a step also in how far apart the experts are (disagree.go). Each coefficient
// moves by the gradient of the quantile loss, that of the first term, which holds the coverage, with the boost. The gains and the bounds
// of the terms were chosen as the numbers above.
const (
	momentTerms = 5
	finalTerms  = momentTerms + 1
	termGain    = 0.5 // of the other terms' coefficients of the moment beside that of the first
)

// know keeps the terms of now: one, how much noise there is beside the usual, how far the level is from where it was, and the hour.
// All are about as large.
func (b *bank) know(s *signal.Signal, at int) {
	x := b.terms[at*momentTerms:][:momentTerms]
	x[0] = 1
	x[1] = float32(max(-2, min(2, math.Log(s.Quick()/s.Scale()))))
	x[2] = float32(max(-1, min(1, (s.Mean(signal.Mean60)-s.Mean(signal.Mean200))/s.Scale())))
	if day := s.Day(); day > 0 {
		sin, cos := math.Sincos(2 * math.Pi * float64(s.Steps()%day) / float64(day))
		x[3], x[4] = float32(sin), float32(cos)
	}
}

// lacking returns what is to be added to level i's quantile of target t, in units of scale.
func (b *bank) lacking(at, t, i int) float64 {
	f := b.final[(t*len(b.levels)+i)*finalTerms:][:finalTerms]
	sum := float32(0)
	if t < b.reach {
		sum = f[momentTerms] * b.dispute[at*b.reach+t]
	}
	for j, x := range b.terms[at*momentTerms:][:momentTerms] {
		sum += f[j] * x
	}
	return float64(sum)
}

// correct learns whether what was told of level i's quantile of target t was enough, as a share tau of such outcomes should be.
func (b *bank) correct(at, t, i int, tau float64, covered bool, fresh float64) {
	cell := t*len(b.levels) + i
	miss := tau
	if covered {
		miss = tau - 1
	}
	drift := float64(b.drift[cell])
	drift += (miss - drift) / finalMisses
	b.drift[cell] = float32(drift)
	run := miss
	if before := float64(b.run[cell]); before*miss > 0 {
		run += before
	}
	b.run[cell] = float32(run)
	boost, overlap := 1.0, 1+fresh*float64(b.span(t)-1)
	if off := drift * drift * 2 * finalMisses / (tau * (1 - tau) * overlap); off > 1 {
		boost = min(finalBoost, off)
	}
	if t < b.reach {
		boost = max(boost, min(finalRun, math.Abs(run)/math.Sqrt(float64(b.span(t)))))
	}
	ramp := min(1, float64(b.count[t])/finalRamp)
	step := b.gain[cell] * float32(miss*ramp)
	f := b.final[cell*finalTerms:][:finalTerms]
	f[0] += step * float32(boost)
	for j, x := range b.terms[at*momentTerms:][1:momentTerms] {
		f[1+j] += termGain * step * x
	}
	if t < b.reach {
		f[momentTerms] += step * b.dispute[at*b.reach+t]
	}
}
