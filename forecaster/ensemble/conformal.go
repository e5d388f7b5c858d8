package ensemble

import "github.com/prescale/prescale/forecaster/signal"

// The last tracker adds to each target's quantiles what keeps the share of outcomes under them at its level (the P term of
// conformal PID control). It judges what was told at the time, not what would be told now: its offset has since learned from
// outcomes that overlap with the one that it judges. A gain that is always high enough to hold the coverage of a day costs
// much pinball loss, so the gain grows where coverage is off: by the square of how many standard errors of finalMisses
// outcomes it is. Far steps, whose outcomes come late, move less, by the fourth root of the span. A young series' quantiles
// are left to the experts' own trackers, whose gains are large at first. The numbers were chosen on parts of the public traces
// that the benchmark does not score, and on traces that it leaves out.
const (
	finalMemory = 300 // outcomes, the inverse of the gain
	finalMisses = 200 // outcomes over which coverage is watched
	finalBoost  = 4   // the gain grows at most so many times
	finalRamp   = 100 // outcomes until the gain is whole
)

func (b *bank) adjusted(y, offset, scale float64) float64 {
	if offset == 0 {
		return y
	}
	return signal.Backward(signal.Forward(y) + offset*scale)
}

func (b *bank) correct(t, i int, covered bool) {
	tau, cell := b.levels[i], t*len(b.levels)+i
	miss := tau
	if covered {
		miss = tau - 1
	}
	drift := float64(b.drift[cell])
	drift += (miss - drift) / finalMisses
	b.drift[cell] = float32(drift)
	boost := drift * drift * 2 * finalMisses / (tau * (1 - tau))
	ramp := min(1, float64(b.count[t])/finalRamp)
	b.final[cell] += b.gain[cell] * float32(miss*ramp*max(1, min(finalBoost, boost)))
}
