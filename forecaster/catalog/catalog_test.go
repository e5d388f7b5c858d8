package catalog_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/forecastertest"
	"github.com/prescale/prescale/forecaster/score"
)

func TestStandardModel(t *testing.T) {
	forecastertest.Run(t, catalog.New)
	forecastertest.RunRecovery(t, catalog.New)
}

func TestEachFamilyAlone(t *testing.T) {
	for _, name := range catalog.Names() {
		t.Run(name, func(t *testing.T) { forecastertest.Run(t, catalog.Only(name)) })
	}
}

// TestMemory holds a series to its budget: what a model with a weekly season at 15 s, four quantiles and ten steps takes of the heap, and
// what the checkpoint of one with any seasons takes.
func TestMemory(t *testing.T) {
	const budget, week = 64 << 10, 7 * 24 * time.Hour
	for _, seasons := range [][]time.Duration{{24 * time.Hour, week}, nil, {time.Hour, week}, {week}, {24 * time.Hour, 52 * week}} {
		var models [50]forecaster.Model
		before := heapBytes()
		for i := range models {
			var err error
			models[i], err = catalog.New(forecaster.Config{Step: 15 * time.Second, MaxSteps: 10, Quantiles: []float64{0.5, 0.9, 0.95, 0.99}, Seasons: seasons})
			if err != nil {
				t.Fatal(err)
			}
		}
		held, stored := (heapBytes()-before)/len(models), len(models[0].AppendCheckpoint(nil))
		t.Logf("a series of seasons %v: %.1f KiB in memory, %.1f stored", seasons, float64(held)/1024, float64(stored)/1024)
		if stored > budget || len(seasons) > 0 && held > budget {
			t.Errorf("a series of seasons %v takes %d bytes in memory and %d in a checkpoint, want at most %d", seasons, held, stored, budget)
		}
	}
}

