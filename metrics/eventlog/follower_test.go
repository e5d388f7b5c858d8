package eventlog

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestABrokerThatHangsHoldsUpItsOwnShardsOnly has one broker take fetches and answer none, as one does whose host has died.
func TestABrokerThatHangsHoldsUpItsOwnShardsOnly(t *testing.T) {
	fake, opts, cfg := fakeLog(t)
	// The decisions of shard 0 lie on the broker that will hang, all else on another.
	for shard := range int32(cfg.Shards) {
		for _, topic := range []string{cfg.decisions(), cfg.observations(), cfg.checkpoints()} {
			node := int32(1)
			if topic == cfg.decisions() && shard == 0 {
				node = 0
			}
			if err := fake.MoveTopicPartition(topic, shard, node); err != nil {
				t.Fatal(err)
			}
		}
	}
	decided := make(chan Decision, 100)
	f, err := NewFollower(cfg, opts, func(d Decision) { decided <- d }, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.patience = 200 * time.Millisecond
	f.cfg.FollowerLookback = 10 * 365 * 24 * time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	followed := make(chan error, 1)
	go func() { followed <- f.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-followed; err != nil {
			t.Error(err)
		}
	}()
	at := t0
	wantNext := func(shard int32) {
		t.Helper()
		s, ms := openShard(t, cfg, opts, shard)
		at = at.Add(time.Second)
		name := policies(shard, cfg.Shards, 1)[0]
		if err := s.Append(t.Context(), ms.tick(s, at, name)); err != nil {
			t.Fatal(err)
		}
		select {
		case d := <-decided:
			if d.Policy != name || !d.At.Equal(at) {
				t.Errorf("got %s at %v, want %s at %v", d.Policy, d.At, name, at)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("shard %d: no decision within 30s", shard)
		}
	}
	wantNext(0)
	wantNext(1)

	wake := make(chan struct{})
	hung := make(chan struct{}, 100)
	fake.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if fake.CurrentNode() == 0 {
			fake.SleepControl(func() {
				hung <- struct{}{}
				<-wake
			})
		}
		return nil, nil, false
	})
	defer close(wake)
	<-hung
	wantNext(1)
	wantNext(1)
	if err := f.Current(policies(0, cfg.Shards, 1)[0], time.Now().Add(time.Minute), time.Minute/2); err == nil {
		t.Error("the hanging broker's shard counts as followed")
	}
	// The cluster notices, too: the shard has another leader.
	if err := fake.MoveTopicPartition(cfg.decisions(), 0, 2); err != nil {
		t.Fatal(err)
	}
	wantNext(0)
}
