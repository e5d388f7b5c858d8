package calendar_test

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/calendar"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/forecastertest"
)

// sale is from 9 to 10 each day, flash within it.
var (
	sale  = forecaster.Event{Name: "sale", Span: forecaster.Span{Start: "0 9 * * *", Duration: time.Hour}, Factor: 5}
	flash = forecaster.Event{Name: "flash", Span: forecaster.Span{Start: "30 9 * * *", Duration: time.Hour}, Factor: 2}
)

// lively is a series that has its events: what the suite says is the usual, so that its constant is one but for them.
type lively struct{ forecaster.Model }

func (m lively) Observe(at time.Time, v float64) {
	switch minute := 60*at.Hour() + at.Minute(); { // of the end of the step
	case minute > 9*60 && minute <= 10*60:
		v *= sale.Factor
	case minute > 10*60 && minute <= 10*60+30:
		v *= flash.Factor
	}
	m.Model.Observe(at, v)
}

func TestSuite(t *testing.T) {
	forecastertest.Run(t, func(c forecaster.Config) (forecaster.Model, error) {
		c.Events = []forecaster.Event{sale, flash}
		m, err := catalog.New(c)
		return lively{m}, err
	})
}

// TestSuiteLearned is the suite with factors that are learned while it runs.
func TestSuiteLearned(t *testing.T) {
	forecastertest.Run(t, func(c forecaster.Config) (forecaster.Model, error) {
		c.Events = []forecaster.Event{learns(sale), learns(forecaster.Event{Name: "hourly", Span: forecaster.Span{Start: "0 * * * *", Duration: 30 * time.Minute}, Factor: 1})}
		return catalog.New(c)
	})
}

func learns(e forecaster.Event) forecaster.Event {
	e.Factor, e.Learn = 1, true
	return e
}

// fixed keeps what it observed and forecasts the same always.
type fixed struct {
	at           time.Time
	saw          []float64
	perStep, max []float64
}

func (f *fixed) Observe(at time.Time, v float64) { f.at, f.saw = at, append(f.saw, v) }
func (f *fixed) Forecast(dst *forecaster.Forecast, steps int) {
	*dst = forecaster.Forecast{
		At: f.at, Step: 15 * time.Minute, Levels: []float64{0.5, 0.9}, Steps: steps, Warm: true,
		PerStep: append([]float64(nil), f.perStep[:2*steps]...), Max: append([]float64(nil), f.max...),
	}
}
func (f *fixed) AppendCheckpoint(b []byte) []byte { return b }
func (f *fixed) Restore([]byte) error             { return nil }

func over(t *testing.T, f *fixed, events ...forecaster.Event) forecaster.Model {
	t.Helper()
	m, err := calendar.New(f, forecaster.Config{Step: 15 * time.Minute, MaxSteps: 4, Quantiles: []float64{0.5, 0.9}, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func at(hour, minute int) time.Time { return time.Date(2026, 1, 5, hour, minute, 0, 0, time.UTC) }

// TestObserve: a sample is of the step that ends at its time.
func TestObserve(t *testing.T) {
	for _, tt := range []struct {
		when   time.Time
		factor float64
	}{
		{at(8, 45), 1},
		{at(9, 0), 1},
		{at(9, 5), (10*1.0 + 5*5) / 15}, // a tick that straddles the beginning
		{at(9, 15), 5},
		{at(9, 45), 5}, // both: the larger
		{at(10, 0), 5},
		{at(10, 3), (12*5.0 + 3*2) / 15}, // the one goes, the other stays
		{at(10, 15), 2},
		{at(10, 30), 2},
		{at(10, 45), 1},
		{at(9, 15).AddDate(0, 0, 3), 5},
	} {
		f := &fixed{}
		m := over(t, f, sale, flash)
		m.Observe(tt.when, 60)
		m.Observe(tt.when, math.NaN())
		if got, want := f.saw[0], 60/tt.factor; math.Abs(got-want) > 1e-9*want {
			t.Errorf("%v: 60 was learned as %v, want %v", tt.when, got, want)
		}
		if !math.IsNaN(f.saw[1]) {
			t.Errorf("%v: a gap was learned as %v", tt.when, f.saw[1])
		}
	}
	quiet := sale
	quiet.Factor = 0.2
	f := &fixed{}
	over(t, f, quiet).Observe(at(9, 30), 60)
	if f.saw[0] != 300 {
		t.Errorf("a fifth of the usual: 60 was learned as %v, want 300", f.saw[0])
	}
}

func TestForecast(t *testing.T) {
	steps := []float64{10, 20, 10, 22, 10, 21, 10, 20} // two levels a step
	for _, tt := range []struct {
		name         string
		last         time.Time
		perStep, max []float64
	}{
		{"far before", at(6, 0), steps, []float64{12, 33}},
		{"in sight", at(8, 30), []float64{10, 20, 10, 22, 50, 105, 50, 100}, []float64{60, 33.0 / 22 * 105}},
		{"within", at(9, 0), []float64{50, 100, 50, 110, 50, 105, 50, 100}, []float64{60, 165}},
		{"its end in sight", at(9, 45), []float64{50, 100, 20, 44, 20, 42, 10, 20}, []float64{60, 150}},
		{"after", at(10, 30), steps, []float64{12, 33}},
	} {
		f := &fixed{perStep: steps, max: []float64{12, 33}}
		m := over(t, f, sale, flash)
		m.Observe(tt.last, 10)
		var got forecaster.Forecast
		m.Forecast(&got, 4)
		forecastertest.Check(t, &got)
		for i, v := range append(got.PerStep, got.Max...) {
			if want := append(append([]float64(nil), tt.perStep...), tt.max...)[i]; math.Abs(v-want) > 1e-9*want {
				t.Errorf("%s: value %d is %v, want %v", tt.name, i, v, want)
			}
		}
	}
	// Nothing is forecast of any step, yet something of the maximum.
	f := &fixed{perStep: make([]float64, 8), max: []float64{0, 3}}
	m := over(t, f, sale)
	m.Observe(at(8, 30), 0)
	var got forecaster.Forecast
	m.Forecast(&got, 4)
	if !reflect.DeepEqual(got.Max, []float64{0, 15}) {
		t.Errorf("steps of zero: the maximum is %v, want 0 and 15", got.Max)
	}
}

// TestTheUsualLevelStays: after days with a sale, one of them not measured, the model knows what one without any sale knows.
func TestTheUsualLevelStays(t *testing.T) {
	c := forecastertest.Config()
	plain, err := catalog.New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Events = []forecaster.Event{sale}
	model, err := catalog.New(c)
	if err != nil {
		t.Fatal(err)
	}
	when := at(0, 0)
	for i := range 4 * 96 {
		when = when.Add(c.Step)
		usual := 64 + float64(i*7919%32)
		if i/96 == 1 && i%96 == 38 {
			usual = math.NaN()
		}
		came := usual
		if h := when.Add(-c.Step).Hour(); h == 9 {
			came *= 5
		}
		plain.Observe(when, usual)
		model.Observe(when, came)
	}
	if !bytes.Equal(plain.AppendCheckpoint(nil), model.AppendCheckpoint(nil)) {
		t.Error("the sale is still in what was learned")
	}
}
