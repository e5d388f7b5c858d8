//go:build integration

package e2e

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/prescale/prescale/hack/cluster/rig"
	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/scaler/v1alpha1"
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
	defer serveUsage(t, c)()
	defer poolStream.play(t, broker.Bootstrap())()
	defer hotStream.play(t, broker.Bootstrap())()
	startPools(t, c)
	startHot(t, c)

	w, stopWatch := startWatch(t, c, client)
	defer func() {
		stopWatch()
		w.report(t, c)
	}()
	eventually(t, "the HPA's metric", func() error {
		_, err := w.metric(t.Context(), "prescale_desired_replicas")
		return err
	})
	t.Logf("policies:\n%s", kubectl(t, c, "get", "scalepolicies", "-A"))

	s := &system{cluster: c, broker: broker, client: client, watch: w, load: &replay{client: client}}
	offsets := readTrace(t)
	ctx, stopLoad := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	defer func() { stopLoad(); loading.Wait() }()
	loading.Go(func() { s.load.play(ctx, offsets, 0, 58*time.Minute, speed) })
	w.note("load")

	pass := true
	for _, part := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"ScalesUpBeforeTheObjectiveIsMissed", s.scalesUp},
		{"RollsWithoutAFailedQuery", s.rolls},
		{"TheOwnerIsKilled", s.ownerKilled},
		{"TheAPIServerIsKilled", s.apiServerKilled},
		{"AFullPoolOverflows", s.poolsOverflow},
		{"TheHotPartitionsPodGrowsInPlace", s.hotPartitionGrows},
		{"KafkaStoppedNeverScalesDown", s.kafkaStopped},
	} {
		// Each part begins where the one before left the system: after a failure nothing more is learned.
		if pass = t.Run(part.name, func(t *testing.T) { w.explain(t); part.run(t) }); !pass {
			break
		}
	}
	stopLoad()
	loading.Wait()
	w.note("load ends")
	if pass {
		t.Run("ScalesDownAndAnswersEveryRequestOnce", func(t *testing.T) { w.explain(t); s.scalesDown(t) })
	}
	w.checkAnswers(t)
	w.checkDecreases(t)
}

var apiServerAway = flag.Duration("e2e.apiserver", 10*time.Second, "how long the API server is away")

// system is everything that the parts of the test share.
type system struct {
	cluster *rig.Cluster
	broker  *kafka.Cluster
	client  *kgo.Client
	watch   *watch
	load    *replay
}

func (s *system) since() time.Duration { return time.Since(s.watch.began) }

// checkLag fails the test if the lag since a moment was ever beyond what the policy promises.
func (s *system) checkLag(t testing.TB, from time.Duration) {
	t.Helper()
	samples, _ := s.watch.between(from, s.since())
	if worst := highest(samples, func(s sample) float64 { return s.lagSeconds }); worst > objective.Seconds() {
		t.Errorf("the lag reached %.1f s, promised is %s", worst, objective)
	}
}

func (s *system) scalesUp(t *testing.T) {
	began := s.since()
	eventually(t, "more than one ready replica", func() error { return atLeast(s.watch, 2) })
	hold(t, 20*time.Second)
	s.checkLag(t, began)
}

// rolls replaces every pod of Prescale, and gives inference an image of another name, as a deployment of users does. No query of the
// metric fails meanwhile, and no call of inference's clients, who keep their connections.
func (s *system) rolls(t *testing.T) {
	began := s.since()
	stopCalls := startCalls(t, s.cluster)
	if _, err := s.cluster.Exec(t.Context(), "ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", "images", "tag",
		"docker.io/prescale/inference:"+imageTag, "docker.io/prescale/inference:next"); err != nil {
		t.Fatal(err)
	}
	s.watch.note("rolling update of both")
	kubectl(t, s.cluster, "rollout", "restart", "deployment/prescale", "-n", "prescale-system")
	kubectl(t, s.cluster, "set", "image", "deployment/inference", "inference=prescale/inference:next", "-n", "ai")
	s.rolledOut(t, "prescale-system", "prescale")
	s.rolledOut(t, "ai", "inference")
	s.watch.note("rolled")
	hold(t, 5*time.Second)
	stopCalls()
	if _, refused := s.watch.between(began, s.since()); len(refused) > 0 {
		t.Errorf("%d queries of the metric failed while Prescale rolled, the first %s after the start: %s", len(refused), refused[0].asked-began, refused[0].problem)
	}
	s.checkLag(t, began)
}

func (s *system) rolledOut(t testing.TB, namespace, name string) {
	t.Helper()
	kubectl(t, s.cluster, "rollout", "status", "deployment/"+name, "-n", namespace, "--timeout=3m")
}

