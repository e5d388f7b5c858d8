package scaler

import "time"

// Tuning holds the constants of the plan. The defaults were found by sweeps of the simulator over public traces
// (hack/bench.sh scaler); they are no part of a policy.
type Tuning struct {
	// UpSteps is how many ticks beyond the lead time an increase is judged by, and a tenth of the lead time more: the longer it
	// takes to start, the longer it must be worth it. DownSteps is how many ticks beyond the lead time a decrease is judged by.
	UpSteps, DownSteps int
	// MoveCost is what a change costs besides its pause, in replica-ticks per replica moved. With 0.5 at 15 s, adding four
	// replicas must save what four replicas cost in 7.5 s.
	MoveCost float64
	// LeadCost is the share of the pay of a replica while it starts that counts against an increase. Starting is paid for
	// whether the need lasts or not, so a short need must be worth it.
	LeadCost float64
	// DelayShare is the share of the objective that the plan uses as room for a backlog: 0 allows none, 1 all of it.
	DelayShare float64
	// Spread scales the distance of the outer paths from the median; 1 takes the forecast's quantiles as they are.
	Spread float64
	// Hold is for how long, in seconds, fewer replicas must have been enough before any are taken away.
	Hold float64
	// Margin is the share of the mean replica's capacity that is not counted on, since the slowest one sets the pace, until
	// that pace has been seen.
	Margin float64
	// Noise is the relative deviation of the group's pace that the outer paths allow for besides that of the arrivals.
	Noise float64
	// Price multiplies the outer loop's price of a late record.
	Price float64
}

func (t *Tuning) upSteps(leadSteps int) int { return t.UpSteps + leadSteps/10 }

// tunedInterval is the interval that UpSteps and DownSteps are stated for. At a shorter one they are as many more as make the same
// span, up to mostMoreSteps times: else what a record may wait would be longer than an increase is judged by, and a step of the
// arrivals would be followed in many small ones.
const (
	tunedInterval = 15 * time.Second
	mostMoreSteps = 6
)

func (c *Config) tuning() Tuning {
	t := DefaultTuning()
	if c.Tuning != nil {
		t = *c.Tuning
	}
	if c.Interval > 0 && c.Interval < tunedInterval {
		more := int(min((tunedInterval+c.Interval-1)/c.Interval, mostMoreSteps))
		t.UpSteps *= more
		t.DownSteps *= more
	}
	return t
}

// DefaultTuning returns the constants in use.
func DefaultTuning() Tuning {
	return Tuning{UpSteps: 2, DownSteps: 2, MoveCost: 0.5, LeadCost: 0.5, DelayShare: 0.7, Spread: 1, Hold: 45, Margin: 0.06,
		Noise: 0.03, Price: 1}
}
