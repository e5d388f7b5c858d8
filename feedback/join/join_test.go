package join

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/feedback/stage"
	"github.com/prescale/prescale/inference/event"
)

var start = time.UnixMilli(1767225600000).UTC()

func predictionAt(id string, at time.Duration) *kgo.Record {
	p := event.Prediction{ID: id, RequestedAt: start, PredictedAt: start.Add(at), Model: "m", ModelVersion: 1, Features: []float32{1}, Scores: []float32{1}}
	return &kgo.Record{Topic: event.TopicPredictions, Key: []byte(id), Value: p.Append(nil)}
}

func outcomeAt(id string, at time.Duration) *kgo.Record {
	return &kgo.Record{Topic: event.TopicOutcomes, Key: []byte(id), Value: event.Outcome{ID: id, ObservedAt: start.Add(at), Class: 1}.Append(nil)}
}

// joiner is a processor and its state as the state topic would have it.
type joiner struct {
	t     *testing.T
	c     Config
	p     *Processor
	state map[string][]byte
}

func newJoiner(t *testing.T, c Config) *joiner {
	return &joiner{t: t, c: c, p: New(c, slog.New(slog.DiscardHandler)), state: map[string][]byte{}}
}

func (j *joiner) process(records ...*kgo.Record) (ids []string) {
	j.t.Helper()
	out, err := j.p.Process(records)
	if err != nil {
		j.t.Fatal(err)
	}
	for k, v := range out.State {
		if v == nil {
			delete(j.state, k)
		} else {
			j.state[k] = bytes.Clone(v)
		}
	}
	for _, r := range out.Records {
		e, err := DecodeExample(r.Value)
		if err != nil {
			j.t.Fatal(err)
		}
		ids = append(ids, e.Prediction.ID)
	}
	return ids
}

// restart makes the processor anew from its state.
func (j *joiner) restart() {
	j.t.Helper()
	j.p = New(j.c, slog.New(slog.DiscardHandler))
	if err := j.p.Restore(maps.Clone(j.state)); err != nil {
		j.t.Fatal(err)
	}
}

func TestPairsMatchInEitherOrderAndOverARestart(t *testing.T) {
	j := newJoiner(t, DefaultConfig())
	steps := []struct {
		records []*kgo.Record
		want    []string
	}{
		{[]*kgo.Record{predictionAt("a", 0), predictionAt("b", 1), outcomeAt("a", 2)}, []string{"a"}},
		{[]*kgo.Record{outcomeAt("c", 3)}, nil},
		{[]*kgo.Record{predictionAt("c", 4), outcomeAt("b", 5)}, []string{"c", "b"}},
		{[]*kgo.Record{outcomeAt("a", 6), outcomeAt("b", 6)}, nil}, // told again
	}
	for i, s := range steps {
		if got := j.process(s.records...); !reflect.DeepEqual(got, s.want) {
			t.Errorf("step %d: matched %v, want %v", i, got, s.want)
		}
		j.restart()
	}
}

