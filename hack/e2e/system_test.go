//go:build integration

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/cluster/rig"
	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/inference/event"
)

const (
	imageTag = "dev" // as in manifests/base
	// speed is how many seconds of the trace pass in one: fifty requests a second on average, and bursts of twice that.
	speed = 10
	// objective is the policy's in manifests/overlays/e2e.
	objective = 15 * time.Second
)

// Everything we ship, deployed as users deploy it and loaded with recorded traffic, while pods die, images roll and Kafka goes
// away. The parts are one test because they are one run: its picture and report are kept in artefacts/e2e.
func TestTheWholeSystem(t *testing.T) {
	c := realNode(t)
	names := importImages(t, c)
	broker := kafka.ForTest(t, kafka.Options{Host: c.HostIP})
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Bootstrap()...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.UnknownTopicRetries(-1)) // a topic just made is not known everywhere at once
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	createTopics(t, client)
	publishModel(t, client)
	deploy(t, c, broker.Bootstrap()[0], names)

	w, stopWatch := startWatch(t, c)
	defer func() {
		stopWatch()
		w.report(t, c)
	}()
	eventually(t, "the HPA's metric", func() error {
		_, err := w.metric(t.Context(), "prescale_desired_replicas")
		return err
	})
	t.Logf("policies:\n%s", kubectl(t, c, "get", "scalepolicies", "-A"))

	offsets := readTrace(t)
	load := &replay{client: client}
	ctx, stopLoad := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	defer func() { stopLoad(); loading.Wait() }()
	loading.Go(func() { load.play(ctx, offsets, 0, 58*time.Minute, speed) })
	w.note("load")

	since := func() time.Duration { return time.Since(w.began) }
	pass := t.Run("ScalesUpBeforeTheObjectiveIsMissed", func(t *testing.T) {
		began := since()
		eventually(t, "more than one ready replica", func() error { return atLeast(w, 2) })
		hold(t, 20*time.Second)
		samples, _ := w.between(began, since())
		if worst := highest(samples, func(s sample) float64 { return s.lagSeconds }); worst > objective.Seconds() {
			t.Errorf("the lag reached %.1f s, promised is %s", worst, objective)
		}
	}) && t.Run("RollsWithoutAFailedQuery", func(t *testing.T) {
		began := since()
		w.note("rolling update of both")
		kubectl(t, c, "rollout", "restart", "deployment/prescale", "-n", "prescale-system")
		kubectl(t, c, "rollout", "restart", "deployment/inference", "-n", "ai")
		kubectl(t, c, "rollout", "status", "deployment/prescale", "-n", "prescale-system", "--timeout=3m")
		kubectl(t, c, "rollout", "status", "deployment/inference", "-n", "ai", "--timeout=3m")
		w.note("rolled")
		hold(t, 5*time.Second)
		if _, refused := w.between(began, since()); len(refused) > 0 {
			t.Errorf("%d queries of the metric failed while Prescale rolled, the first %s after the start: %s", len(refused), refused[0].at-began, refused[0].text)
		}
	}) && t.Run("APodKilledChangesNothing", func(t *testing.T) {
		began := since()
		w.note("a Prescale pod and an inference pod are killed")
		kubectl(t, c, "delete", firstPod(t, c, "prescale-system", "prescale"), "-n", "prescale-system", "--grace-period=0", "--force")
		kubectl(t, c, "delete", firstPod(t, c, "ai", "inference"), "-n", "ai", "--grace-period=0", "--force")
		hold(t, 5*time.Second)
		kubectl(t, c, "rollout", "status", "deployment/prescale", "-n", "prescale-system", "--timeout=3m")
		eventually(t, "the HPA's metric again", func() error { _, err := w.metric(t.Context(), "prescale_desired_replicas"); return err })
		w.note("recovered after %s", (since() - began).Round(time.Second))
	}) && t.Run("KafkaStoppedNeverScalesDown", func(t *testing.T) {
		began := since()
		w.note("Kafka stops")
		if err := broker.Pause(0); err != nil {
			t.Fatal(err)
		}
		hold(t, 30*time.Second)
		samples, _ := w.between(began, since())
		if err := broker.Continue(0); err != nil {
			t.Fatal(err)
		}
		w.note("Kafka is back")
		checkNeverFewer(t, "while Kafka was stopped", samples)
		eventually(t, "the HPA's metric after Kafka's return", func() error { _, err := w.metric(t.Context(), "prescale_desired_replicas"); return err })
		eventually(t, "the lag to be within the objective again", func() error {
			if lag, err := w.metric(t.Context(), "prescale_kafka_lag_seconds"); err != nil || lag > objective.Seconds() {
				return fmt.Errorf("lag is %.1f s, %v", lag, err)
			}
			return nil
		})
		w.note("recovered")
	})
	stopLoad()
	loading.Wait()
	w.note("load ends")
	if !pass {
		return
	}
	t.Run("ScalesDownAndAnswersEveryRequestOnce", func(t *testing.T) {
		if err := client.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := load.failed.Load(); n > 0 {
			t.Fatalf("Kafka refused %d requests", n)
		}
		eventually(t, "every request to be committed", func() error { return drained(t.Context(), client) })
		checkExactlyOnce(t, load.sent.Load(), predictions(t, broker.Bootstrap()))
		eventually(t, "one replica", func() error {
			if got := replicas(t, c, "ai"); got != "1" {
				return fmt.Errorf("%s replicas", got)
			}
			return nil
		})
		w.note("one replica")
	})
}

