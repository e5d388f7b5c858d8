package calendar_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/forecastertest"
)

// weekly is on Mondays from 9 to 11; the tests begin on one.
var weekly = forecaster.Event{Name: "sale", Span: forecaster.Span{Start: "0 9 * * 1", Duration: 2 * time.Hour}, Factor: 1, Learn: true}

// shop is a load with a day and some noise, which on Mondays from 9 to 11 is so many times as high.
type shop struct {
	model  forecaster.Model
	at     time.Time
	random *rand.Rand
	times  func(week int) float64
}

func newShop(t *testing.T, c forecaster.Config, times func(week int) float64) *shop {
	t.Helper()
	m, err := catalog.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &shop{model: m, at: at(0, 0), random: rand.New(rand.NewPCG(1, 2)), times: times}
}

// until feeds the model up to a time and returns the load of the last step without the sale.
func (s *shop) until(end time.Time) float64 {
	usual := 0.0
	for s.at.Before(end) {
		begin := s.at
		s.at = begin.Add(forecastertest.Config().Step)
		hours := float64(begin.Hour()) + float64(begin.Minute())/60
		usual = (100 + 50*math.Sin(2*math.Pi*hours/24)) * (1 + 0.03*s.random.NormFloat64())
		came := usual
		if begin.Weekday() == time.Monday && begin.Hour() >= 9 && begin.Hour() < 11 {
			came *= s.times(int(begin.Sub(at(0, 0)) / (7 * 24 * time.Hour)))
		}
		s.model.Observe(s.at, came)
	}
	return usual
}

// monday returns a time on the Monday of a week from 0 on.
func monday(week, hour, minute int) time.Time { return at(hour, minute).AddDate(0, 0, 7*week) }

// TestTheFactorIsLearned: nobody says how large the weekly sale is. Each one that has been moves the forecast of the next
// beginning towards it, and none leaves itself in the usual level.
func TestTheFactorIsLearned(t *testing.T) {
	for _, tt := range []struct {
		name  string
		event forecaster.Event
		times func(week int) float64
		// least and most times the usual are forecast of the sale's first step before the sale of each week
		least, most []float64
	}{
		{"from nothing", weekly, func(int) float64 { return 5 }, []float64{0.9, 3, 3.7, 4}, []float64{1.2, 4.2, 4.8, 5.2}},
		{"from what is stated", stated(weekly, 5, true), func(int) float64 { return 8 }, []float64{4.5, 6.2, 6.6, 7}, []float64{5.5, 7.5, 8, 8.4}},
		{"as stated", stated(weekly, 5, false), func(int) float64 { return 8 }, []float64{4.5, 4.5, 4.5, 4}, []float64{5.5, 5.5, 6, 6.5}},
		{"one that was no sale", weekly, func(week int) float64 { return []float64{5, 5, 1, 5}[week] }, []float64{0.9, 3, 3.7, 3.8}, []float64{1.2, 4.2, 4.8, 5.2}},
		{"a holiday", weekly, func(int) float64 { return 0.2 }, []float64{0.9, 0.3, 0.25, 0.2}, []float64{1.2, 0.6, 0.5, 0.45}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := forecastertest.Config()
			c.Events = []forecaster.Event{tt.event}
			s := newShop(t, c, tt.times)
			plain := newShop(t, forecastertest.Config(), func(int) float64 { return 1 })
			var with, without forecaster.Forecast
			for week := range tt.least {
				s.until(monday(week, 9, 0))
				plain.until(monday(week, 9, 0))
				s.model.Forecast(&with, 2)
				plain.model.Forecast(&without, 2)
				forecastertest.Check(t, &with)
				times := with.Quantile(1, 0) / without.Quantile(1, 0)
				t.Logf("week %d: %.2f times the usual is forecast", week, times)
				if times < tt.least[week] || times > tt.most[week] {
					t.Errorf("week %d: %.2f times the usual is forecast, want %v to %v", week, times, tt.least[week], tt.most[week])
				}
				// Two hours after the sale, and the next day at its time, nothing is left of it.
				for _, when := range []time.Time{monday(week, 13, 0), monday(week, 9, 0).AddDate(0, 0, 1)} {
					s.until(when)
					plain.until(when)
					s.model.Forecast(&with, 1)
					plain.model.Forecast(&without, 1)
					if ratio := with.Quantile(1, 0) / without.Quantile(1, 0); tt.event.Learn && (ratio < 0.8 || ratio > 1.25) {
						t.Errorf("week %d, %v: %.2f times the usual is forecast outside the sale", week, when, ratio)
					}
				}
			}
		})
	}
}

func stated(e forecaster.Event, factor float64, learn bool) forecaster.Event {
	e.Factor, e.Learn = factor, learn
	return e
}