func TestWhatWaitsTooLongIsGivenUp(t *testing.T) {
	c := DefaultConfig()
	c.MaxAge = time.Minute
	j := newJoiner(t, c)
	j.process(predictionAt("old", 0), outcomeAt("stray", time.Second), predictionAt("young", 40*time.Second))
	j.restart()
	j.process(outcomeAt("other", 90*time.Second))
	if got, want := j.p.Counts(), (Counts{Expired: 1, Unknown: 1, Predictions: 1, Outcomes: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if got := j.process(outcomeAt("old", 91*time.Second), outcomeAt("young", 92*time.Second)); !reflect.DeepEqual(got, []string{"young"}) {
		t.Errorf("matched %v", got)
	}
	c.MaxHeld = 2
	j = newJoiner(t, c)
	j.process(predictionAt("a", 1), predictionAt("b", 2), predictionAt("c", 3))
	if got := j.process(outcomeAt("a", 4), outcomeAt("b", 5), outcomeAt("c", 6)); !reflect.DeepEqual(got, []string{"b", "c"}) {
		t.Errorf("with room for two, matched %v", got)
	}
}

// TestTheFirstOfAnIDStays, and an event from before does not turn time back: what has waited too long is given up all the same.
func TestTheFirstOfAnIDStays(t *testing.T) {
	c := DefaultConfig()
	c.MaxAge = time.Minute
	j := newJoiner(t, c)
	j.process(predictionAt("a", 0), predictionAt("a", 50*time.Second), predictionAt("late", 90*time.Second), predictionAt("early", 40*time.Second))
	if got := j.process(outcomeAt("a", 91*time.Second)); len(got) > 0 {
		t.Errorf("matched %v, whose first prediction is a minute and a half old", got)
	}
	if got := j.p.watermark; !got.Equal(start.Add(91 * time.Second)) {
		t.Errorf("watermark %v", got)
	}
	j = newJoiner(t, c)
	j.process(predictionAt("late", 90*time.Second))
	j.restart()
	j.process(predictionAt("early", 40*time.Second))
	if got := j.p.watermark; !got.Equal(start.Add(90 * time.Second)) {
		t.Errorf("an earlier event turned the watermark back to %v", got)
	}
}

// TestAnIDThatComesAgainWaitsAsLongAsAnyOther: what was held of it before it was matched says nothing of the second.
func TestAnIDThatComesAgainWaitsAsLongAsAnyOther(t *testing.T) {
	c := DefaultConfig()
	c.MaxAge = time.Minute
	j := newJoiner(t, c)
	j.process(predictionAt("a", 0), outcomeAt("a", time.Second), predictionAt("a", 50*time.Second))
	j.process(predictionAt("b", 70*time.Second))
	if got := j.process(outcomeAt("a", 71*time.Second)); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("matched %v, want a a second time", got)
	}
}

// TestOfTooManyTheOldestLeaveAfterARestartToo, though the state is in no order.
func TestOfTooManyTheOldestLeaveAfterARestartToo(t *testing.T) {
	j := newJoiner(t, DefaultConfig())
	for i := range 50 {
		j.process(predictionAt(fmt.Sprint(i), time.Duration(i)*time.Second))
	}
	j.c.MaxHeld = 2
	j.restart()
	j.process()
	if got := j.process(outcomeAt("47", 50*time.Second), outcomeAt("48", 50*time.Second), outcomeAt("49", 50*time.Second)); !reflect.DeepEqual(got, []string{"48", "49"}) {
		t.Errorf("matched %v, want the two newest", got)
	}
}

func TestValidateTellsEveryFault(t *testing.T) {
	got := fmt.Sprint(Config{MaxAge: -1}.Validate())
	if want := "join: predictions: missing\njoin: outcomes: missing\njoin: examples: missing\njoin: maxAge: -1ns is not above 0\njoin: maxHeld: 0 is below 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if c := DefaultConfig(); c.Validate() != nil {
		t.Errorf("the default: %v", c.Validate())
	}
}

// writtenAt is the record with the time at which the broker says that it was written.
func writtenAt(r *kgo.Record, after time.Duration) *kgo.Record {
	r.Timestamp = start.Add(after)
	return r
}

