package ensemble

import "github.com/prescale/prescale/forecaster/checkpoint"

// jump finds the moment at which the level became another. All that was told before it of a time after it is wrong for that one reason: of
// a step h ahead h outcomes in a row. Quantiles that took each for a sample of its own were several times too wide for an hour. So
// none but the first outcome, which may be anything, teaches a width. Weights learn from all of them.
type jump struct {
	run int // errors in a row that were no chance: over 0 of outcomes above what was told, under 0 below
	at  int // step of the second one of the latest jump; 0 before the first
}

// Two errors in a row to the same side of jumpErrors times their mean, nearly five deviations of a normal variable, are another level.
// With four, bursts of tweets are levels too, and their maxima are covered too seldom (hack/designs/forecast-changes.md).
const jumpErrors = 6

// step takes how far an outcome is above the median that was told for it, and the mean of such errors, which n of them made.
func (j *jump) step(now int, above, usual float64, n int) {
	switch {
	case n > changeStart && above > jumpErrors*usual && j.run >= 0:
		j.run++
	case n > changeStart && above < -jumpErrors*usual && j.run <= 0:
		j.run--
	default:
		j.run = 0
	}
	if j.run == 2 || j.run == -2 {
		j.at = now
	}
}

// across reports whether what was told at a step was told before the latest jump. Its outcome is known by now, so it came after.
func (j *jump) across(step int) bool { return step < j.at-1 }

func (j *jump) visit(k *checkpoint.Codec) {
	k.Int(&j.run)
	k.Int(&j.at)
}
