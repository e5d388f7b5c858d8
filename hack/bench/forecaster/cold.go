package main

import (
	"fmt"
	"math"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/score"
)

// Of a cold start: how many samples a fresh model has seen, and from how many points of each trace one starts. Of 60 starts a few
// bursts decide: where they begin moves a trace's ratio by a fifth and more.
const (
	coldSamples = 30
	coldStarts  = 2000
)

// cold starts a fresh model at many points of each trace, and after 30 samples compares its forecast with those of the last
// value and of smoothing, which saw the same: mean absolute error of the median, and quantile loss. Of the two the errors are those of
// their points or of their medians, which the errors of 30 samples have moved, whichever are less: where a trend lasts the latter are.
func cold(data string, names []string) error {
	if len(names) == 0 {
		names = fourteen
	}
	fmt.Printf("%-22s %6s | %9s %9s %9s %6s | %9s %9s %9s %6s\n", "30 samples in", "starts", "MAE last", "SES 0.3", "Prescale", "ratio",
		"wql last", "SES 0.3", "Prescale", "ratio")
	logMAE, logLoss := 0.0, 0.0
	for _, name := range names {
		t, err := readTrace(data, name)
		if err != nil {
			return err
		}
		var s [3]coldScore
		starts := 0
		byTime := t.rows()
		h := horizonFor(t.step)
		stride := max(1, (len(t.y)-coldSamples-h)/coldStarts)
		for begin := 0; begin+coldSamples+h <= len(t.y); begin += stride {
			starts++
			if err := coldStart(t, byTime, begin, h, &s); err != nil {
				return err
			}
		}
		for m := range s[:2] {
			s[m].err = min(s[m].err, s[m].plain)
		}
		mae := s[2].err / min(s[0].err, s[1].err)
		loss := s[2].loss / min(s[0].loss, s[1].loss)
		logMAE += math.Log(mae) / float64(len(names))
		logLoss += math.Log(loss) / float64(len(names))
		fmt.Printf("%-22s %6d | %9.4g %9.4g %9.4g %6.3f | %9.4g %9.4g %9.4g %6.3f\n", name, starts,
			s[0].mae(), s[1].mae(), s[2].mae(), mae, s[0].wql(), s[1].wql(), s[2].wql(), loss)
	}
	fmt.Printf("geometric mean of the ratios to the better of the two: MAE %.3f, quantile loss %.3f (bar 1.05)\n", math.Exp(logMAE),
		math.Exp(logLoss))
	return nil
}

type coldScore struct {
	err, plain, loss, sum float64
	points                int
}

func (s *coldScore) mae() float64 { return s.err / float64(s.points) }
func (s *coldScore) wql() float64 { return 100 * 2 * s.loss / s.sum / float64(len(levels)) }

// coldStart scores the forecasts of one start. Step k's outcome is what came k steps later by the clock, if anything did: the row
// after a night is not the next step.
func coldStart(t *trace, byTime map[float64]int, begin, h int, s *[3]coldScore) error {
	step := time.Duration(t.step * float64(time.Second))
	config := forecaster.Config{Step: step, MaxSteps: h, Quantiles: levels}
	model, err := catalog.New(config)
	if err != nil {
		return err
	}
	others := score.Naive(config)
	level := t.y[begin]
	for _, y := range t.y[begin : begin+coldSamples] {
		level += 0.3 * (y - level)
	}
	points := []float64{t.y[begin+coldSamples-1], level, math.NaN()} // in the order of the models
	var f forecaster.Forecast
	for m, model := range []forecaster.Model{others[0].Model, others[2].Model, model} {
		for i := begin; i < begin+coldSamples; i++ {
			model.Observe(time.Unix(0, 0).Add(time.Duration(t.at[i]*float64(time.Second))), t.y[i]/t.step)
		}
		model.Forecast(&f, h)
		for k := 1; k <= h; k++ {
			row, ok := byTime[t.at[begin+coldSamples-1]+float64(k)*t.step]
			if !ok {
				continue
			}
			y := t.y[row]
			s[m].err += math.Abs(y - f.Quantile(k, 0)*t.step)
			s[m].plain += math.Abs(y - points[m])
			s[m].sum += y
			s[m].points++
			for l, tau := range levels {
				s[m].loss += score.Pinball(f.Quantile(k, l)*t.step, y, tau)
			}
		}
	}
	return nil
}