// heapBytes returns what is in use of the heap and reachable.
func heapBytes() int {
	runtime.GC()
	runtime.GC() // the first moves what is in pools to where the second lets go of it
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestALoadThatBegins: a consumer is deployed, and its load begins some ticks later. Those few misses, as large as the load
// itself against a scale learned of nothing, must not leave an upper quantile of many times the load for hours: 9 times it was,
// and the scaler paid for it.
func TestALoadThatBegins(t *testing.T) {
	m, err := catalog.New(forecaster.Config{Step: 2 * time.Second, MaxSteps: 12, Quantiles: []float64{0.5, 0.9, 0.95, 0.99}})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var forecast forecaster.Forecast
	at := time.Unix(0, 0)
	for i := range 60 {
		rate := 0.0
		if i >= 7 {
			rate = 50 + 5*random.NormFloat64()
		}
		at = at.Add(2 * time.Second)
		m.Observe(at, rate)
		m.Forecast(&forecast, 8)
		if top := forecast.Max[3]; forecast.Warm && top > 4*50 {
			t.Fatalf("%d ticks after a load of 50 began the 0.99 quantile of its maximum is %.0f, want at most 200", i-7, top)
		}
	}
}

// TestTheMaximumFollowsARise: five samples after the load has become ten times the usual of that hour, which it was for days, the
// forecast of the maximum over the next twelve says so, though no window of twelve has ended since.
func TestTheMaximumFollowsARise(t *testing.T) {
	config := forecaster.Config{Step: 15 * time.Minute, MaxSteps: 12, Quantiles: []float64{0.5, 0.9}, Seasons: []time.Duration{24 * time.Hour}}
	m, err := catalog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	at := time.Unix(0, 0)
	for i := range 6*96 + 5 {
		usual := 20 + 5*random.NormFloat64()
		if i%96 > 40 && i%96 < 50 {
			usual += 200
		}
		if i >= 6*96 {
			usual *= 10
		}
		at = at.Add(config.Step)
		m.Observe(at, max(0, usual))
	}
	var f forecaster.Forecast
	m.Forecast(&f, config.MaxSteps)
	if f.Max[0] < 150 {
		t.Errorf("the median of the maximum is %.0f where the latest values are 200; the steps' medians are %.0f", f.Max[0], f.PerStep)
	}
}

// TestTheUnitDoesNotMatter: requests in millions, or a share of a capacity, are forecast as what they are a multiple of. Quantiles
// were far too wide where values were a millionth.
func TestTheUnitDoesNotMatter(t *testing.T) {
	config := forecaster.Config{Step: time.Minute, MaxSteps: 10, Quantiles: []float64{0.5, 0.9, 0.99}}
	quantiles := func(unit float64) []float64 {
		m, err := catalog.New(config)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		at, level := time.Unix(0, 0), 100.0
		for i := range 400 {
			level += 0.1*(100-level) + random.NormFloat64()
			value := unit * (level + 3*random.NormFloat64())
			if i < 20 {
				value = 0
			}
			at = at.Add(config.Step)
			m.Observe(at, value)
		}
		var f forecaster.Forecast
		m.Forecast(&f, config.MaxSteps)
		var out []float64
		for _, q := range append(f.PerStep, f.Max...) {
			out = append(out, q/unit)
		}
		return out
	}
	want := quantiles(1)
	for _, unit := range []float64{1e-9, 1e-6, 1e-5, 1e6} {
		for i, q := range quantiles(unit) {
			if math.Abs(q-want[i]) > 0.05*want[i] {
				t.Errorf("in units of %g quantile %d is %.1f, in units of one %.1f", unit, i, q, want[i])
			}
		}
	}
}

// TestTheMedianOfAYoungSeries: thirty samples of a walk in, the median errs hardly more than the last value, beside which nothing is
// known of it, and of noise hardly more than smoothing. It was 1.10 of that while all experts had the same say at first, and 1.07 of
// smoothing's while the weights learned as slowly as later.
func TestTheMedianOfAYoungSeries(t *testing.T) {
	config := forecaster.Config{Step: time.Minute, MaxSteps: 10, Quantiles: []float64{0.5, 0.9}}
	random := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name   string
		gain   float64 // of the smoothing to be compared with
		most   float64
		series func(before float64) float64
	}{
		{"walk", 1, 1.06, func(before float64) float64 { return math.Abs(before + 10*random.NormFloat64()) }},
		{"noise", 0.3, 1.03, func(float64) float64 { return 500 + 20*random.NormFloat64() }},
	} {
		var f forecaster.Forecast
		ours, theirs := 0.0, 0.0
		for range 300 {
			m, err := catalog.New(config)
			if err != nil {
				t.Fatal(err)
			}
			y := tt.series(500)
			smooth := y
			for i := range 30 {
				m.Observe(time.Unix(0, 0).Add(time.Duration(i)*config.Step), y)
				smooth += tt.gain * (y - smooth)
				if i < 29 {
					y = tt.series(y)
				}
			}
			m.Forecast(&f, config.MaxSteps)
			for k := range config.MaxSteps {
				y = tt.series(y)
				ours += math.Abs(f.Quantile(k+1, 0) - y)
				theirs += math.Abs(smooth - y)
			}
		}
		if ours > tt.most*theirs {
			t.Errorf("%s: the median errs by %.3f of what smoothing with a gain of %g does, want at most %g", tt.name, ours/theirs, tt.gain, tt.most)
		}
	}
}

