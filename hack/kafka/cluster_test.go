//go:build integration

package kafka

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func produce(t *testing.T, c *Cluster, topic string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr()
}

func create(t *testing.T, c *Cluster, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

func TestOneBrokerKeepsItsDataOverAKill(t *testing.T) {
	began := time.Now()
	c := ForTest(t, Options{})
	t.Logf("started in %v", time.Since(began))
	create(t, c, "a")
	if err := produce(t, c, "a"); err != nil {
		t.Fatal(err)
	}
	t.Logf("acknowledged after %v", time.Since(began))
	c.Kill(0)
	if err := c.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	var records int64
	ends.Each(func(o kadm.ListedOffset) { records += o.Offset })
	if records != 1 {
		t.Errorf("records after the restart: got %d, want 1", records)
	}
}

func TestThreeBrokersLiveWithTwo(t *testing.T) {
	began := time.Now()
	c := ForTest(t, Options{Brokers: 3})
	t.Logf("started in %v", time.Since(began))
	create(t, c, "a")
	c.Kill(0)
	if err := produce(t, c, "a"); err != nil {
		t.Fatalf("produce with one broker dead: %v", err)
	}
	if err := c.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}