// TestAClockThatIsWrongStopsNothing: an outcome that claims to be of a century to come does not make all others too old, is given up like any
// other, and keeps none from being so.
func TestAClockThatIsWrongStopsNothing(t *testing.T) {
	c := DefaultConfig()
	c.MaxAge = time.Minute
	j := newJoiner(t, c)
	j.process(writtenAt(outcomeAt("wrong", 200*365*24*time.Hour), time.Second))
	j.process(writtenAt(predictionAt("a", 2*time.Second), 2*time.Second))
	j.restart()
	if got := j.process(writtenAt(outcomeAt("a", 3*time.Second), 4*time.Second)); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("matched %v, want a", got)
	}
	j.process(writtenAt(predictionAt("ahead", 200*365*24*time.Hour), 4*time.Second))
	if got := j.process(writtenAt(outcomeAt("ahead", 5*time.Second), 5*time.Second)); !reflect.DeepEqual(got, []string{"ahead"}) {
		t.Errorf("matched %v, want the prediction of a wrong clock too", got)
	}
	j.process(writtenAt(predictionAt("b", 5*time.Second), 5*time.Second))
	j.process(writtenAt(predictionAt("c", 70*time.Second), 70*time.Second))
	if got, want := j.p.Counts(), (Counts{Expired: 1, Unknown: 1, Predictions: 1}); got.Expired != want.Expired || got.Unknown != want.Unknown || got.Predictions != want.Predictions || got.Outcomes != 0 {
		t.Errorf("after a minute: %+v, want b and the wrong one given up", got)
	}
}

// TestAWatermarkOfAWrongClockIsLeft: where such a record was itself stamped years ahead, only what was held then is given up, and what
// comes after it is not.
func TestAWatermarkOfAWrongClockIsLeft(t *testing.T) {
	c := DefaultConfig()
	c.MaxAge = time.Minute
	j := newJoiner(t, c)
	const years = 200 * 365 * 24 * time.Hour
	j.process(writtenAt(predictionAt("lost", 0), 0), writtenAt(outcomeAt("wrong", years), years))
	j.restart()
	j.process(writtenAt(predictionAt("a", 2*time.Second), 2*time.Second))
	j.restart()
	if got := j.process(writtenAt(outcomeAt("lost", 3*time.Second), 3*time.Second), writtenAt(outcomeAt("a", 4*time.Second), 4*time.Second)); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("matched %v, want a", got)
	}
}

// TestWhatAWrongClockHoldsDoesNotKeepTheOthers: an outcome of years ahead that nobody predicted is given up once the watermark is turned
// back, and those behind it are in their time.
func TestWhatAWrongClockHoldsDoesNotKeepTheOthers(t *testing.T) {
	c := DefaultConfig()
	c.MaxAge = time.Minute
	j := newJoiner(t, c)
	const years = 200 * 365 * 24 * time.Hour
	j.process(writtenAt(outcomeAt("wrong", years), years))
	for i := range 10 {
		at := time.Duration(i) * time.Minute
		j.process(writtenAt(outcomeAt(fmt.Sprint(i), at), at))
	}
	if got := j.p.Counts(); got.Outcomes > 2 || got.Unknown < 9 {
		t.Errorf("after ten minutes: %+v, want those of the last one", got)
	}
}

// TestWhatIsHeldIsNoLargerThanWhatItSays: an outcome as large as a record may be, of which all but a little is said in fields that
// nobody reads, is held in a record of the state that is not larger still, which no broker would take.
func TestWhatIsHeldIsNoLargerThanWhatItSays(t *testing.T) {
	j := newJoiner(t, DefaultConfig())
	large := outcomeAt("a", 0)
	large.Value = append(large.Value[:len(large.Value)-1], fmt.Sprintf(`,"note":%q}`, strings.Repeat("x", 1<<20))...)
	j.process(large)
	for key, value := range j.state {
		if len(value) > 1000 {
			t.Errorf("%s: %d bytes", key, len(value))
		}
	}
	j.restart()
	if got := j.process(predictionAt("a", 1)); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("matched %v", got)
	}
}

// TestAPredictionThatGrowsIsPassedOver: one that fits a record, but would not as it is written here, stops nothing.
func TestAPredictionThatGrowsIsPassedOver(t *testing.T) {
	j := newJoiner(t, DefaultConfig())
	grows := predictionAt("a", 0)
	grows.Value = []byte(strings.Replace(string(grows.Value), `"features":[`, `"features":[`+strings.Repeat("1e9,", 240_000), 1))
	got := j.process(outcomeAt("a", 0), grows, predictionAt("b", 1), outcomeAt("b", 1))
	if !reflect.DeepEqual(got, []string{"b"}) || j.p.Counts().Undecodable != 1 || len(grows.Value) > 1_000_000 {
		t.Errorf("matched %v, counts %+v, of a record of %d bytes", got, j.p.Counts(), len(grows.Value))
	}
}

