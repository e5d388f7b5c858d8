package train

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/feedback/join"
	"github.com/prescale/prescale/feedback/stage"
	"github.com/prescale/prescale/feedback/streamtest"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

func config() Config {
	c := DefaultConfig()
	c.Architecture = model.Architecture{Inputs: streamtest.Inputs, Hidden: []int{16, 16}, Classes: streamtest.Classes}
	return c
}

// world serves with the champion that the learner published last and feeds the examples back.
type world struct {
	t       testing.TB
	learner *Learner
	state   map[string][]byte // as the state topic would have it
	log     []*kgo.Record     // everything published
	files   map[string][]byte
	serving *model.Model
	version int64
	sea     *streamtest.SEA
	n       int
}

func newWorld(t testing.TB, c Config, noise float64) *world {
	t.Helper()
	w := &world{t: t, state: map[string][]byte{}, files: map[string][]byte{}, sea: streamtest.NewSEA(noise, rand.New(rand.NewPCG(8, 8)))}
	w.learner = w.fresh(c)
	w.take(w.learner.Start())
	return w
}

func (w *world) fresh(c Config) *Learner {
	w.t.Helper()
	l, err := New(c, Existing{}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := l.Restore(w.state); err != nil {
		w.t.Fatal(err)
	}
	return l
}

// take does with an output what the stage and the service do.
func (w *world) take(out stage.Output, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	for k, v := range out.State {
		if v == nil {
			delete(w.state, k)
		} else {
			w.state[k] = bytes.Clone(v)
		}
	}
	for _, r := range out.Records {
		w.log = append(w.log, r)
		if strings.Contains(string(r.Key), "/") {
			w.files[string(r.Key)] = r.Value
			continue
		}
		w.version = w.learner.Champion
		m, err := model.Load(string(r.Key), w.files[fmt.Sprintf("%s/%d", r.Key, w.version)])
		if err != nil {
			w.t.Fatal(err)
		}
		w.serving = m
	}
}

// feed serves n requests of a concept, in transactions of 50 examples, and returns the share that was right.
func (w *world) feed(n int, next func() streamtest.Example) float64 {
	w.t.Helper()
	right := 0
	var records []*kgo.Record
	for i := range n {
		e := next()
		scores := make([]float32, streamtest.Classes)
		if err := w.serving.Predict(e.Features, 1, scores); err != nil {
			w.t.Fatal(err)
		}
		w.n++
		at := time.UnixMilli(1767225600000).Add(time.Duration(w.n) * time.Second)
		p := event.Prediction{ID: fmt.Sprint(w.n), RequestedAt: at, PredictedAt: at, Model: "default", ModelVersion: w.version,
			Features: e.Features, Scores: scores, Class: event.Argmax(scores)}
		if p.Class == e.Class {
			right++
		}
		example := join.Example{Prediction: p, Outcome: event.Outcome{ID: p.ID, ObservedAt: at.Add(30 * time.Second), Class: e.Class}}
		records = append(records, &kgo.Record{Topic: join.TopicExamples, Offset: int64(w.n), Value: example.Append(nil)})
		if len(records) == 50 || i == n-1 {
			w.take(w.learner.Process(records))
			records = records[:0]
		}
	}
	return float64(right) / float64(n)
}

func (w *world) concept(threshold float64) func() streamtest.Example {
	return func() streamtest.Example { return w.sea.Next(threshold) }
}

// TestAccuracyFallsAtADriftAndRecovers: with 10 % of the labels wrong no model is right more often than 0.9, and a model of the
// first concept is right on 0.9 - 0.8·0.206 = 0.735 of the second.
func TestAccuracyFallsAtADriftAndRecovers(t *testing.T) {
	w := newWorld(t, config(), 0.1)
	w.feed(3000, w.concept(streamtest.Wide[0]))
	before := w.feed(1000, w.concept(streamtest.Wide[0]))
	if before < 0.86 {
		t.Errorf("accuracy %.3f on the first concept after 3000 examples", before)
	}
	version := w.version
	during := w.feed(150, w.concept(streamtest.Wide[1]))
	if during > 0.83 {
		t.Errorf("accuracy %.3f right after the drift: nothing to recover from", during)
	}
	w.feed(2850, w.concept(streamtest.Wide[1]))
	after := w.feed(1000, w.concept(streamtest.Wide[1]))
	if after < 0.86 {
		t.Errorf("accuracy %.3f on the second concept after 3000 examples", after)
	}
	s := w.learner.Snapshot()
	if s.Drifts < 1 || w.version <= version || s.Promotions < 2 || s.Rollbacks != 0 {
		t.Errorf("snapshot %+v", s)
	}
	if s.Delay != 30*time.Second {
		t.Errorf("delay %v, want 30s", s.Delay)
	}
	if s.Accuracy < 0.84 || !s.Scored || s.Examples != 8000 {
		t.Errorf("snapshot %+v", s)
	}
	t.Logf("accuracy %.3f, %.3f right after the drift, %.3f after; %+v", before, during, after, s)
}

// TestALearnerGoesOnFromItsStateWithTheSameBits throws the learner away at every few transactions.
func TestALearnerGoesOnFromItsStateWithTheSameBits(t *testing.T) {
	run := func(restarts bool) *world {
		w := newWorld(t, config(), 0.1)
		for i := range 60 {
			w.feed(50, w.concept(streamtest.Wide[i/30]))
			if restarts && i%7 == 3 {
				w.learner = w.fresh(config())
				w.take(w.learner.Start())
			}
		}
		return w
	}
	whole, broken := run(false), run(true)
	if !maps.EqualFunc(whole.state, broken.state, bytes.Equal) {
		for k := range whole.state {
			if !bytes.Equal(whole.state[k], broken.state[k]) {
				t.Errorf("state %s differs:\n%.300q\n%.300q", k, whole.state[k], broken.state[k])
			}
		}
	}
	if len(whole.log) != len(broken.log) || len(whole.log) < 4 {
		t.Fatalf("%d and %d records published", len(whole.log), len(broken.log))
	}
	for i := range whole.log {
		if !bytes.Equal(whole.log[i].Key, broken.log[i].Key) || !bytes.Equal(whole.log[i].Value, broken.log[i].Value) {
			t.Errorf("record %d, key %s, differs from key %s", i, whole.log[i].Key, broken.log[i].Key)
		}
	}
}

// TestNothingToLearnIsNotPromoted feeds labels that have nothing to do with the features.
func TestNothingToLearnIsNotPromoted(t *testing.T) {
	w := newWorld(t, config(), 0.5)
	w.feed(4000, w.concept(8))
	if s := w.learner.Snapshot(); s.Promotions != 0 {
		t.Errorf("promoted on noise: %+v", s)
	}
}

func TestAWorseChampionIsRolledBack(t *testing.T) {
	w := newWorld(t, config(), 0.1)
	w.feed(3000, w.concept(7))
	good := w.version
	// Make a bad version champion, as a wrong promotion would.
	w.learner.previous, w.learner.Previous = w.learner.champion, w.learner.Champion
	w.learner.out = stage.Output{State: map[string][]byte{previousKey: model.Encode(w.learner.previous.weights, nil)}}
	bad := w.learner.champion.weights.Clone()
	last := bad.Layers[len(bad.Layers)-1]
	for i := range last.W {
		last.W[i] = -last.W[i]
	}
	w.learner.publish(bad, registry.Lineage{}, time.UnixMilli(1), "by hand")
	w.learner.storeChampion()
	w.learner.newReign()
	w.take(w.learner.out, nil)
	w.learner.trainer.Close()
	w.learner.trainer, w.learner.challenger = nil, nil // nobody to promote instead
	w.learner.Untrained = -1 << 40
	if w.version == good {
		t.Fatal("the bad version does not serve")
	}
	w.feed(20, w.concept(7))
	delete(w.state, challengerKey)
	w.learner = w.fresh(config()) // which knows the previous one too
	w.feed(480, w.concept(7))
	if s := w.learner.Snapshot(); w.version != good || s.Rollbacks != 1 || s.Version != good {
		t.Errorf("version %d serves, want %d again: %+v", w.version, good, s)
	}
}

// TestAVersionThatServedForLongIsRetired: those that were promoted over it and rolled back went before it.
func TestAVersionThatServedForLongIsRetired(t *testing.T) {
	c := config()
	c.KeepVersions = 2
	w := newWorld(t, c, 0.1)
	w.feed(3000, w.concept(7))
	l, at := w.learner, time.UnixMilli(1)
	change := func(by func() error) {
		t.Helper()
		l.out = stage.Output{State: map[string][]byte{}}
		err := by()
		w.take(l.out, err)
	}
	promote := func() error {
		l.For.Count = 1
		return l.promote(at, "")
	}
	for range 4 {
		change(promote)
		change(func() error { return l.rollBack(at) })
	}
	for range 3 {
		change(promote)
	}
	held := []string{}
	for key, file := range w.files {
		if file != nil {
			held = append(held, key)
		}
	}
	slices.Sort(held)
	n := l.LastVersion
	if want := []string{fmt.Sprintf("default/%d", n-1), fmt.Sprintf("default/%d", n)}; !slices.Equal(held, want) {
		t.Errorf("the registry holds %v, want %v", held, want)
	}
}

// TestAPastRegimeBlocksAPromotion that would forget it, where that is asked for.
func TestAPastRegimeBlocksAPromotion(t *testing.T) {
	c := config()
	c.ProtectPast = true
	w := newWorld(t, c, 0.1)
	w.feed(3000, w.concept(7))
	version := w.version
	w.feed(3000, w.concept(9.5))
	if s := w.learner.Snapshot(); s.Drifts == 0 || s.Blocked == 0 || w.version > version {
		t.Errorf("version %d then %d: %+v", version, w.version, s)
	}
}

func TestExamplesThatDoNotFitArePassedOver(t *testing.T) {
	w := newWorld(t, config(), 0)
	at := time.UnixMilli(1767225600000)
	for name, e := range map[string]join.Example{
		"features": {Prediction: event.Prediction{ID: "a", RequestedAt: at, PredictedAt: at, Model: "m", ModelVersion: 1, Features: []float32{1}, Scores: []float32{1}},
			Outcome: event.Outcome{ID: "a", ObservedAt: at}},
		"class": {Prediction: event.Prediction{ID: "a", RequestedAt: at, PredictedAt: at, Model: "m", ModelVersion: 1, Features: []float32{1, 2, 3}, Scores: []float32{1}},
			Outcome: event.Outcome{ID: "a", ObservedAt: at, Class: 2}},
		"score": {Prediction: event.Prediction{ID: "a", RequestedAt: at, PredictedAt: at, Model: "m", ModelVersion: 1, Features: []float32{1, 2, 3}, Scores: []float32{3e38}},
			Outcome: event.Outcome{ID: "a", ObservedAt: at}},
	} {
		before := w.learner.Snapshot().Refused
		w.take(w.learner.Process([]*kgo.Record{{Value: e.Append(nil)}}))
		if got := w.learner.Snapshot().Refused; got != before+1 {
			t.Errorf("%s: refused %d, want %d", name, got, before+1)
		}
	}
	w.take(w.learner.Process([]*kgo.Record{{Value: []byte("{}")}}))
	if s := w.learner.Snapshot(); s.Refused != 4 || s.Examples != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAnExistingChampionIsAdopted(t *testing.T) {
	weights := model.NewWeights(config().Architecture, rand.New(rand.NewPCG(1, 1)))
	m, err := model.Load("m", registry.File(weights, registry.Lineage{}))
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(config(), Existing{Champion: &registry.Entry{Name: "default", Version: 5, Model: m}, LastVersion: 7}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.Start()
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Records) != 0 || l.Champion != 5 || l.LastVersion != 7 {
		t.Errorf("champion %d, last %d, %d records published", l.Champion, l.LastVersion, len(out.Records))
	}
}

// TestTheArchitectureCanBeChanged: with other layers a new challenger is made from the examples there are, and examples of other features
// or classes are another model's.
func TestTheArchitectureCanBeChanged(t *testing.T) {
	w := newWorld(t, config(), 0.1)
	w.feed(2000, w.concept(7))
	version := w.version
	wider := config()
	wider.Architecture.Hidden = []int{24}
	w.learner = w.fresh(wider)
	w.take(w.learner.Start())
	if got := w.learner.challenger.weights; !got.Architecture.Equal(wider.Architecture) || w.learner.For.Count != 0 || got.Mean[0] == 0 {
		t.Errorf("challenger %s with means %v after a bet on %d examples", got.Architecture, got.Mean, w.learner.For.Count)
	}
	w.feed(2000, w.concept(9.5))
	if got := w.learner.champion.weights.Architecture; w.version == version || !got.Equal(wider.Architecture) {
		t.Errorf("version %d is %s", w.version, got)
	}
	for want, change := range map[string]func(*Config){
		"begin and end with its 3 features and 2 classes": func(c *Config) { c.Architecture.Inputs = 4 },
		"the champion, version":                           func(c *Config) { c.Architecture.Classes = 3 },
		"state is of model default, not other":            func(c *Config) { c.Registry.Name = "other" },
	} {
		other := config()
		change(&other)
		l, err := New(other, Existing{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Restore(w.state); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestAFeatureThatHardlyVariesIsNotBlownUp: one that has been the same so far, or that varies by less than a scale can tell, leaves the
// others to be learned from.
func TestAFeatureThatHardlyVariesIsNotBlownUp(t *testing.T) {
	for name, third := range map[string]func(*rand.Rand) float32{
		"constant":  func(*rand.Rand) float32 { return 0.1 },
		"denormal":  func(r *rand.Rand) float32 { return float32(r.Float64() * 1e-40) },
		"last bits": func(*rand.Rand) float32 { return 1.7e9 },
	} {
		w := newWorld(t, config(), 0.1)
		rng := rand.New(rand.NewPCG(1, 1))
		w.feed(1500, func() streamtest.Example {
			e := w.sea.Next(7)
			e.Features[2] = third(rng)
			return e
		})
		if got := w.learner.champion.weights; w.version < 2 || got.Scale[2] != 1 {
			t.Errorf("%s: version %d with scales %v", name, w.version, got.Scale)
		}
	}
}

// TestAPastRegimeFitsARecord, however many features its examples have.
func TestAPastRegimeFitsARecord(t *testing.T) {
	c := config()
	c.Architecture = model.Architecture{Inputs: 12_000, Classes: 2}
	l, err := New(c, Existing{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l.out = stage.Output{State: map[string][]byte{}}
	for range 300 {
		l.remember(row{features: make([]float32, c.Architecture.Inputs)})
	}
	l.freezeRegime(300)
	if size := len(l.out.State[regimeKey(0)]); size > stage.RecordBytes || size < stage.RecordBytes/2 {
		t.Errorf("%d bytes of %d examples", size, len(l.regimes[0].rows))
	}
}

func TestValidateTellsEveryFault(t *testing.T) {
	err := Config{Alpha: 2, RegimeTolerance: -1}.Validate()
	for _, want := range []string{"registry: topic", "inputs", "batch", "stepsPerBatch", "learningRate", "alpha: 2", "lossScaleNats", "regimeTolerance", "keepVersions"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("does not tell of %q: %v", want, err)
		}
	}
	if err := config().Validate(); err != nil {
		t.Error(err)
	}
	large := config()
	large.Architecture.Hidden = []int{256, 256}
	w := model.NewWeights(large.Architecture, rand.New(rand.NewPCG(1, 1)))
	if trainer, err := model.NewTrainer(w, 1, 1); err != nil || len(trainer.State())-model.StateBytes(large.Architecture) > 5000 {
		t.Errorf("a state is not as large as it is said to be, but for its header: %v", err)
	}
	large.Architecture.Hidden = []int{512, 512}
	if err := large.Validate(); err == nil || !strings.Contains(err.Error(), "take fewer or narrower layers") {
		t.Errorf("an architecture whose state fits no record: %v", err)
	}
}

func BenchmarkLearn(b *testing.B) {
	w := newWorld(b, config(), 0.1)
	b.ResetTimer()
	w.feed(b.N, w.concept(8))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "examples/s")
}
