package batch

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prescale/prescale/inference/event"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestOutageBeat(t *testing.T) {
	for _, mode := range []string{"refused", "silent", "lost"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, event.TopicRequests, event.TopicPredictions, event.TopicDeadLetters))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			var away atomic.Bool
			var mu sync.Mutex
			var conns []net.Conn
			var d net.Dialer
			opts := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(func(ctx context.Context, n, a string) (net.Conn, error) {
				if away.Load() {
					if mode == "refused" {
						return nil, errors.New("refused")
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}
				c, err := d.DialContext(ctx, n, a)
				if err != nil {
					return nil, err
				}
				mu.Lock()
				defer mu.Unlock()
				if mode == "lost" {
					p, q := net.Pipe()
					pipe := func(from, to net.Conn) {
						b := make([]byte, 65536)
						for {
							k, e := from.Read(b)
							if e != nil {
								to.Close()
								return
							}
							if !away.Load() {
								if _, e := to.Write(b[:k]); e != nil {
									from.Close()
									return
								}
							}
						}
					}
					go pipe(p, c)
					go pipe(c, p)
					return q, nil
				}
				conns = append(conns, c)
				return c, nil
			})}
			var source late
			source.Store(newEntry(t))
			c := DefaultConfig()
			c.Instance = "a"
			loop, err := NewLoop(c, &source, slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry(), prometheus.NewHistogram(prometheus.HistogramOpts{Name: "l"}), opts...)
			if err != nil {
				t.Fatal(err)
			}
			go loop.Run(t.Context())
			client, _ := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
			defer client.Close()
			time.Sleep(8 * time.Second)
			busy := make(chan bool)
			go func() {
				defer close(busy)
				for range 40 {
					client.ProduceSync(t.Context(), request("a"))
					time.Sleep(100 * time.Millisecond)
				}
			}()
			time.Sleep(2 * time.Second)
			away.Store(true)
			mu.Lock()
			for _, c := range conns {
				c.Close()
			}
			mu.Unlock()
			worst := time.Duration(0)
			for range 300 {
				time.Sleep(time.Second)
				worst = max(worst, time.Since(loop.Status().Beat))
			}
			t.Logf("%s: answered %d worst %v; %v", mode, loop.Status().Answered, worst, loop.Status().Problem)
		})
	}
}
