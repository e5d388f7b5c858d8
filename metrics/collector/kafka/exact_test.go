//go:build integration

package kafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/collector"
)

// TestExactAges reads the age of a record from its batch, on a real broker and in every form that a batch has: at a group's
// first sample, of which nothing but the batch tells the age, it is right within the bound that is given with it.
func TestExactAges(t *testing.T) {
	r := newRig(t, kafka.Options{})
	const records = 11
	for i, tt := range []struct {
		name    string
		configs map[string]*string
		options []kgo.Opt
		size    int // of a record's value, in bytes
		// spread is the time between one record and the next, oldest the age of the first.
		spread, oldest time.Duration
		commit         int64
		// stamped is true where the broker's clock stamps the records when they come.
		stamped bool
		bound   time.Duration // at most
	}{
		{name: "first of a batch", oldest: 40 * time.Second, spread: time.Second, commit: 0, bound: 5 * time.Millisecond},
		{name: "inside a batch, evenly spread", oldest: 40 * time.Second, spread: time.Second, commit: 6, bound: 7 * time.Second},
		{name: "older than every sample", oldest: 100 * time.Hour, spread: time.Minute, commit: 0, bound: 5 * time.Millisecond},
		{
			name: "compressed", oldest: 90 * time.Minute, commit: 0, bound: 5 * time.Millisecond,
			options: []kgo.Opt{kgo.ProducerBatchCompression(kgo.ZstdCompression())},
		},
		{name: "a batch larger than what is fetched", oldest: 3 * time.Hour, size: 300_000, commit: 3, bound: 5 * time.Millisecond},
		{
			name: "stamped by the broker", oldest: 5 * time.Hour, stamped: true, commit: 4, bound: 5 * time.Millisecond,
			configs: map[string]*string{"message.timestamp.type": kadm.StringPtr("LogAppendTime")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &rig{t: t, cluster: r.cluster, client: r.client, admin: r.admin, own: r.own}
			name := fmt.Sprintf("exact-%d", i)
			r.create(name, 1, tt.configs)
			client := r.newClient(append(tt.options, kgo.ProducerLinger(100*time.Millisecond))...)
			batch := make([]*kgo.Record, records)
			produced := time.Now()
			for j := range batch {
				batch[j] = &kgo.Record{Topic: name, Value: make([]byte, tt.size), Timestamp: produced.Add(time.Duration(j)*tt.spread - tt.oldest)}
			}
			r.must(client.ProduceSync(r.context(), batch...).FirstErr())
			r.commit(name, name, map[int32]int64{0: tt.commit})
			from, to := batch[tt.commit].Timestamp, batch[tt.commit].Timestamp
			if tt.stamped {
				from, to = produced, time.Now()
			}
			c := r.collector()
			c.SetTargets([]collector.Target{{Policy: "test/p", Cluster: "main", Group: name, Topics: []string{name}}})
			result := r.observe(c, tt.name, lagIs(float64(records-tt.commit)))
			if c.tick > 1 {
				t.Logf("known at tick %d", c.tick)
			}
			o := result.Observation
			got, bound := o.LagSeconds.Or(-1), o.LagSecondsError.Or(-1)
			if bound < 0 || bound > tt.bound.Seconds() {
				t.Errorf("bound: got %v s, want at most %v", o.LagSecondsError, tt.bound)
			}
			// Stamps are rounded down to the millisecond; the tick reads after its nominal time.
			const milli = 0.001
			least, most := o.At.Sub(to).Seconds()-bound-milli, time.Since(from).Seconds()+bound+milli
			if got < least || got > most {
				t.Errorf("seconds behind: got %v ± %v, want between %v and %v", got, bound, least, most)
			}
		})
	}
}
