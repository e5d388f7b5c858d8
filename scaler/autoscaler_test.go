package scaler

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/series"
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// levelModel forecasts that the last value stays, with quantiles above it by what it lately missed by and a hundredth at least.
type levelModel struct {
	at     time.Time
	step   time.Duration
	level  float64
	missed float64 // share of the level, exponentially weighted
	n      int
}

func (m *levelModel) Observe(at time.Time, value float64) {
	m.at = at
	if !math.IsNaN(value) {
		if m.n > 0 && value > 0 {
			m.missed += 0.1 * (math.Abs(value-m.level)/value - m.missed)
		}
		m.level = value
		m.n++
	}
}

func (m *levelModel) Forecast(dst *forecaster.Forecast, steps int) {
	*dst = forecaster.Forecast{
		At: m.at, Step: m.step, Levels: append(dst.Levels[:0], forecaster.DefaultQuantiles()...), Steps: steps,
		PerStep: dst.PerStep[:0], Max: dst.Max[:0], Samples: m.n, Warm: m.n > 3, Trusted: true,
	}
	wide := max(m.missed, 0.01)
	for range steps {
		for _, u := range [5]float64{0, 1, 1.6, 2, 3} {
			dst.PerStep = append(dst.PerStep, (1+u*wide)*m.level)
		}
	}
	dst.Max = append(dst.Max, dst.PerStep[:5]...)
}

func (m *levelModel) AppendCheckpoint(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(m.level))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(m.missed))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.n))
	return binary.LittleEndian.AppendUint64(b, uint64(m.at.UnixNano()))
}

func (m *levelModel) Restore(b []byte) error {
	if len(b) != 32 {
		return errors.New("length")
	}
	m.level = math.Float64frombits(binary.LittleEndian.Uint64(b))
	m.missed = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
	m.n = int(binary.LittleEndian.Uint64(b[16:]))
	m.at = time.Unix(0, int64(binary.LittleEndian.Uint64(b[24:]))).UTC()
	return nil
}

func testConfig() Config {
	c := DefaultConfig()
	c.Policy, c.MaxReplicas = "default/test", 48
	return c
}

func newTest(t testing.TB, config Config) *Autoscaler {
	t.Helper()
	a, err := NewAutoscaler(config, &levelModel{step: config.Interval})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// world is a group of which replicas start after lead ticks; each does 100 records a second. With a random source, arrivals vary
// as counts of independent events do.
type world struct {
	a          *Autoscaler
	lead       int
	partitions int
	ready      int
	starting   []int // ticks left, one each
	lag        float64
	tick       int
	hide       func(*series.Observation) // makes facts missing
	lags       []float64
	counts     []int
	random     *rand.Rand
	// leftover is lag that nobody consumes: a transaction's markers.
	leftover float64
	// heavy is the work of a record, of which a replica does 100 a second; 0 counts as 1.
	heavy float64
	// stalled says that the replicas consume no more than the share served of what comes.
	stalled bool
	served  float64
	// seen is the last observation.
	seen series.Observation
}

const perSecond = 100.0

func (w *world) step(rate float64) Decision {
	step := w.a.config.Interval
	interval := step.Seconds()
	started := []float64{}
	left := w.starting[:0]
	for _, s := range w.starting {
		if s--; s <= 0 {
			w.ready++
			started = append(started, float64(w.lead)*interval)
		} else {
			left = append(left, s)
		}
	}
	w.starting = left
	w.tick++
	arrived := rate * interval
	if w.random != nil {
		arrived = max(0, arrived+math.Sqrt(arrived)*w.random.NormFloat64())
	}
	p := partitions{Count: w.partitions}
	heavy := w.heavy
	if heavy == 0 {
		heavy = 1
	}
	can := p.evenWork(max(w.ready, 1)) * perSecond * interval / heavy
	if w.ready == 0 {
		can = 0
	}
	if w.stalled {
		can = w.served * arrived
	}
	consumed := min(w.lag+arrived, can)
	w.lag += arrived - consumed
	busy := series.Missing
	if w.ready > 0 {
		busy = series.Of(consumed * heavy / (float64(w.ready) * perSecond * interval))
	}
	o := series.Observation{
		Policy: "default/test", At: start.Add(time.Duration(w.tick) * step), Interval: step,
		ArrivalRecords: series.Of(arrived), ConsumedRecords: series.Of(consumed), LagRecords: series.Of(w.lag + w.leftover),
		LagSeconds: series.Of(w.lag/max(rate, 1) + w.leftover*float64(w.tick)*interval), ReadyReplicas: series.OfInt(w.ready),
		StartingReplicas: series.OfInt(len(w.starting)), Partitions: series.OfInt(w.partitions), BusyRatio: busy, StartupSeconds: started,
	}
	if w.a.config.Work != "" {
		o.ArrivalWork = series.Of(arrived * heavy)
	}
	if w.hide != nil {
		w.hide(&o)
	}
	d := w.a.Tick(o.At, o)
	w.seen = o
	now := w.ready + len(w.starting)
	for now < d.DesiredReplicas {
		w.starting = append(w.starting, w.lead)
		now++
	}
	for now > d.DesiredReplicas {
		if len(w.starting) > 0 {
			w.starting = w.starting[:len(w.starting)-1]
		} else {
			w.ready--
		}
		now--
	}
	w.lags = append(w.lags, o.LagSeconds.Or(0))
	w.counts = append(w.counts, d.DesiredReplicas)
	return d
}

func TestCheckpointContinuesBitForBit(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 5}
	rate := func(i int) float64 { return 500 + 300*math.Sin(float64(i)/20) }
	for i := range 100 {
		w.step(rate(i))
	}
	b := newTest(t, testConfig())
	if err := b.Restore(w.a.AppendCheckpoint(nil)); err != nil {
		t.Fatal(err)
	}
	v := *w
	v.a = b
	v.starting = append([]int(nil), w.starting...)
	for i := 100; i < 300; i++ {
		got, _ := json.Marshal(v.step(rate(i)))
		want, _ := json.Marshal(w.step(rate(i)))
		if string(got) != string(want) {
			t.Fatalf("tick %d:\n got %s\nwant %s", i, got, want)
		}
	}
}

