package eventlog

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAFollowerTakesTheLogsOrder: what cannot be read and what is forgotten is passed over, and where numbers begin again, as after
// the observations were deleted, the new decisions are those to be served.
func TestAFollowerTakesTheLogsOrder(t *testing.T) {
	var got []uint64
	f, err := NewFollower(testConfig("a"), nil, func(d Decision) { got = append(got, d.Seq) }, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	decision := func(term, seq uint64) []byte {
		d := Decision{Stamp: Stamp{Policy: "ai/a", Seq: seq, At: t0, Term: term, Writer: "a"}}
		return d.AppendTo(nil)
	}
	visit := func(policy string, value []byte) {
		if err := f.visit(&kgo.Record{Key: []byte(policy), Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	// Of what there was, each policy's newest alone, once all is read.
	for seq := range uint64(3) {
		visit("ai/a", decision(1, 1+seq))
		visit("ai/b", decision(1, 11+seq))
	}
	behind, end := &fetcher{cursors: map[int32]*cursor{0: {next: 6, stable: 7, answered: t0}}}, &fetcher{cursors: map[int32]*cursor{0: {next: 7, stable: 7, answered: t0}}}
	if f.note(behind); len(got) > 0 {
		t.Errorf("handed on %v before the shard was read to its end", got)
	}
	f.note(end)
	for _, value := range [][]byte{decision(1, 4), decision(1, 5), []byte("rubbish"), decision(1, 6), nil, decision(2, 5), decision(2, 6)} {
		visit("ai/a", value)
	}
	f.note(end)
	if want := []uint64{3, 13, 4, 5, 6, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("handed on %v, want %v", got, want)
	}
}

// TestAFollowerIsCurrentAtTheEndOnly: what is answered while offsets are missing may be old.
func TestAFollowerIsCurrentAtTheEndOnly(t *testing.T) {
	cfg := testConfig("a")
	f, err := NewFollower(cfg, nil, func(Decision) {}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	policy := policies(0, cfg.Shards, 1)[0]
	for _, tt := range []struct {
		name   string
		cursor cursor
		after  time.Duration // the last answer
		behind int64         // -1 when it is current
	}{
		{"offsets are missing", cursor{next: 5, stable: 10, answered: t0}, 0, 5},
		{"read to the end", cursor{next: 10, stable: 10, answered: t0}, time.Second, -1},
		{"an answer that failed later", cursor{next: 10, stable: 10, answered: t0, err: errors.New("away")}, time.Second, -1},
		{"too long ago", cursor{next: 10, stable: 10, answered: t0, err: errors.New("away")}, time.Minute, 0},
	} {
		f.note(&fetcher{cursors: map[int32]*cursor{0: &tt.cursor}})
		err := f.Current(policy, t0.Add(tt.after), 15*time.Second)
		var behind *BehindError
		if got := errors.As(err, &behind); got != (tt.behind >= 0) || got && behind.Offsets != tt.behind {
			t.Errorf("%s: got %v, want %d offsets behind", tt.name, err, tt.behind)
		}
	}
}

// TestAFollowerThatStartsMissesNothing has the log's first tick written while the follower asks where to begin.
func TestAFollowerThatStartsMissesNothing(t *testing.T) {
	fake, opts, cfg := fakeLog(t)
	cfg.FollowerLookback = 10 * 365 * 24 * time.Hour
	name := policies(0, cfg.Shards, 1)[0]
	s, ms := openShard(t, cfg, opts, 0)
	var byTime atomic.Bool // whether offsets of a time have been asked for
	write := sync.OnceValue(func() error { return s.Append(t.Context(), ms.tick(s, t0, name)) })
	fake.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if req.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp >= 0 {
			byTime.Store(true)
		} else if byTime.Load() {
			fake.SleepControl(func() { _ = write() })
		}
		return nil, nil, false
	})
	f, err := NewFollower(cfg, nil, func(Decision) {}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	from, err := f.start(t.Context(), newClient(t, opts), t0)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	if from[0] != 0 {
		t.Errorf("begins at offset %d of the shard, want 0: the decision would never be seen", from[0])
	}
}

// TestABrokerThatHangsHoldsUpItsOwnShardsOnly has one broker take fetches and answer none, as one does whose host has died.
func TestABrokerThatHangsHoldsUpItsOwnShardsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
	})
}
