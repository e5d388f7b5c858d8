package trace

import "time"

// Clock maps the wall's time to the trace's, which passes Speed times as fast. It is a value and safe for concurrent use;
// it reads no clock itself.
type Clock struct {
	wall  time.Time
	trace time.Time
	speed float64
}

// NewClock returns the Clock on which the trace's time is `trace` when the wall's is `wall`. speed must be positive; 1 is
// the trace's own pace. wall's monotonic reading is kept, so that a step of the system's clock moves nothing.
func NewClock(wall, trace time.Time, speed float64) Clock {
	if speed <= 0 {
		panic("trace: speed must be positive")
	}
	return Clock{wall, trace.Round(0), speed}
}

// Speed returns how many seconds of the trace pass in a second.
func (c Clock) Speed() float64 { return c.speed }

// At returns the trace's time when the wall's is `wall`, without a monotonic reading.
func (c Clock) At(wall time.Time) time.Time {
	return c.trace.Add(time.Duration(float64(wall.Sub(c.wall)) * c.speed))
}

// Wall returns the wall's time when the trace's is `at`.
func (c Clock) Wall(at time.Time) time.Time {
	return c.wall.Add(c.WallSpan(at.Sub(c.trace)))
}

// WallSpan returns how long a span of the trace's time takes.
func (c Clock) WallSpan(span time.Duration) time.Duration {
	return time.Duration(float64(span) / c.speed)
}

// Start returns the trace's time at which the clock was set.
func (c Clock) Start() time.Time { return c.trace }
