//go:build integration

package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	metricsclient "k8s.io/metrics/pkg/client/external_metrics"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/hack/output"
	"github.com/prescale/prescale/metrics/external"
	"github.com/prescale/prescale/metrics/external/certificate"
)

const (
	serveTick  = time.Second
	serveTopic = "orders"
	namespace  = "ai"
)

// answer is what the external metrics API says of one metric of one policy.
type answer struct {
	value float64
	at    time.Time
}

// daemon is a running `prescale serve` and a client of its metrics API.
type daemon struct {
	t       *testing.T
	address string
	// web serves the page and /api/v1.
	web    string
	client metricsclient.ExternalMetricsClient
	config string
	// stop ends the daemon and waits for it.
	stop func()
}

// startDaemon runs `prescale serve` with its log in memory.
func startDaemon(t *testing.T, brokers []string, policies string) *daemon {
	t.Helper()
	return startDaemonWith(t, brokers, "memory", policies)
}

// startDaemonWith writes a configuration with the policies, runs `prescale serve` on it and stops it when the test ends.
func startDaemonWith(t *testing.T, brokers []string, log, policies string) *daemon {
	t.Helper()
	dir := t.TempDir()
	authority, err := certificate.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := authority.Issue([]string{"localhost", "127.0.0.1"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := write("tls.crt", certPEM), write("tls.key", keyPEM)
	address, web := freeAddress(t), freeAddress(t)
	configFile := write("prescale.yaml", fmt.Appendf(nil, `
log: %s
clusters: {main: {brokers: [%s]}}
metricsAPI: {listen: "%s", certFile: %q, keyFile: %q}
http: {listen: "%s"}
policies:
%s`, log, strings.Join(brokers, ", "), address, cert, key, web, policies))

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var said output.Buffer
	go func() { done <- run(ctx, []string{"serve", "--config", configFile}, &said, &said) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if t.Failed() {
			t.Logf("serve said:\n%s", said.String())
		}
	})
	t.Cleanup(stop)
	client, err := metricsclient.NewForConfig(&rest.Config{
		Host:            "https://" + address,
		TLSClientConfig: rest.TLSClientConfig{CAData: authority.CertPEM()},
		QPS:             -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &daemon{t: t, address: address, web: web, client: client, config: configFile, stop: stop}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// query asks once; no value is an answer of its own.
func (d *daemon) query(metric, policy string) ([]answer, error) {
	list, err := d.client.NamespacedMetrics(namespace).List(metric, labels.SelectorFromSet(labels.Set{"policy": policy}))
	if err != nil {
		return nil, err
	}
	var answers []answer
	for _, item := range list.Items {
		answers = append(answers, answer{item.Value.AsApproximateFloat64(), item.Timestamp.Time})
	}
	return answers, nil
}

// eventually polls until ok, for two minutes: the machine may be busy, and the test waits for an event and not for a time.
func eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		done, saw := ok()
		if done {
			return
		}
		last = saw
	}
	t.Fatalf("%s: not within two minutes; last: %s", what, last)
}

// wantValue polls until the metric has the value.
func (d *daemon) wantValue(metric, policy string, ok func(answer) bool) answer {
	d.t.Helper()
	var got answer
	eventually(d.t, metric+" of "+policy, func() (bool, string) {
		answers, err := d.query(metric, policy)
		if err != nil || len(answers) != 1 {
			return false, fmt.Sprintf("%v, %v", answers, err)
		}
		got = answers[0]
		return ok(got), fmt.Sprint(got)
	})
	return got
}

func equals(want float64) func(answer) bool { return func(a answer) bool { return a.value == want } }

func policyYAML(name, group string) string {
	return fmt.Sprintf(`
- metadata: {name: %s, namespace: %s}
  spec:
    kafka: {group: %s, topics: [%s], reset: earliest}
    objective: {lagSeconds: 30}
    replicas: {min: 1, max: 8}
    interval: %s
`, name, namespace, group, serveTopic, serveTick)
}

func TestServeAnswersExactLagOfARealBroker(t *testing.T) {
	cluster := kafka.ForTest(t, kafka.Options{})
	ctx := t.Context()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Bootstrap()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, serveTopic); err != nil {
		t.Fatal(err)
	}
	produce := func(partition int32, n int, at time.Time) {
		for range n {
			record := &kgo.Record{Topic: serveTopic, Partition: partition, Value: []byte("x"), Timestamp: at}
			if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
				t.Errorf("produce: %v", err)
			}
		}
	}
	commit := func(group string, offsets ...int64) {
		t.Helper()
		o := kadm.Offsets{}
		for partition, at := range offsets {
			o.AddOffset(serveTopic, int32(partition), at, -1)
		}
		if err := admin.CommitAllOffsets(ctx, group, o); err != nil {
			t.Fatal(err)
		}
	}

	// Known records and known commits: lag is 100-40 + 60-60 and 100-100 + 60-10.
	produce(0, 100, time.Now())
	produce(1, 60, time.Now())
	commit("first", 40, 60)
	commit("second", 100, 10)
	d := startDaemon(t, cluster.Bootstrap(), policyYAML("a", "first")+policyYAML("b", "second"))
	d.wantValue("prescale_kafka_lag_records", "a", equals(60))
	d.wantValue("prescale_kafka_lag_records", "b", equals(50))
	d.wantValue("prescale_desired_replicas", "a", func(a answer) bool { return a.value >= 1 && a.value <= 8 })

	// A metric that nobody knows and a policy that nobody made are empty answers, not errors.
	for _, q := range [][2]string{{"prescale_no_such_metric", "a"}, {"prescale_kafka_lag_records", "nobody"}} {
		if answers, err := d.query(q[0], q[1]); err != nil || len(answers) != 0 {
			t.Errorf("query %v: got %v, %v, want an empty list", q, answers, err)
		}
	}

	// Arrivals at a known rate: 10 records on each partition every half second, for as long as the reading takes.
	const chunk, chunksPerSecond = 10, 2
	total := [2]int{100, 60}
	timestamps := map[int]time.Time{} // of partition 0's records
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(time.Second / chunksPerSecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case now := <-ticker.C:
				for range chunk {
					timestamps[total[0]] = now
					produce(0, 1, now)
					produce(1, 1, now)
					total[0]++
					total[1]++
				}
			}
		}
	}()
	const wantRate = 2 * chunk * chunksPerSecond
	d.wantValue("prescale_kafka_arrival_records_per_second", "a", func(a answer) bool {
		// A tick may see one chunk more or less on each partition than its share.
		return math.Abs(a.value-wantRate) <= 2*chunk
	})
	time.Sleep(5 * serveTick) // Let a few samples with arrivals pass, to interpolate between.
	close(stop)
	<-stopped

	// Partition 0 is committed five chunks before its end, partition 1 at its end: the age of that record is the lag.
	behind := total[0] - 5*chunk
	commit("first", int64(behind), int64(total[1]))
	commit("second", int64(total[0]), int64(total[1]))
	d.wantValue("prescale_kafka_lag_records", "a", equals(5*chunk))
	d.wantValue("prescale_kafka_lag_records", "b", equals(0))
	d.wantValue("prescale_kafka_lag_seconds", "b", equals(0))
	lagSeconds := d.wantValue("prescale_kafka_lag_seconds", "a", func(a answer) bool { return a.value > 0 })
	want := lagSeconds.at.Sub(timestamps[behind]).Seconds()
	// The API's timestamps are whole seconds, so one more second of difference is the clock's and not the value's.
	if diff := math.Abs(lagSeconds.value - want); diff > serveTick.Seconds()+1 {
		t.Errorf("seconds behind: got %.2f, want %.2f within one sampling step of %v", lagSeconds.value, want, serveTick)
	}

	// A dead broker: soon every answer is an error that says stale, and never an old number.
	cluster.Kill(0)
	eventually(t, "stale after the broker died", func() (bool, string) {
		answers, err := d.query("prescale_kafka_lag_records", "a")
		if err == nil && time.Since(answers[0].at) > (3+2)*serveTick {
			t.Fatalf("an old number was answered: %v at %v", answers, time.Now())
		}
		cause, _ := external.CauseOf(err)
		return cause == external.CauseStale, fmt.Sprintf("%v, %v", answers, err)
	})
	if _, err := d.query("prescale_kafka_lag_records", "a"); !strings.Contains(err.Error(), "stale") {
		t.Errorf("the error does not say stale: %v", err)
	}
	if answers, err := d.query("prescale_no_such_metric", "a"); err != nil || len(answers) != 0 {
		t.Errorf("an unknown metric while stale: got %v, %v, want an empty list", answers, err)
	}
	if err := cluster.Restart(ctx, 0); err != nil {
		t.Fatal(err)
	}
	d.wantValue("prescale_kafka_lag_records", "a", equals(5*chunk))
}

func TestServeWithAnUnreachableBrokerSaysWhy(t *testing.T) {
	nobody := freeAddress(t)
	d := startDaemon(t, []string{nobody}, policyYAML("a", "first"))
	eventually(t, "not ready with the cause", func() (bool, string) {
		_, err := d.query("prescale_kafka_lag_records", "a")
		cause, _ := external.CauseOf(err)
		says := err != nil && strings.Contains(err.Error(), nobody) && strings.Contains(err.Error(), "refused")
		return cause == external.CauseNotReady && says, fmt.Sprint(err)
	})
}
