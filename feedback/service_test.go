package feedback

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/prescale/prescale/feedback/join"
	"github.com/prescale/prescale/feedback/streamtest"
	"github.com/prescale/prescale/feedback/train"
	"github.com/prescale/prescale/hack/await"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
	"github.com/prescale/prescale/inference/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 4

func fakeKafka(t *testing.T) []kgo.Opt {
	t.Helper()
	c := testConfig("x")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, event.TopicRequests, event.TopicPredictions, event.TopicOutcomes, c.JoinStateTopic),
		kfake.SeedTopics(1, event.TopicDeadLetters, registry.Topic, join.TopicExamples, c.TrainStateTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.HeartbeatInterval(100 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond)}
}

func testConfig(instance string) Config {
	c := DefaultConfig()
	c.Instance = instance
	c.Train.Architecture = model.Architecture{Inputs: streamtest.Inputs, Hidden: []int{16}, Classes: streamtest.Classes}
	return c
}

// start runs something until the function that is returned is called.
func start(t *testing.T, run func(context.Context) error) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func service(t *testing.T, instance string, opts ...kgo.Opt) (*Service, func()) {
	t.Helper()
	s, err := New(testConfig(instance), slog.New(slog.DiscardHandler), prometheus.NewRegistry(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s, start(t, s.Run)
}

func TestTheExamplesHaveOnePartition(t *testing.T) {
	s, err := New(testConfig("a"), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.learner(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "create it with one") {
		t.Errorf("a learner of partition 1: %v", err)
	}
	if err := s.Live(time.Now()); err != nil {
		t.Errorf("before the first round: %v", err)
	}
}

// TestTheLoopLearnsAndSurvivesItsTrainer runs requests, service, late outcomes and trainer on one Kafka. Half-way the instance
// that trains is stopped and another, that stood by, goes on.
func TestTheLoopLearnsAndSurvivesItsTrainer(t *testing.T) {
	opts := fakeKafka(t)
	a, stopA := service(t, "a", opts...)
	c := server.DefaultConfig()
	c.Batch.Instance = "s"
	replica, err := server.New(c, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	start(t, replica.Run)
	await.Until(t, 2*time.Minute, "the first version", func() bool { return replica.Champion() != nil })

	producer, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	sea := streamtest.NewSEA(0.1, rand.New(rand.NewPCG(1, 1)))
	sent := 0
	var late []*kgo.Record
	send := func(n int) {
		for range n {
			e := sea.Next(streamtest.Wide[0])
			r := event.Request{ID: fmt.Sprintf("r-%d", sent), RequestedAt: time.Now(), Features: e.Features}
			o := event.Outcome{ID: r.ID, ObservedAt: time.Now().Add(time.Second), Class: e.Class}
			sent++
			producer.Produce(t.Context(), &kgo.Record{Topic: event.TopicRequests, Key: []byte(r.ID), Value: r.Append(nil)}, nil)
			late = append(late, &kgo.Record{Topic: event.TopicOutcomes, Key: []byte(r.ID), Value: o.Append(nil)})
			if len(late) > 300 { // some outcomes come before their prediction, most after
				producer.Produce(t.Context(), late[0], nil)
				late = late[1:]
			}
		}
		if err := producer.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	examples := func(s *Service) int64 { snapshot, _ := s.Snapshot(); return snapshot.Examples }
	send(1500)
	await.Until(t, 2*time.Minute, "examples at a", func() bool { return examples(a) > 500 })
	b, _ := service(t, "b", opts...)
	stopA()
	send(1500)
	for _, r := range late {
		producer.Produce(t.Context(), r, nil)
	}
	await.Until(t, 2*time.Minute, "all examples at b", func() bool { return examples(b) >= int64(sent) })
	s, _ := b.Snapshot()
	if s.Examples != int64(sent) {
		t.Errorf("learned from %d examples of %d requests", s.Examples, sent)
	}
	if s.Version < 2 || !s.Scored {
		t.Errorf("snapshot %+v", s)
	}
	await.Until(t, 2*time.Minute, "the service to follow", func() bool { return replica.Champion().Version == s.Version })
	if now, later := b.Live(time.Now()), b.Live(time.Now().Add(2*liveAge)); now != nil || later == nil {
		t.Errorf("live now: %v; with stages that last came round a while ago: %v", now, later)
	}
	if err := b.Ready(); err != nil {
		t.Error(err)
	}
	// The first version, which says class 0 of everything, is right on 0.9 - 0.8·0.245 = 0.70 of them, a perfect one on 0.9.
	right, scores := 0, make([]float32, streamtest.Classes)
	for range 2000 {
		e := sea.Next(streamtest.Wide[0])
		if err := replica.Champion().Model.Predict(e.Features, 1, scores); err != nil {
			t.Fatal(err)
		}
		if event.Argmax(scores) == e.Class {
			right++
		}
	}
	if right < 1640 {
		t.Errorf("the champion is right on %d of 2000 unseen examples", right)
	}
	if entry := replica.Champion(); entry.Lineage.Parent < 1 || entry.Lineage.Position == "" {
		t.Errorf("lineage %+v", entry.Lineage)
	}
}

func TestMetricsLeaveOutWhatIsNotKnown(t *testing.T) {
	r := prometheus.NewRegistry()
	if _, err := New(testConfig("a"), slog.New(slog.DiscardHandler), r); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.GetName(), "accuracy") || strings.Contains(f.GetName(), "version") {
			t.Errorf("%s is told before anything is known", f.GetName())
		}
	}
	if len(families) != 2 {
		t.Errorf("%d families", len(families))
	}
}

// TestWhatIsKnownIsTold under names that dashboards go by, and no more once this instance does not train.
func TestWhatIsKnownIsTold(t *testing.T) {
	r := prometheus.NewRegistry()
	s, err := New(testConfig("a"), slog.New(slog.DiscardHandler), r)
	if err != nil {
		t.Fatal(err)
	}
	gather := func() map[string]float64 {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "prescale_feedback_")
				if len(m.GetLabel()) > 0 {
					name += " " + m.GetLabel()[0].GetValue()
				}
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		return got
	}
	check := func(want map[string]float64) {
		t.Helper()
		if got := gather(); !maps.Equal(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	}
	p := join.New(testConfig("a").Join, slog.New(slog.DiscardHandler))
	at := time.UnixMilli(1767225600000)
	prediction := func(id string, at time.Time) *kgo.Record {
		value := event.Prediction{ID: id, RequestedAt: at, PredictedAt: at, Model: "m", ModelVersion: 1, Features: []float32{1}, Scores: []float32{1}}.Append(nil)
		return &kgo.Record{Topic: event.TopicPredictions, Value: value}
	}
	outcome := func(id string, at time.Time) *kgo.Record {
		return &kgo.Record{Topic: event.TopicOutcomes, Value: event.Outcome{ID: id, ObservedAt: at}.Append(nil)}
	}
	later := at.Add(2 * testConfig("a").Join.MaxAge)
	for _, records := range [][]*kgo.Record{
		{prediction("a", at), prediction("b", at), prediction("c", at), prediction("d", at), outcome("a", at), outcome("x", at), outcome("y", at)},
		{{Topic: event.TopicOutcomes}, prediction("e", later), prediction("f", later), outcome("z", later), outcome("f", later)},
	} {
		if _, err := p.Process(records); err != nil {
			t.Fatal(err)
		}
		s.noteJoined(0, p)
	}
	joined := map[string]float64{"joined_total matched": 2, "joined_total expired": 3, "joined_total unknown": 2, "joined_total undecodable": 1,
		"held_records prediction": 1, "held_records outcome": 1}
	check(joined)
	s.snapshot.Store(&train.Snapshot{Examples: 1, Refused: 2, Version: 3, Evidence: 4, EvidenceNeeded: 5, Drifts: 6, Promotions: 7, Rollbacks: 8, Blocked: 9})
	all := maps.Clone(joined)
	maps.Copy(all, map[string]float64{"examples_total": 1, "examples_refused_total": 2, "champion_version": 3, "evidence": 4, "evidence_needed": 5,
		"drifts_total": 6, "promotions_total": 7, "rollbacks_total": 8, "promotions_blocked_total": 9})
	check(all)
	s.snapshot.Store(&train.Snapshot{Examples: 1, Refused: 2, Version: 3, Evidence: 4, EvidenceNeeded: 5, Drifts: 6, Promotions: 7, Rollbacks: 8, Blocked: 9,
		Scored: true, Accuracy: 0.5, LossNats: 0.25, Calibration: 0.125, Delay: 90 * time.Second})
	maps.Copy(all, map[string]float64{"accuracy_ratio": 0.5, "loss_nats": 0.25, "calibration_error_ratio": 0.125, "label_delay_seconds": 90})
	check(all)
	s.noteTrained(0, nil)
	check(joined)
}

// TestCountsGoOnWhilePartitionsComeAndGo: what was joined never gets fewer, and what is held is of the partitions that are here.
func TestCountsGoOnWhilePartitionsComeAndGo(t *testing.T) {
	r := prometheus.NewRegistry()
	s, err := New(testConfig("a"), slog.New(slog.DiscardHandler), r)
	if err != nil {
		t.Fatal(err)
	}
	// joined has a processor take pairs and as many predictions whose outcome is not known yet.
	joined := func(p *join.Processor, partition int32, pairs int) {
		for i := range 2 * pairs {
			id := fmt.Sprint(partition, p.Counts(), i)
			at := time.UnixMilli(1767225600000 + int64(i))
			prediction := event.Prediction{ID: id, RequestedAt: at, PredictedAt: at, Model: "m", ModelVersion: 1, Features: []float32{1}, Scores: []float32{1}}
			records := []*kgo.Record{{Topic: event.TopicPredictions, Value: prediction.Append(nil)}}
			if i < pairs {
				records = append(records, &kgo.Record{Topic: event.TopicOutcomes, Value: event.Outcome{ID: id, ObservedAt: at}.Append(nil)})
			}
			if _, err := p.Process(records); err != nil {
				t.Fatal(err)
			}
		}
		s.noteJoined(partition, p)
	}
	want := func(step string, matched, held float64) {
		t.Helper()
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == "matched" && m.GetCounter().GetValue() != matched || m.GetLabel()[0].GetValue() == "prediction" && m.GetGauge().GetValue() != held {
					t.Errorf("%s: %s: got %v, want %v matched and %v held", step, f.GetName(), m, matched, held)
				}
			}
		}
	}
	c, logger := testConfig("a").Join, slog.New(slog.DiscardHandler)
	first, second := join.New(c, logger), join.New(c, logger)
	joined(first, 0, 3)
	joined(second, 1, 5)
	want("two partitions", 8, 8)
	joined(first, 0, 1)
	want("once more", 9, 9)
	joined(join.New(c, logger), 0, 7) // more than the one before it had
	want("a new processor", 16, 12)
	s.noteJoined(1, nil)
	want("one partition less", 16, 7)
	joined(join.New(c, logger), 1, 2)
	want("and there again", 18, 9)
}

func TestValidateTellsEveryFault(t *testing.T) {
	err := Config{}.Validate()
	for _, want := range []string{"join: predictions", "train: batch", "feedback: instance", "stage join: group", "stage train: stateTopic"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("does not tell of %q: %v", want, err)
		}
	}
	if err := testConfig("a").Validate(); err != nil {
		t.Error(err)
	}
}