func TestRestoreRefusesBadCheckpoints(t *testing.T) {
	a := newTest(t, testConfig())
	good := a.AppendCheckpoint(nil)
	for i := range good[:len(good)-1] {
		if err := newTest(t, testConfig()).Restore(good[:i]); err == nil {
			t.Fatalf("cut at %d: no error", i)
		}
	}
	bad := append([]byte(nil), good...)
	bad[3]++
	if err := a.Restore(bad); err == nil {
		t.Error("another version: no error")
	}
}

// TestAClockThatIsSetBackLeavesTheLoadSeen: for ten minutes nothing is learned, and what waits is served all the same, although the last
// change seems to be one of later.
func TestAClockThatIsSetBackLeavesTheLoadSeen(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8}
	for range 100 {
		w.step(700)
	}
	for range 8 {
		w.step(1000)
	}
	before := w.counts[len(w.counts)-1]
	w.tick -= 40
	for range 30 {
		w.step(1600)
	}
	if n, lag := w.counts[len(w.counts)-1], slices.Max(w.lags); n < 16 || lag > 45 {
		t.Errorf("at 1600 records/s: %d replicas after %d, and up to %.0f s behind; want what keeps up, and 45 s at most", n, before, lag)
	}
}

func TestMissingIsNeverZero(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8}
	for range 100 {
		w.step(700)
	}
	n := w.counts[99]
	for i := range 50 {
		at := start.Add(time.Duration(101+i) * 15 * time.Second)
		d := w.a.Tick(at, series.Observation{Policy: "default/test", At: at, Interval: 15 * time.Second, ReadyReplicas: series.OfInt(n)})
		if d.DesiredReplicas != n || d.Reason != ReasonStale {
			t.Fatalf("tick %d without data: got %d because of %s, want %d and Stale", i, d.DesiredReplicas, d.Reason, n)
		}
	}
}

func TestAnyFactMayBeMissing(t *testing.T) {
	for _, tt := range []struct {
		name string
		hide func(*series.Observation)
	}{
		{"arrivals", func(o *series.Observation) { o.ArrivalRecords = series.Missing }},
		{"consumed", func(o *series.Observation) { o.ConsumedRecords = series.Missing }},
		{"lag in records", func(o *series.Observation) { o.LagRecords = series.Missing }},
		{"lag in seconds", func(o *series.Observation) { o.LagSeconds = series.Missing }},
		{"all of the lag", func(o *series.Observation) { o.LagRecords, o.LagSeconds = series.Missing, series.Missing }},
		{"ready", func(o *series.Observation) { o.ReadyReplicas = series.Missing }},
		{"starting", func(o *series.Observation) { o.StartingReplicas = series.Missing }},
		{"ready and starting", func(o *series.Observation) { o.ReadyReplicas, o.StartingReplicas = series.Missing, series.Missing }},
		{"partitions", func(o *series.Observation) { o.Partitions = series.Missing }},
		{"busy ratio", func(o *series.Observation) { o.BusyRatio = series.Missing }},
		{"busy ratio, ready and starting", func(o *series.Observation) {
			o.BusyRatio, o.ReadyReplicas, o.StartingReplicas = series.Missing, series.Missing, series.Missing
		}},
		{"start-ups", func(o *series.Observation) { o.StartupSeconds = nil }},
	} {
		w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8, hide: tt.hide}
		for range 600 {
			w.step(700)
		}
		// Seven replicas' work: with what is left to be seen, it must neither fall behind nor run to a bound.
		if n := w.counts[599]; n < 7 || n > 16 {
			t.Errorf("%s: got %d replicas, want 7 to 16: %v", tt.name, n, w.counts[:60])
		}
		if w.lag > 700*30 {
			t.Errorf("%s: %v records behind", tt.name, w.lag)
		}
	}
}

func TestWithoutArrivalsAndConsumptionNothingIsTakenAway(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8}
	for range 100 {
		w.step(700)
	}
	n := w.counts[99]
	w.hide = func(o *series.Observation) { o.ArrivalRecords, o.ConsumedRecords = series.Missing, series.Missing }
	for range 200 {
		w.step(50)
	}
	if got := w.counts[299]; got < n {
		t.Errorf("nothing known of the arrivals: got %d replicas, want the %d that there were", got, n)
	}
}

func TestABacklogThatWentOutOfSightKeepsTheCount(t *testing.T) {
	w := &world{a: newTest(t, testConfig()), lead: 4, partitions: 48, ready: 8}
	for range 100 {
		w.step(700)
	}
	n := w.counts[99]
	w.hide = func(o *series.Observation) { o.LagRecords, o.LagSeconds = series.Missing, series.Missing }
	var d Decision
	for range 100 {
		d = w.step(50)
	}
	if got := d.DesiredReplicas; got != n || !slices.Contains(d.Verdicts, VerdictStale) {
		t.Errorf("50 records/s, and a backlog that is not known any more: got %d replicas (%v), want the %d that there were, and Stale", got, d.Verdicts, n)
	}
	w.hide = nil
	for range 100 {
		d = w.step(50)
	}
	if got := d.DesiredReplicas; got != 1 || slices.Contains(d.Verdicts, VerdictStale) {
		t.Errorf("50 records/s without a backlog: got %d replicas (%v), want 1", got, d.Verdicts)
	}
}
