package scaler

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

// toldModel forecasts what it is told, and never less than a residue, in records per second.
type toldModel struct {
	levelModel
	residue float64
	told    func(at time.Time) float64
}

func (m *toldModel) Forecast(dst *forecaster.Forecast, steps int) {
	m.levelModel.Forecast(dst, steps)
	for i := range dst.PerStep {
		dst.PerStep[i] = max(dst.PerStep[i], m.residue)
		if m.told != nil {
			dst.PerStep[i] = max(dst.PerStep[i], m.told(m.at.Add(time.Duration(i/len(dst.Levels)+1)*m.step)))
		}
	}
}

// newSilent returns a group that may go to zero and has had a load for an hour, with a model that goes on to expect a residue.
func newSilent(t testing.TB, change func(*Config), told func(at time.Time) float64) *world {
	config := testConfig()
	config.MinReplicas = 0
	if change != nil {
		change(&config)
	}
	a, err := NewAutoscaler(config, &toldModel{levelModel{step: config.Interval}, 1, told})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{a: a, lead: int(time.Minute / config.Interval), partitions: 48, ready: 3}
	w.load(time.Hour, 130)
	return w
}

// load has records come at a rate for a while.
func (w *world) load(span time.Duration, rate float64) {
	for range int(span / w.a.config.Interval) {
		w.step(rate)
	}
}

// toZero returns how long it takes until no replica is asked for when nothing comes any more, and a negative time if it takes longer than most.
func (w *world) toZero(most time.Duration) time.Duration {
	for i := range int(most / w.a.config.Interval) {
		if d := w.step(0); d.DesiredReplicas == 0 {
			return time.Duration(i+1) * w.a.config.Interval
		}
	}
	return -1
}

func TestTheLastReplicaGoesFiveMinutesAfterTheLastRecord(t *testing.T) {
	for _, interval := range []time.Duration{5 * time.Second, 15 * time.Second, time.Minute} {
		w := newSilent(t, func(c *Config) { c.Interval = interval }, nil)
		if got := w.toZero(time.Hour); got != 5*time.Minute {
			t.Errorf("interval %v: at zero %v after the last record, want 5m", interval, got)
		}
		for range int(time.Hour / interval) { // what is left of the forecast asks for one
			if d := w.step(0); d.DesiredReplicas != 0 {
				t.Fatalf("interval %v: at zero and nothing comes: %d replicas because of %s: %v", interval, d.DesiredReplicas, d.Reason, d.Terms)
			}
		}
		if d := w.step(0.1); d.DesiredReplicas != 1 {
			t.Errorf("interval %v: a record at zero: %d replicas, want 1", interval, d.DesiredReplicas)
		}
	}
}

// TestTheDecisionTellsWhatTheLastReplicaWaitsFor reads the terms of a silence that is no load's end but a pause before what is expected.
func TestTheDecisionTellsWhatTheLastReplicaWaitsFor(t *testing.T) {
	due := start.Add(time.Hour + 5*time.Minute)
	w := newSilent(t, nil, func(at time.Time) float64 {
		if at.After(due) {
			return 50
		}
		return 0
	})
	find := func(d Decision, name string) (Term, bool) {
		for _, term := range d.Terms {
			if term.Name == name {
				return term, true
			}
		}
		return Term{}, false
	}
	w.load(time.Minute, 0)
	if term, ok := find(w.step(0), "silence"); !ok || term.Replicas != 1 || term.Amount != 225 {
		t.Errorf("75 s after the last record: %+v, want one replica for 225 s more", term)
	}
	w.load(3*time.Minute, 0)
	if term, ok := find(w.step(0), "expected"); !ok || term.Replicas != 1 || term.Amount < 49*15 {
		t.Errorf("half a minute before 50 records/s are expected: %+v, want one replica for 750 records a tick or so", term)
	}
	w.load(time.Hour, 0)
	if term, ok := find(w.step(0), "silence"); !ok || term.Replicas != 0 || term.Detail == "" {
		t.Errorf("an hour later: %+v, want none and why", term)
	}
}

// TestWhatIsExpectedIsThereBefore: three hours into a silence a load is expected, a lead time later its replica must be there, and
// where the load does not come it is given up again.
func TestWhatIsExpectedIsThereBefore(t *testing.T) {
	const silent = 3 * time.Hour
	for _, interval := range []time.Duration{15 * time.Second, time.Minute} {
		due := start.Add(time.Hour + silent)
		w := newSilent(t, func(c *Config) { c.Interval = interval }, func(at time.Time) float64 {
			if at.After(due) {
				return 50
			}
			return 0
		})
		for w.seen.At.Before(due) {
			w.step(0)
		}
		if w.ready < 1 {
			t.Errorf("interval %v: %d replicas when the load is due, want one", interval, w.ready)
		}
		for w.seen.At.Before(due.Add(5 * time.Minute)) {
			if d := w.step(0); d.DesiredReplicas < 1 {
				t.Fatalf("interval %v: given up %v after the load was due, want 5m at least", interval, w.seen.At.Sub(due))
			}
		}
		if got := w.toZero(time.Hour); got < 0 || got > 5*time.Minute {
			t.Errorf("interval %v: given up %v after five minutes without what was due, want 5m at most", interval, got)
		}
	}
}

