package eventlog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAnOwnerOutlivesItsCoordinator has the broker die that coordinates the group of owners: they must look for another one,
// or the group takes them for dead while they believe that all is well.
func TestAnOwnerOutlivesItsCoordinator(t *testing.T) {
	for _, protocol := range []Protocol{ProtocolConsumer, ProtocolClassic} {
		t.Run(string(protocol), func(t *testing.T) {
			fake, opts := fakeKafka(t, kfake.BrokerConfigs(map[string]string{"group.consumer.heartbeat.interval.ms": "200"}))
			cfg := testConfig("a")
			cfg.Heartbeat, cfg.Protocol = 200*time.Millisecond, protocol
			ownAll(t, cfg, opts)
			coordinator := fake.CoordinatorFor(cfg.group())
			// What is connected to it is cut off, and nobody listens any more.
			heard := make(chan struct{}, 100)
			for _, key := range []kmsg.Key{kmsg.ConsumerGroupHeartbeat, kmsg.Heartbeat} {
				fake.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
					fake.KeepControl()
					if fake.CurrentNode() == coordinator {
						return nil, errors.New("the broker is dead"), true
					}
					select {
					case heard <- struct{}{}:
					default:
					}
					return nil, nil, false
				})
			}
			if err := fake.RemoveNode(coordinator); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				select {
				case <-heard:
				case <-time.After(30 * time.Second):
					t.Fatal("no heartbeat to another broker within 30s")
				}
			}
		})
	}
}

// TestAnOwnerKeepsItsShardsWhileNobodyCoordinates has the coordinator's place empty for two sessions, as while brokers elect another
// one, which then takes the members for those that they were.
func TestAnOwnerKeepsItsShardsWhileNobodyCoordinates(t *testing.T) {
	fake, opts := fakeKafka(t)
	cfg := testConfig("a")
	cfg.SessionTimeout, cfg.Heartbeat, cfg.Protocol = time.Second, 100*time.Millisecond, ProtocolClassic
	ended := ownAll(t, cfg, opts)
	back := time.Now().Add(2 * cfg.SessionTimeout)
	fake.ControlKey(int16(kmsg.FindCoordinator), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := kreq.(*kmsg.FindCoordinatorRequest)
		if time.Now().After(back) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
		for _, key := range req.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, kmsg.FindCoordinatorResponseCoordinator{Key: key, ErrorCode: kerr.CoordinatorNotAvailable.Code})
		}
		return resp, nil, true
	})
	heard := make(chan struct{}, 100)
	fake.ControlKey(int16(kmsg.Heartbeat), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := kreq.ResponseKind().(*kmsg.HeartbeatResponse)
		if time.Now().Before(back) {
			resp.ErrorCode = kerr.NotCoordinator.Code
		} else {
			heard <- struct{}{}
		}
		return resp, nil, true
	})
	for range 3 {
		select {
		case <-heard:
		case cause := <-ended:
			t.Fatalf("the owner let go of a shard: %v", cause)
		case <-time.After(30 * time.Second):
			t.Fatal("no heartbeat to the new coordinator within 30s")
		}
	}
}

// ownAll runs an owner until the test ends, and returns once it has all shards. Why it lets go of one comes on the channel.
func ownAll(t *testing.T, cfg Config, opts []kgo.Opt) <-chan error {
	t.Helper()
	o, err := NewOwner(cfg, opts, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served, ended, done := make(chan int32, 100), make(chan error, 100), make(chan error, 1)
	go func() {
		done <- o.Run(ctx, func(ctx context.Context, s *Shard) error {
			served <- s.Number
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for range cfg.Shards {
		select {
		case <-served:
		case <-time.After(30 * time.Second):
			t.Fatal("the owner has not all shards within 30s")
		}
	}
	return ended
}

// TestAnOwnerSaysThatItWaitsForItsBrokers: at once, and again every minute, for as long as no broker answers.
func TestAnOwnerSaysThatItWaitsForItsBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		refused := kgo.Dialer(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") })
		owner, err := NewOwner(testConfig("a"), []kgo.Opt{kgo.SeedBrokers("kafka:9092"), refused}, slog.New(slog.NewTextHandler(&said, nil)), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		if err := owner.Run(ctx, nil); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("in 150s without a broker: %d lines, want 3:\n%s", len(lines), said.String())
		}
		for i, want := range []string{"for=0s", "for=1m0s", "for=2m0s"} {
			for _, part := range []string{want, "nothing is decided", "prescale check --connect", "connection refused"} {
				if !strings.Contains(lines[i], part) {
					t.Errorf("line %d: %s: want %q in it", i, lines[i], part)
				}
			}
		}
	})
}
