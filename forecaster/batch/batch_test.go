package batch_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prescale/prescale/forecaster/batch"
)

// FuzzForecast: whatever the history, a forecast is finite, lies within its bounds, and is not negative where the history is not.
func FuzzForecast(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 240, 63}, uint8(4), uint8(12))
	f.Add(make([]byte, 8*60), uint8(24), uint8(48))
	random := rand.New(rand.NewPCG(1, 2))
	long := []byte{}
	for i := range 130 {
		long = binary.LittleEndian.AppendUint64(long, math.Float64bits(10+3*math.Sin(2*math.Pi*float64(i)/12)+random.NormFloat64()))
	}
	f.Add(long, uint8(12), uint8(24))
	f.Fuzz(func(t *testing.T, data []byte, season, horizon uint8) {
		var y []float64
		lowest := math.Inf(1)
		for ; len(data) >= 8 && len(y) < 150; data = data[8:] {
			v := math.Float64frombits(binary.LittleEndian.Uint64(data))
			if math.IsNaN(v) || math.Abs(v) > 1e300 {
				continue
			}
			y, lowest = append(y, v), min(lowest, v)
		}
		if len(y) == 0 {
			return
		}
		c := batch.Config{Horizon: 1 + int(horizon)%60, Seasons: []int{int(season)}, Interval: 0.9}
		r := batch.Forecast(y, c)
		if len(r.Points) != c.Horizon || len(r.Lower) != c.Horizon || len(r.Upper) != c.Horizon {
			t.Fatalf("%d, %d, %d values of %d steps", len(r.Points), len(r.Lower), len(r.Upper), c.Horizon)
		}
		for k, v := range r.Points {
			if math.IsNaN(v) || math.IsInf(v, 0) || !(r.Lower[k] <= v && v <= r.Upper[k]) {
				t.Fatalf("step %d of %v: %v within %v to %v", k+1, y, v, r.Lower[k], r.Upper[k])
			}
			if lowest >= 0 && r.Lower[k] < 0 {
				t.Fatalf("step %d of %v: the lower bound is %v", k+1, y, r.Lower[k])
			}
		}
	})
}

// TestShortSeriesHaveAWidth: fewer values than two seasons leave no season's changes to learn from, and an interval all the same,
// which is no narrower for far steps than for near ones.
func TestShortSeriesHaveAWidth(t *testing.T) {
	y := []float64{10, 12, 11, 14, 13, 15, 17, 16, 18, 20}
	r := batch.Forecast(y, batch.Config{Horizon: 6, Seasons: []int{24}, Interval: 0.95})
	for k := range r.Points {
		if width := r.Upper[k] - r.Lower[k]; width < 2 || k > 0 && width < r.Upper[k-1]-r.Lower[k-1] {
			t.Errorf("step %d: %v to %v", k+1, r.Lower[k], r.Upper[k])
		}
	}
}
