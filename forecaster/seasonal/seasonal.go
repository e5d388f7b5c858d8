// Package seasonal forecasts from the same hours of the past: those of the days that are like today, those a week ago, and the typical
// day carried along by today's level. Until a season was seen its experts repeat the last value.
package seasonal

import (
	"math"

	"github.com/prescale/prescale/forecaster/checkpoint"
	"github.com/prescale/prescale/forecaster/signal"
)

// Day says that the next values are those of the days that are like today.
type Day struct{}

// Observe does nothing: the Signal compares the days.
func (Day) Observe(*signal.Signal) {}

// Points sets step k to what those days say of it. A long season that was found serves instead, which the day would have hidden if it
// were the stronger one, and any that was found where no day is known yet.
func (Day) Points(s *signal.Signal, dst []float64) {
	for k := range dst {
		v := math.NaN()
		if s.Long() == 0 {
			v = s.Alike(k + 1)
		}
		if math.IsNaN(v) {
			v = s.Turn(k + 1)
		}
		if math.IsNaN(v) {
			v = s.Now()
		}
		dst[k] = v
	}
}

// Visit does nothing: the Signal compares the days.
func (Day) Visit(*checkpoint.Codec) {}

// Week says that the next values equal those one week before.
type Week struct{}

// Observe does nothing: the Signal keeps the past.
func (Week) Observe(*signal.Signal) {}

// Points sets step k to the value of the same time a week ago, or of the same time in the latest week where that is still to come.
func (Week) Points(s *signal.Signal, dst []float64) {
	for k := range dst {
		dst[k] = s.Now()
		if v := s.WeekBefore(k + 1); !math.IsNaN(v) {
			dst[k] = v
		}
	}
}

// Visit does nothing: the Signal keeps the past.
func (Week) Visit(*checkpoint.Codec) {}

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