// TestWithinTheFirstSale: two steps into a sale of which nothing is known its size is followed.
func TestWithinTheFirstSale(t *testing.T) {
	c := forecastertest.Config()
	c.Events = []forecaster.Event{weekly}
	s := newShop(t, c, func(int) float64 { return 5 })
	usual := s.until(monday(1, 9, 30))
	var f forecaster.Forecast
	s.model.Forecast(&f, 2)
	if got := f.Quantile(1, 0) / usual; got < 4 || got > 6 {
		t.Errorf("half an hour into it %.2f times the usual is forecast, want 4 to 6", got)
	}
	s.until(monday(1, 10, 45))
	usual = s.until(monday(1, 11, 0))
	s.model.Forecast(&f, 2)
	if got := f.Quantile(1, 0) / usual; got > 1.5 {
		t.Errorf("at its end %.2f times the usual is forecast, want about 1", got)
	}
}

// TestLearnedInACheckpoint stops at every stage of a sale: what goes on from the checkpoint is the same to the last bit, an event
// that is no longer there is no hindrance, and neither is a checkpoint from before anything was learned.
func TestLearnedInACheckpoint(t *testing.T) {
	c := forecastertest.Config()
	c.Events = []forecaster.Event{weekly}
	for _, stop := range []time.Time{monday(1, 8, 0), monday(1, 9, 0), monday(1, 9, 15), monday(1, 10, 30), monday(1, 11, 0), monday(2, 8, 0)} {
		s := newShop(t, c, func(int) float64 { return 5 })
		s.until(stop)
		saved := s.model.AppendCheckpoint(nil)
		again, err := catalog.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Restore(saved); err != nil {
			t.Fatal(err)
		}
		for range 2 * 96 {
			stop = stop.Add(c.Step)
			value := 100 + 20*s.random.Float64()
			s.model.Observe(stop, value)
			again.Observe(stop, value)
		}
		if !bytes.Equal(s.model.AppendCheckpoint(nil), again.AppendCheckpoint(nil)) {
			t.Errorf("from %v: the restored model went on otherwise", stop)
		}
		without, err := catalog.New(forecastertest.Config())
		if err != nil {
			t.Fatal(err)
		}
		if err := without.Restore(saved); err != nil {
			t.Errorf("without the event: %v", err)
		}
		if err := again.Restore(without.AppendCheckpoint(nil)); err != nil {
			t.Errorf("from a checkpoint of a model without events: %v", err)
		}
		if bytes.HasPrefix(saved, []byte("PCAL")) {
			broken := bytes.Clone(saved)
			broken[4]++
			if err := again.Restore(broken); err == nil || !strings.Contains(err.Error(), "version 2: want 1") {
				t.Errorf("of a later version: %v", err)
			}
		} else if stop.After(monday(1, 12, 0).AddDate(0, 0, 2)) {
			t.Error("nothing was learned of the sale")
		}
	}
}

// TestWhatIsNotLearned: a sample that is missing counts as nothing, and while another event is on nobody knows whose it is.
func TestWhatIsNotLearned(t *testing.T) {
	for _, tt := range []struct {
		name   string
		others []forecaster.Event
		values []float64 // of the steps from 9 on
		want   float64   // is forecast of the next day's first step, of a usual 10
	}{
		{"four steps", nil, []float64{50, 50, 50, 50}, 10 * (1 + 4/1.5)},
		{"one missing", nil, []float64{50, math.NaN(), 50, 50}, 10 * (1 + 4/1.5)},
		{"one infinite", nil, []float64{50, math.Inf(1), 50, 50}, 10 * (1 + 4/1.5)},
		{"two too large to add up", nil, []float64{math.MaxFloat64, math.MaxFloat64, 50, 50}, 10 * (1 + 999/1.5)},
		{"all missing", nil, []float64{math.NaN(), math.NaN(), math.NaN(), math.NaN()}, 10},
		{"one low", nil, []float64{50, 30, 50, 50}, 10 * (1 + 3.5/1.5)},
		{"another for half of it", []forecaster.Event{{Name: "flash", Span: forecaster.Span{Start: "30 9 * * *", Duration: 30 * time.Minute}, Factor: 2}}, []float64{30, 30, 90, 90}, 10 * (1 + 2/1.5)},
		{"another always", []forecaster.Event{{Name: "flash", Span: forecaster.Span{Start: "0 9 * * *", Duration: time.Hour}, Factor: 2}}, []float64{50, 50, 50, 50}, 20},
	} {
		f := &fixed{perStep: []float64{10, 20, 10, 20, 10, 20, 10, 20}, max: []float64{12, 33}}
		learned := sale
		learned.Factor, learned.Learn = 1, true
		m := over(t, f, append([]forecaster.Event{learned}, tt.others...)...)
		m.Observe(at(9, 0), 10)
		for i, v := range tt.values {
			m.Observe(at(9, 15*(i+1)), v)
			m.Observe(at(9, 15*(i+1)), 1000) // twice: dropped
			m.Observe(at(9, 0), 1000)        // late: dropped
			m.AppendCheckpoint(nil)          // which may not panic
		}
		m.Observe(at(12, 0), 10)
		m.Observe(at(9, 0).AddDate(0, 0, 1), 10)
		var got forecaster.Forecast
		m.Forecast(&got, 1)
		if math.Abs(got.PerStep[0]-tt.want) > 1e-9*tt.want {
			t.Errorf("%s: %v is forecast, want %v", tt.name, got.PerStep[0], tt.want)
		}
	}
}