// TestASilenceThatRecordsCameBackFromIsOutlasted: where a start takes longer than records may wait, a group that goes to zero in each of
// its pauses has all that comes after them late. Where it does not, it goes, and soon.
func TestASilenceThatRecordsCameBackFromIsOutlasted(t *testing.T) {
	const pause, burst, bursts = 10 * time.Minute, 2 * time.Minute, 12
	for _, tt := range []struct {
		objective time.Duration
		starts    int
		toZero    time.Duration
	}{
		{30 * time.Second, 1, pause * 3 / 2},
		{3 * time.Minute, bursts - 1, 2 * time.Minute},
	} {
		w := newSilent(t, func(c *Config) { c.ObjectiveLag = tt.objective }, nil)
		w.load(pause, 0)
		starts := 0
		for range bursts {
			if w.counts[len(w.counts)-1] == 0 {
				starts++
			}
			w.load(burst, 50)
			w.load(pause, 0)
		}
		w.load(burst, 50)
		if starts < tt.starts || starts > tt.starts+1 {
			t.Errorf("objective %v: %d of %d bursts began at zero, want %d", tt.objective, starts, bursts, tt.starts)
		}
		if got := w.toZero(2 * time.Hour); (got - tt.toZero).Abs() > time.Minute {
			t.Errorf("objective %v: at zero %v after the last burst, want about %v", tt.objective, got, tt.toZero)
		}
	}
}

// TestSilencesAreWeighedByWhatTheyMakeLate: the silence must outlast those after which more than is promised came late, the longest first.
func TestSilencesAreWeighedByWhatTheyMakeLate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		gaps  []gap
		ratio float64
		want  float64
	}{
		{"none", nil, 0.001, 300},
		{"nothing was late", []gap{{900, 1000, 0}}, 0.001, 300},
		{"one of a thousand", []gap{{900, 1000, 1}}, 0.001, 300},
		{"two of a thousand", []gap{{900, 1000, 2}}, 0.001, 1350},
		{"the longer one may be late", []gap{{900, 500, 1}, {600, 500, 1}}, 0.001, 900},
		{"an end, not a pause", []gap{{16 * 3600, 1000, 500}}, 0.001, 300},
		{"no longer than an hour", []gap{{3000, 1000, 500}}, 0.001, 3600},
	} {
		var s silence
		s.Count = copy(s.Gaps[:], tt.gaps)
		if got := s.needed(300, tt.ratio); got != tt.want {
			t.Errorf("%s: %g s, want %g", tt.name, got, tt.want)
		}
	}
}

// TestUnknownIsNoSilence: a replica is given up for what was seen, and begun for it.
func TestUnknownIsNoSilence(t *testing.T) {
	for name, hide := range map[string]func(*series.Observation){
		"arrivals": func(o *series.Observation) { o.ArrivalRecords, o.ConsumedRecords = series.Missing, series.Missing },
		"backlog":  func(o *series.Observation) { o.LagRecords, o.LagSeconds = series.Missing, series.Missing },
		"a tick":   func(o *series.Observation) { o.Interval /= 3 },
	} {
		w := newSilent(t, nil, nil)
		w.hide = func(o *series.Observation) {
			if w.tick%16 == 0 {
				hide(o)
			}
		}
		if got := w.toZero(2 * time.Hour); got > 0 {
			t.Errorf("%s not known every four minutes: at zero after %v", name, got)
		}
		w.hide = nil
		if got := w.toZero(time.Hour); got < 0 {
			t.Errorf("%s known again: never at zero", name)
		}
		w.hide = hide
		for range 100 {
			if d := w.step(0); d.DesiredReplicas != 0 {
				t.Fatalf("%s not known at zero: %d replicas, want none to be begun for it", name, d.DesiredReplicas)
			}
		}
	}
}

func TestABacklogKeepsTheLastReplica(t *testing.T) {
	w := newSilent(t, nil, nil)
	w.a.model.(*toldModel).residue = 0 // nor is any forecast
	w.leftover = 1
	if got := w.toZero(2 * time.Hour); got > 0 {
		t.Errorf("with a record that waits: at zero after %v", got)
	}
	w.leftover = 0
	w.toZero(time.Hour)
	w.leftover = 1
	if d := w.step(0); d.DesiredReplicas != 1 {
		t.Errorf("a record waits at zero: %d replicas because of %s, want 1", d.DesiredReplicas, d.Reason)
	}
}

// TestSilenceIsLearnedWhereZeroIsAllowed: another policy's state stays as it was before there was a silence in it.
func TestSilenceIsLearnedWhereZeroIsAllowed(t *testing.T) {
	w := newSilent(t, func(c *Config) { c.MinReplicas = 1 }, nil)
	w.load(time.Hour, 0)
	if s := w.a.state.Silence; s != (silence{}) {
		t.Errorf("with a minimum of 1: %+v", s)
	}
}

func TestASilenceInACheckpoint(t *testing.T) {
	w := newSilent(t, nil, nil)
	rate := func(i int) float64 { return math.Max(0, 100*math.Sin(float64(i)/20)) }
	again := newSilent(t, nil, nil)
	for i := range 800 {
		if i%50 == 0 {
			if err := again.a.Restore(w.a.AppendCheckpoint(nil)); err != nil {
				t.Fatal(err)
			}
		}
		got, _ := json.Marshal(again.step(rate(i)))
		want, _ := json.Marshal(w.step(rate(i)))
		if string(got) != string(want) {
			t.Fatalf("tick %d:\n got %s\nwant %s", i, got, want)
		}
	}
	if w.a.state.Silence.Count < 5 {
		t.Errorf("%d silences, want five at least", w.a.state.Silence.Count)
	}
}