// importImages builds the images that are there to be built and loads them into the node. It returns their names.
func importImages(t testing.TB, c *rig.Cluster) []string {
	t.Helper()
	var names []string
	for _, name := range []string{"prescale", "inference", "feedback"} {
		if _, err := os.Stat(filepath.Join("../../cmd", name, "main.go")); err == nil {
			names = append(names, name)
		}
	}
	fmt.Fprintf(os.Stderr, "e2e: building the images %s (minutes the first time)\n", strings.Join(names, ", "))
	began := time.Now()
	if out, err := exec.CommandContext(t.Context(), "../images.sh", append([]string{"-tag", imageTag}, names...)...).CombinedOutput(); err != nil {
		t.Fatalf("build the images: %v\n%s", err, out)
	}
	fmt.Fprintf(os.Stderr, "e2e: images built in %s\n", time.Since(began).Round(time.Second))
	for _, name := range names {
		tarball, err := filepath.Abs(filepath.Join("../../dist/images", name+".tar"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Import(t.Context(), tarball); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// deploy applies the overlay and waits until everything is ready.
func deploy(t testing.TB, c *rig.Cluster, broker string, images []string) {
	t.Helper()
	// The other tests' adapter hands over what it owns.
	for _, name := range []string{"v1beta1.external.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"} {
		kubectl(t, c, "delete", "apiservice", name, "--ignore-not-found")
	}
	host, port, err := net.SplitHostPort(broker)
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "apply", "--server-side", "-k", "../../manifests/crd")
	kubectl(t, c, "wait", "--for=condition=Established", "crd/scalepolicies.prescale.dev", "--timeout=1m")
	kubectl(t, c, "apply", "-k", "../../manifests/overlays/e2e")
	apply(t, c, fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kafka-bootstrap, namespace: kafka, labels: {kubernetes.io/service-name: kafka-bootstrap}}
addressType: IPv4
ports: [{name: kafka, port: %s, protocol: TCP}]
endpoints: [{addresses: [%s], conditions: {ready: true}}]
`, port, host))
	for _, name := range images {
		namespace := "ai"
		if name == "prescale" {
			namespace = "prescale-system"
		}
		if out, err := c.Kubectl(t.Context(), "rollout", "status", "deployment/"+name, "-n", namespace, "--timeout=3m"); err != nil {
			logs, _ := c.Kubectl(t.Context(), "logs", "deployment/"+name, "-n", namespace, "--tail=30")
			pods, _ := c.Kubectl(t.Context(), "describe", "pods", "-n", namespace, "-l", "app.kubernetes.io/name="+name)
			t.Fatalf("%v\n%s\nlogs:\n%s\n%s", err, out, logs, pods)
		}
	}
	for _, name := range []string{"v1beta1.external.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"} {
		kubectl(t, c, "wait", "--for=condition=Available", "apiservice/"+name, "--timeout=2m")
	}
}

// hold waits while the run goes on.
func hold(t testing.TB, span time.Duration) {
	t.Helper()
	select {
	case <-time.After(span):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// atLeast returns nil once the deployment has had n ready replicas.
func atLeast(w *watch, n float64) error {
	samples, _ := w.between(0, time.Since(w.began))
	if top := highest(samples, func(s sample) float64 { return s.ready }); top < n {
		return fmt.Errorf("at most %v were ready", top)
	}
	return nil
}

// firstPod returns the name of a running pod of a deployment, as kubectl takes it.
func firstPod(t testing.TB, c *rig.Cluster, namespace, name string) string {
	t.Helper()
	return "pod/" + kubectl(t, c, "get", "pods", "-n", namespace, "-l", "app.kubernetes.io/name="+name, "--field-selector=status.phase=Running", "-o", "jsonpath={.items[0].metadata.name}")
}

// drained returns nil once the inference group has committed everything.
func drained(ctx context.Context, client *kgo.Client) error {
	admin := kadm.NewClient(client)
	ends, err := admin.ListCommittedOffsets(ctx, event.TopicRequests)
	if err != nil {
		return err
	}
	committed, err := admin.FetchOffsets(ctx, "inference")
	if err != nil {
		return err
	}
	var left int64
	ends.Each(func(end kadm.ListedOffset) {
		at := int64(0)
		if o, ok := committed.Lookup(end.Topic, end.Partition); ok && o.At > 0 {
			at = o.At
		}
		left += max(0, end.Offset-at)
	})
	if left > 0 {
		return fmt.Errorf("%d requests are not committed", left)
	}
	return nil
}
