package scaler

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestRequirementIsTheLargestOverAllSpans(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		arrivals := make([]float64, random.IntN(maxPathSteps))
		for i := range arrivals {
			arrivals[i] = math.Exp(4*random.NormFloat64()) * float64(random.IntN(3))
		}
		room := 3 * random.Float64()
		want := 0.0
		for s := range arrivals {
			sum := 0.0
			for k, a := range arrivals[s:] {
				sum += a
				want = max(want, sum/(float64(k+1)+room))
			}
		}
		if got := requirement(arrivals, room); math.Abs(got-want) > 1e-9*want {
			t.Fatalf("seed %d: requirement(%v, %v): got %v, want %v", seed, arrivals, room, got, want)
		}
	}
}

// TestAPathIsRightAsOftenAsItSays begins with paths half as far from the median as single arrivals are, and as far: sums of six spread less.
func TestAPathIsRightAsOftenAsItSays(t *testing.T) {
	const horizon, room, learn, count = 6, 1.5, 20_000, 60_000
	for _, wide := range []float64{0.5, 1} {
		random := rand.New(rand.NewPCG(11, 0))
		var c calibration
		var span [horizon]float64
		var made [horizon][pathCount]float64
		var misses [pathCount]float64
		for i := range learn + count {
			x := 100 + 20*random.NormFloat64()
			copy(span[:], span[1:])
			span[horizon-1] = x
			c.observe(x, room)
			actual := requirement(span[:], room)
			told := &made[i%horizon]
			for j := range pathCount {
				if i >= learn && actual > told[j] {
					misses[j]++
				}
				var path [horizon]float64
				for k := range path {
					path[k] = 100 + c.scale(j)*wide*20*gaussian[j]
				}
				told[j] = requirement(path[:], room)
			}
			c.note(horizon, *told)
		}
		for j := 1; j < pathCount; j++ {
			// The misses of one burst come together, as many as the horizon has ticks: so many bursts are counted, give or take their root.
			want := count * (1 - pathLevels[j])
			if off := 4 * math.Sqrt(want*horizon); math.Abs(misses[j]-want) > off {
				t.Errorf("paths %g times as wide, level %g: got %g misses, want %.0f give or take %.0f", wide, pathLevels[j], misses[j], want, off)
			}
		}
	}
}

// TestRarePathsNarrowWithTheOthers looks after a day of ticks of 15 s, in which a path at 0.9995 is expected to be missed three times.
func TestRarePathsNarrowWithTheOthers(t *testing.T) {
	const horizon, room, day = 6, 1.5, 24 * 60 * 4
	random := rand.New(rand.NewPCG(11, 0))
	var c calibration
	for range day {
		c.observe(100+20*random.NormFloat64(), room)
		var told [pathCount]float64
		for j := range told {
			told[j] = (100 + c.scale(j)*20*gaussian[j]) * horizon / (horizon + room) // what as much in each tick requires
		}
		c.note(horizon, told)
	}
	for j := rarePath; j < pathCount; j++ {
		if got, want := c.scale(j), c.scale(rarePath-1); got < 0.9*want || got > 1.1*want {
			t.Errorf("level %g: got a scale of %.2f, want that of level %g, %.2f", pathLevels[j], got, pathLevels[rarePath-1], want)
		}
	}
}

// TestYoungPathsLearnFromDeviations looks after an hour of ticks of 15 s, in which a path at 0.99 is expected to be missed twice: its own
// misses would leave it within a twentieth of where it began.
func TestYoungPathsLearnFromDeviations(t *testing.T) {
	const horizon, room, hour, at99 = 6, 1.5, 60 * 4, rarePath - 1
	for _, tt := range []struct {
		name        string
		told        float64 // the deviation that is forecast, where single arrivals deviate by 20
		least, most float64
	}{
		{"as told, independently", 20, 0.55, 0.65},
		{"wider than told", 5, 1.4, 1.8},
	} {
		random := rand.New(rand.NewPCG(11, 0))
		var c calibration
		for range hour {
			x := 100 + 20*random.NormFloat64()
			c.observe(x, room)
			var required [pathCount]float64
			for j := range required {
				required[j] = (100 + c.scale(j)*tt.told*gaussian[j]) * horizon / (horizon + room) // what as much in each tick requires
			}
			c.note(horizon, required)
		}
		if got := c.scale(at99); got < tt.least || got > tt.most {
			t.Errorf("%s: got a scale of %.2f, want %.2f to %.2f", tt.name, got, tt.least, tt.most)
		}
	}
}

// TestAFallDoesNotWidenYoungPaths lets arrivals fall for half an hour by more than the forecast, which is off by ten of its deviations.
func TestAFallDoesNotWidenYoungPaths(t *testing.T) {
	const horizon, room, ticks = 6, 1.5, 120
	var c calibration
	level := 100.0
	for range ticks {
		c.observe(level, room)
		var required [pathCount]float64
		for j := range required {
			required[j] = level * (1 + c.scale(j)*0.01*gaussian[j]) * horizon / (horizon + room) // what as much in each tick requires
		}
		c.note(horizon, required)
		level *= 0.97
	}
	for j := 1; j < pathCount; j++ {
		if got := c.scale(j); got > 1 {
			t.Errorf("level %g: got a scale of %.2f, want 1 or less", pathLevels[j], got)
		}
	}
}