func TestRecordsThatCannotBeReadArePassedOver(t *testing.T) {
	j := newJoiner(t, DefaultConfig())
	bad := predictionAt("a", 0)
	bad.Value = bad.Value[:20]
	if got := j.process(bad, &kgo.Record{Topic: event.TopicOutcomes, Value: nil}, predictionAt("b", 0), outcomeAt("b", 1)); !reflect.DeepEqual(got, []string{"b"}) {
		t.Errorf("matched %v", got)
	}
	if got, want := j.p.Counts(), (Counts{Matched: 1, Undecodable: 2}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// TestEveryOrderGivesEveryPairOnce shuffles both topics, cuts them into batches and restarts now and then.
func TestEveryOrderGivesEveryPairOnce(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var all []*kgo.Record
		for i := range 200 {
			all = append(all, predictionAt(fmt.Sprint(i), time.Duration(i)*time.Second), outcomeAt(fmt.Sprint(i), time.Duration(i)*time.Second))
		}
		rng.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
		j := newJoiner(t, DefaultConfig())
		seen := map[string]int{}
		for len(all) > 0 {
			n := min(len(all), 1+rng.IntN(30))
			for _, id := range j.process(all[:n]...) {
				seen[id]++
			}
			all = all[n:]
			if rng.IntN(4) == 0 {
				j.restart()
			}
		}
		for i := range 200 {
			if seen[fmt.Sprint(i)] != 1 {
				t.Fatalf("seed %d: %d matched %d times", seed, i, seen[fmt.Sprint(i)])
			}
		}
		if len(j.state) != 1 { // the watermark
			t.Errorf("seed %d: %d keys of state are left", seed, len(j.state))
		}
	}
}

func TestRestoreRefusesForeignState(t *testing.T) {
	for key, value := range map[string]string{"x": "", "p/a": "{}", "o/a": "{}", watermarkKey: "soon"} {
		if err := New(DefaultConfig(), slog.New(slog.DiscardHandler)).Restore(map[string][]byte{key: []byte(value)}); err == nil {
			t.Errorf("%s = %q: no error", key, value)
		}
	}
}

func TestDecodeExampleNamesTheFault(t *testing.T) {
	p, o := string(predictionAt("a", 0).Value), string(outcomeAt("a", 0).Value)
	for _, tt := range []struct{ in, want string }{
		{`{"v":1,"prediction":` + p + `,"outcome":` + o + `}`, ""},
		{``, "example:"}, {`{}`, "v: 0"}, {`{"v":2}`, "v: 2; this program reads version 1"},
		{`{"v":1,"prediction":` + p + `}`, "outcome"},
		{`{"v":1,"prediction":{},"outcome":` + o + `}`, "prediction: v: missing"},
		{`{"v":1,"prediction":` + p + `,"outcome":` + string(outcomeAt("b", 0).Value) + `}`, "different requests"},
	} {
		_, err := DecodeExample([]byte(tt.in))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%.60s: got %v, want %q", tt.in, err, tt.want)
		}
	}
}

func FuzzDecodeExample(f *testing.F) {
	f.Add(Example{Prediction: event.Prediction{ID: "a", RequestedAt: start, PredictedAt: start, Model: "m", ModelVersion: 1, Features: []float32{1}, Scores: []float32{1}},
		Outcome: event.Outcome{ID: "a", ObservedAt: start}}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeExample(b)
		if err != nil {
			return
		}
		if again, err := DecodeExample(e.Append(nil)); err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v then %+v, %v", e, again, err)
		}
	})
}

var _ stage.Processor = (*Processor)(nil)
