// Package seasonal forecasts from the same hours of the past: the value a season ago, and the typical day carried along
// by today's level. Until a season was seen its experts say what the last value says: of means the pool has enough.
package seasonal

import (
	"math"

	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// Lag says that the next values equal those one day (or, with Week, one week) before.
type Lag struct{ Week bool }

// Observe does nothing: the Signal keeps the past.
func (Lag) Observe(*signal.Signal) {}

// Points sets step k to the value of the same time a season ago. A long season that was found serves instead of the day, which
// would not have hidden it if it were the stronger one, and any that was found where no day is known yet.
func (l Lag) Points(s *signal.Signal, dst []float64) {
	season := s.Day()
	if l.Week {
		season = s.Week()
	}
	for k := range dst {
		v := math.NaN()
		if !l.Week && s.Long() > 0 {
			v = s.Turn(k + 1)
		} else if season > 0 {
			v = Same(s, season, k+1)
		}
		if math.IsNaN(v) && !l.Week {
			v = s.Turn(k + 1)
		}
		if math.IsNaN(v) {
			v = s.Now()
		}
		dst[k] = v
	}
}

// Visit does nothing: the Signal keeps the past.
func (Lag) Visit(*checkpoint.Codec) {}

// Same returns the value at the season's phase of k steps ahead (k may be 0), from the latest season that has one; NaN
// where none does.
func Same(s *signal.Signal, season, k int) float64 {
	for ago := season - k; ago <= s.Week(); ago += season {
		if ago < 0 {
			continue
		}
		if v := s.Past(ago); !math.IsNaN(v) {
			return v
		}
	}
	return s.Past(season - k)
}

// Profile says that the level of the last few steps moves as the typical day does.
type Profile struct{}

// Observe does nothing: the Signal keeps the typical day.
func (Profile) Observe(*signal.Signal) {}

// Points sets step k to the running mean over 5 steps plus the typical day's move from now to then.
func (Profile) Points(s *signal.Signal, dst []float64) {
	level := s.Mean(signal.Mean5)
	now, ok := s.Shape(0)
	if !ok {
		level = s.Now()
	}
	for k := range dst {
		dst[k] = level
		if then, known := s.Shape(k + 1); ok && known {
			dst[k] = max(0, level+then-now)
		}
	}
}

// Visit does nothing: the Signal keeps the typical day.
func (Profile) Visit(*checkpoint.Codec) {}