// FuzzModel feeds arbitrary values at arbitrary distances.
func FuzzModel(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18})
	f.Add(make([]byte, 90))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := catalog.New(forecastertest.Config())
		if err != nil {
			t.Fatal(err)
		}
		var forecast forecaster.Forecast
		at := time.Unix(0, 0)
		for ; len(data) >= 9; data = data[9:] {
			at = at.Add(time.Duration(int8(data[0])) * forecastertest.Config().Step / 4)
			m.Observe(at, math.Float64frombits(binary.LittleEndian.Uint64(data[1:])))
			m.Forecast(&forecast, 6)
			forecastertest.Check(t, &forecast)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	config := forecaster.Config{Step: 15 * time.Second, MaxSteps: 10, Quantiles: []float64{0.5, 0.9, 0.95, 0.99}}
	m, err := catalog.New(config)
	if err != nil {
		b.Fatal(err)
	}
	var f forecaster.Forecast
	at := time.Unix(0, 0)
	step := func(i int) {
		at = at.Add(config.Step)
		m.Observe(at, 100+50*math.Sin(float64(i)/916)+float64(i*7919%31))
		m.Forecast(&f, 10)
	}
	for i := range 3 * 5760 {
		step(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		step(i)
	}
}

func BenchmarkRestore(b *testing.B) {
	config := forecaster.Config{Step: 15 * time.Second, MaxSteps: 10, Quantiles: []float64{0.5, 0.9, 0.95, 0.99}}
	m, err := catalog.New(config)
	if err != nil {
		b.Fatal(err)
	}
	checkpoint := m.AppendCheckpoint(nil)
	b.SetBytes(int64(len(checkpoint)))
	for range b.N {
		fresh, _ := catalog.New(config)
		if err := fresh.Restore(checkpoint); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFindsAnHourlySeason: a job puts its work on the topic every 45 minutes. Nobody has told the model; after some turns it
// must say so, far better than one that was told of a day alone.
func TestFindsAnHourlySeason(t *testing.T) {
	config := forecaster.Config{Step: time.Minute, MaxSteps: 5, Quantiles: []float64{0.5, 0.9}}
	seeking, err := catalog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	config.Seasons = []time.Duration{24 * time.Hour}
	told, err := catalog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 1000)
	for i := range values {
		values[i] = 20 + 2*random.NormFloat64()
		if i%45 < 5 {
			values[i] += 300
		}
	}
	errorOf := func(m forecaster.Model) float64 {
		var f forecaster.Forecast
		at, sum := time.Unix(0, 0), 0.0
		for i, v := range values {
			m.Observe(at, v)
			at = at.Add(time.Minute)
			if i >= 600 && i+5 < len(values) {
				m.Forecast(&f, 5)
				sum += math.Abs(values[i+5] - f.Quantile(5, 0))
			}
		}
		return sum
	}
	if found, blind := errorOf(seeking), errorOf(told); found > 0.3*blind {
		t.Errorf("five minutes ahead the error is %.0f, of a model without the season %.0f; want at most 0.3 of it", found, blind)
	}
}

// Of the same value again and again only the last digits are forecast wrong: that is no reason for distrust.
func TestArrivalsThatNeverChangeAreForecastWithTrust(t *testing.T) {
	m, err := catalog.New(forecaster.Config{Step: 15 * time.Second, MaxSteps: 40, Quantiles: forecaster.DefaultQuantiles()})
	if err != nil {
		t.Fatal(err)
	}
	var f forecaster.Forecast
	for i, at := 0, time.Unix(0, 0); i < 4000; i, at = i+1, at.Add(15*time.Second) {
		m.Observe(at, 109500)
		if m.Forecast(&f, 40); f.Warm && !f.Trusted {
			t.Fatalf("sample %d: %s", i, f.Reason)
		}
	}
}

// TestFindsASeasonLongerThanADay: something large comes every 31 hours, so that no day of the week before is like today. A model that
// looks for seasons must be better for it than one that was told of day and week.
func TestFindsASeasonLongerThanADay(t *testing.T) {
	config := forecaster.Config{Step: time.Minute, MaxSteps: 5, Quantiles: []float64{0.5, 0.9, 0.99}}
	random := rand.New(rand.NewPCG(5, 6))
	values := make([]float64, 12*1440)
	for i := range values {
		values[i] = max(0, 50+7*random.NormFloat64())
		if i%1860 < 40 {
			values[i] += 300
		}
	}
	lossOf := func(seasons ...time.Duration) float64 {
		config.Seasons = seasons
		m, err := catalog.New(config)
		if err != nil {
			t.Fatal(err)
		}
		var f forecaster.Forecast
		sum := 0.0
		for i, v := range values[:len(values)-5] {
			m.Observe(time.Unix(0, 0).Add(time.Duration(i)*time.Minute), v)
			if i >= 7*1440 {
				m.Forecast(&f, 5)
				for l, tau := range f.Levels {
					sum += score.Pinball(f.Quantile(5, l), values[i+5], tau)
				}
			}
		}
		return sum
	}
	looking, told := lossOf(), lossOf(24*time.Hour, 168*time.Hour)
	t.Logf("loss %.0f, of a model that does not look %.0f", looking, told)
	if looking > 0.9*told {
		t.Errorf("loss %.0f, of a model that does not look %.0f; want at most 0.9 of it", looking, told)
	}
}

// TestAJumpOfEveryMorningIsForecast: one sample before the load becomes ten times as high, as it did on the same minute of each weekday
// before, the median says so; on a day on which it does not come one sample is enough to believe that, and the next jump is not missed.
func TestAJumpOfEveryMorningIsForecast(t *testing.T) {
	const day = 288
	config := forecaster.Config{Step: 5 * time.Minute, MaxSteps: 4, Quantiles: []float64{0.5, 0.95}}
	m, err := catalog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	const holiday = 23
	var f forecaster.Forecast
	for i := range 26 * day {
		work := i%day >= 96 && i%day < 204 && i/day%7 < 5 && i/day != holiday
		rate := 50.0
		if work {
			rate = 500
		}
		m.Observe(time.Unix(0, 0).Add(time.Duration(i)*config.Step), rate*(1+0.05*random.NormFloat64()))
		if i/day < 14 || i/day%7 >= 5 {
			continue
		}
		m.Forecast(&f, config.MaxSteps)
		told := f.PerStep[2] // the median of the second step
		switch jump := i%day - 95; {
		case jump == 0 && i/day%7 < 5 && i/day != holiday+1 && (told < 350 || f.Max[0] < 350):
			t.Errorf("day %d, before the jump: %.0f, of the maximum %.0f, want 350 at least", i/day, told, f.Max[0])
		case jump == 0 && i/day == holiday+1 && f.Max[1] < 200:
			t.Errorf("the day after a holiday: the 0.95 quantile of the maximum is %.0f, want 200 at least", f.Max[1])
		case jump == 1 && i/day == holiday && told > 100:
			t.Errorf("the jump did not come, and %.0f are forecast", told)
		}
	}
}

// TestADayThatIsNoMultipleOfTheStep: 17 minutes go 84.7 times into a day, of which 85 are much nearer than 84: days are then compared at
// nearly the same time, and the next step's median errs by two thirds.
func TestADayThatIsNoMultipleOfTheStep(t *testing.T) {
	config := forecaster.Config{Step: 17 * time.Minute, MaxSteps: 4, Quantiles: []float64{0.5, 0.95}}
	m, err := catalog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var f forecaster.Forecast
	sum, n, begin := 0.0, 0, time.Unix(0, 0)
	for at := begin; at.Sub(begin) < 21*24*time.Hour; at = at.Add(config.Step) {
		hour := float64(at.Unix()%86400) / 3600
		rate := 200 + 100*math.Sin(2*math.Pi*hour/24) + 3*random.NormFloat64()
		if hour >= 8 && hour < 18 {
			rate += 400
		}
		if at.Sub(begin) > 10*24*time.Hour {
			m.Forecast(&f, 1)
			sum += math.Abs(f.Quantile(1, 0) - rate)
			n++
		}
		m.Observe(at, rate)
	}
	if mean := sum / float64(n); mean > 5 {
		t.Errorf("the next step's median errs by %.1f, want 5 at most", mean)
	}
}

// TestAJumpOutOfSilenceIsForecast: the median knows of it after some mornings, and is not brought down to upper quantiles that do not yet.
func TestAJumpOutOfSilenceIsForecast(t *testing.T) {
	const day = 1440
	config := forecaster.Config{Step: time.Minute, MaxSteps: 10, Quantiles: forecaster.DefaultQuantiles()}
	m, err := catalog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var f forecaster.Forecast
	for i := range 7*day + day/3 {
		rate := 0.0
		if hour := i % day * 24 / day; hour >= 8 && hour < 18 {
			rate = 500 * (1 + 0.1*random.NormFloat64())
		}
		m.Observe(time.Unix(0, 0).Add(time.Duration(i)*config.Step), rate)
		if i >= 3*day && i%day == day/3-1 {
			if m.Forecast(&f, config.MaxSteps); f.Quantile(2, 0) < 350 || f.Max[0] < 350 {
				t.Errorf("day %d, before the load goes from 0 to 500: %.0f of the second step, %.0f of the maximum; want medians of 350 at least",
					i/day, f.PerStep[5:10], f.Max)
			}
		}
	}
}

// TestAJumpAfterALongNight: at 15 s a night has so many steps that of the day before nothing but the seasons knows; what is forecast was
// bounded by less than half of the morning's load.
func TestAJumpAfterALongNight(t *testing.T) {
	const day = 5760
	config := forecaster.Config{Step: 15 * time.Second, MaxSteps: 4, Quantiles: []float64{0.5, 0.95}}
	m, err := catalog.New(config)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 3*day + day/3 {
		rate := 100.0
		if hour := i % day * 24 / day; hour >= 8 && hour < 18 {
			rate = 500
		}
		m.Observe(time.Unix(0, 0).Add(time.Duration(i)*config.Step), rate*(1+0.02*random.NormFloat64()))
	}
	var f forecaster.Forecast
	m.Forecast(&f, config.MaxSteps)
	if told := f.PerStep[2]; told < 450 || f.Max[1] > 600 {
		t.Errorf("before the load goes from 100 to 500 for the fourth time: %.0f, the 0.95 quantile of the maximum %.0f; want 450 at least, 600 at most", told, f.Max[1])
	}
}