// ownerKilled kills the pod of Prescale that decides for the policy, and one of inference: another must take over where it left
// off.
func (s *system) ownerKilled(t *testing.T) {
	owner := func() (string, error) {
		decisions, err := s.watch.decisions(t.Context())
		if err != nil || len(decisions) == 0 {
			return "", fmt.Errorf("%d decisions: %w", len(decisions), err)
		}
		return decisions[len(decisions)-1].writer, nil
	}
	before, err := owner()
	if err != nil {
		t.Fatal(err)
	}
	// A writer is a pod's name and a process id.
	pod := before[:max(0, strings.LastIndex(before, "-"))]
	s.watch.note("the Prescale pod that decides and an inference pod are killed")
	kubectl(t, s.cluster, "delete", "pod", pod, "-n", "prescale-system", "--grace-period=0", "--force")
	kubectl(t, s.cluster, "delete", firstPod(t, s.cluster, "ai", "inference"), "-n", "ai", "--grace-period=0", "--force")
	eventually(t, "another pod to decide", func() error {
		after, err := owner()
		if err == nil && after == before {
			err = fmt.Errorf("the latest decision is still one of %s", before)
		}
		return err
	})
	s.watch.note("another decides")
	s.rolledOut(t, "prescale-system", "prescale")
	s.rolledOut(t, "ai", "inference")
	s.recovered(t)
}

// apiServerKilled kills the API server for a while: nobody can scale then, and nothing of what was known may be taken for gone when it is
// back. No daemon restarts, nothing is decided twice, and the policy's status catches up.
func (s *system) apiServerKilled(t *testing.T) {
	daemons := func() (string, error) {
		pods, err := s.watch.client.CoreV1().Pods("prescale-system").List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=prescale"})
		if err != nil {
			return "", err
		}
		var all []string
		for _, pod := range pods.Items {
			for _, c := range pod.Status.ContainerStatuses {
				all = append(all, fmt.Sprintf("%s restarted %d times", pod.Name, c.RestartCount))
			}
		}
		slices.Sort(all)
		return strings.Join(all, ", "), nil
	}
	before, err := daemons()
	if err != nil {
		t.Fatal(err)
	}
	s.watch.note("the API server is killed")
	if err := s.cluster.Kill("kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	gone := s.since()
	hold(t, *apiServerAway)
	back := s.since()
	if err := s.cluster.Restart(t.Context(), "kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	s.watch.note("the API server is back")
	s.recovered(t)
	eventually(t, "the HPA to read its metric again", func() error {
		condition, err := scalingActive(t.Context(), s.watch.client, "ai")
		if err == nil && condition.Status != "True" {
			err = fmt.Errorf("condition ScalingActive is %v", condition)
		}
		return err
	})
	eventually(t, "all pods of before to be ready", func() error {
		d, err := s.watch.client.AppsV1().Deployments("ai").Get(t.Context(), "inference", metav1.GetOptions{})
		if err == nil && d.Status.ReadyReplicas < *d.Spec.Replicas {
			err = fmt.Errorf("%d of %d are", d.Status.ReadyReplicas, *d.Spec.Replicas)
		}
		return err
	})
	eventually(t, "the policy's status to catch up", func() error {
		p, err := policyOf(t, s.watch.client, "ai", "inference")
		if err == nil && (p.Status.DecidedAt == nil || p.Status.DecidedAt.Time.Before(s.watch.began.Add(back)) || !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady)) {
			err = fmt.Errorf("it is %+v", p.Status)
		}
		return err
	})
	if after, err := daemons(); err != nil || after != before {
		t.Errorf("daemons: %s before, %s after (%v)", before, after, err)
	}
	decisions, err := s.watch.decisions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	without := 0
	for i, d := range decisions {
		if i > 0 && d.at <= decisions[i-1].at {
			t.Errorf("decided twice: %s after %s", d.text, decisions[i-1].text)
		}
		if d.at < gone {
			continue
		}
		if d.usable && d.at < back {
			without++
		}
		if d.usable && d.decision.CurrentReplicas.Or(0) < 1 {
			t.Errorf("Prescale took the pods for gone: %s", d.text)
		}
	}
	if without == 0 {
		t.Error("Prescale decided nothing while the API server was away: it needs it for nothing that Kafka tells")
	}
}

// recovered waits until the metric is there and the lag within the objective.
func (s *system) recovered(t testing.TB) {
	t.Helper()
	eventually(t, "the HPA's metric again", func() error { _, err := s.watch.metric(t.Context(), "prescale_desired_replicas"); return err })
	eventually(t, "the lag to be within the objective again", func() error {
		lag, err := s.watch.metric(t.Context(), "prescale_kafka_lag_seconds")
		if err == nil && lag > objective.Seconds() {
			err = fmt.Errorf("lag is %.1f s", lag)
		}
		return err
	})
	s.watch.note("recovered")
}

func (s *system) kafkaStopped(t *testing.T) {
	s.watch.note("Kafka stops")
	if err := s.broker.Pause(0); err != nil {
		t.Fatal(err)
	}
	stopped := outage{from: s.since()}
	hold(t, 30*time.Second)
	stopped.to = s.since()
	if err := s.broker.Continue(0); err != nil {
		t.Fatal(err)
	}
	s.watch.note("Kafka is back")
	s.recovered(t)
	s.watch.checkOutage(t, stopped)
}

func (s *system) scalesDown(t *testing.T) {
	if err := s.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.load.failed.Load(); n > 0 {
		t.Fatalf("Kafka refused %d requests", n)
	}
	eventually(t, "every request to be committed", func() error { return drained(t.Context(), s.client) })
	checkExactlyOnce(t, s.load.sent.Load(), predictions(t, s.broker.Bootstrap()))
	waitReplicas(t, s.cluster, "ai", 1)
	s.watch.note("one replica")
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
