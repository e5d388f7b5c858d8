package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/eventlog"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// TestAReadSideThatIsLeftBehindSaysSo has a replica whose follower stands still: the last decision is served for three ticks,
// and then there is an error that names the shard.
func TestAReadSideThatIsLeftBehindSaysSo(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := start
	store := readmodel.NewStore(func() time.Time { return now })
	sc := scaler.DefaultConfig()
	sc.Policy = "ai/a"
	p := pipeline.NewPolicy(collector.Target{Policy: "ai/a", Cluster: "main", Group: "g", Topics: []string{"t"}}, sc, nil)
	store.Expect(p.Name(), sc.Interval)
	lc := eventlog.DefaultConfig()
	lc.Instance = "test"
	follower, err := eventlog.NewFollower(lc, nil, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &openedLog{follower: follower, publisher: pipeline.NewPublisher(store), store: store}
	l.setPolicies([]pipeline.Policy{p})
	l.publisher.Publish(eventlog.Decision{
		Stamp: eventlog.Stamp{Policy: p.Name(), Seq: 1, At: start}, Observation: series.Observation{At: start}, Payload: []byte(`{"decision": {"policy": "ai/a", "desiredReplicas": 3}}`),
	})
	for after := time.Duration(0); after <= 2*time.Minute; after += time.Second {
		now = start.Add(after)
		l.explain(now)
		_, err := store.Get(p.Name())
		var stale *readmodel.StaleError
		switch {
		case after <= 3*sc.Interval && err != nil:
			t.Fatalf("after %v: %v", after, err)
		case after > 3*sc.Interval && (!errors.As(err, &stale) || !strings.Contains(err.Error(), "of the decisions: it has not been read to its end yet")):
			t.Fatalf("after %v: got %v, want stale with its cause", after, err)
		}
	}
}
