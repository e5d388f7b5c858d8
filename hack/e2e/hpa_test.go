//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/prescale/prescale/hack/cluster/rig"
	"github.com/prescale/prescale/metrics/external"
)

// gpuDeployment is a deployment whose pods want GPUs each, and an HPA of it that reads the desired replicas of a policy. Its
// pods run on kwok's nodes, which start them at once and run nothing.
func gpuDeployment(namespace string, gpus, maxReplicas int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: inference, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: inference}}
  template:
    metadata: {labels: {app: inference}}
    spec:
      nodeSelector: {prescale.dev/accelerator: nvidia}
      tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
      containers:
        - name: inference
          image: prescale/inference:none
          resources: {limits: {nvidia.com/gpu: "%[2]d"}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: inference, namespace: %[1]s}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: inference}
  minReplicas: 1
  maxReplicas: %[3]d
  metrics:
    - type: External
      external:
        metric: {name: prescale_desired_replicas, selector: {matchLabels: {policy: inference}}}
        target: {type: AverageValue, averageValue: "1"}
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
`, namespace, gpus, maxReplicas)
}

// replicas returns what the deployment is asked to have.
func replicas(t testing.TB, c *rig.Cluster, namespace string) string {
	t.Helper()
	return kubectl(t, c, "get", "deployment", "inference", "-n", namespace, "-o", "jsonpath={.spec.replicas}")
}

func waitReplicas(t testing.TB, c *rig.Cluster, namespace string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d ready replicas in %s", want, namespace), func() error {
		out, err := c.Kubectl(t.Context(), "get", "deployment", "inference", "-n", namespace, "-o", "jsonpath={.spec.replicas} {.status.readyReplicas}")
		if err == nil && out != fmt.Sprintf("%d %d", want, want) {
			err = fmt.Errorf("spec and ready replicas are %s", out)
		}
		return err
	})
}

// The real controller follows the desired replicas up and down, and keeps what it has as long as the metric is an error.
func TestHPAFollowsTheMetricAndKeepsReplicasWithoutOne(t *testing.T) {
	c := cluster(t)
	source := registered(t, c)
	const ns = "hpa"
	namespace(t, c, ns)
	source.set(ns, "prescale_desired_replicas", value(6, "policy", "inference"))
	apply(t, c, gpuDeployment(ns, 1, 10))
	waitReplicas(t, c, ns, 6)

	for _, outage := range []*external.UnavailableError{
		{Cause: external.CauseStale, Detail: "the newest observation of policy inference is 20 s old"},
		{Cause: external.CauseNotReady, Detail: "policy inference has no observation yet"},
	} {
		failures := failedMetricEvents(t, c, ns)
		source.fail(ns, "prescale_desired_replicas", outage)
		eventually(t, "the HPA to report the "+string(outage.Cause)+" metric", func() error {
			condition, err := c.Kubectl(t.Context(), "get", "hpa", "inference", "-n", ns, "-o", `jsonpath={.status.conditions[?(@.type=="ScalingActive")]}`)
			if err == nil && (!strings.Contains(condition, `"status":"False"`) || !strings.Contains(condition, outage.Detail)) {
				err = fmt.Errorf("condition ScalingActive is %s", condition)
			}
			return err
		})
		eventually(t, "three more failed rounds of the HPA", func() error {
			if now := failedMetricEvents(t, c, ns); now < failures+3 {
				return fmt.Errorf("%d failed rounds, %d before", now, failures)
			}
			return nil
		})
		if got := replicas(t, c, ns); got != "6" {
			t.Errorf("%s: the HPA changed the replicas to %s, want 6 kept", outage.Cause, got)
		}
	}

	source.set(ns, "prescale_desired_replicas", value(2, "policy", "inference"))
	waitReplicas(t, c, ns, 2)
}

// failedMetricEvents counts how often the HPA controller said that it got no metric.
func failedMetricEvents(t testing.TB, c *rig.Cluster, namespace string) int {
	t.Helper()
	events, err := clientset(t, c).CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, event := range events.Items {
		if event.Reason == "FailedGetExternalMetric" {
			n += int(event.Count)
		}
	}
	return n
}

// Two nodes of eight GPUs: pods that want two each land on them alone, and the ninth waits.
func TestGPUPool(t *testing.T) {
	c := cluster(t)
	source := registered(t, c)
	const ns = "gpu"
	namespace(t, c, ns)
	// Another test's pods hold some of the GPUs: this one has a namespace, but nodes are shared.
	eventually(t, "the GPUs to be free", func() error {
		out, err := c.Kubectl(t.Context(), "get", "pods", "-A", "--field-selector=spec.nodeName!=real,spec.nodeName!=", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			_, err = c.Kubectl(t.Context(), "delete", "namespace", "hpa", "--ignore-not-found", "--wait=false")
			if err == nil {
				err = fmt.Errorf("held by %s", out)
			}
		}
		return err
	})
	source.set(ns, "prescale_desired_replicas", value(10, "policy", "inference"))
	apply(t, c, gpuDeployment(ns, 2, 10))
	eventually(t, "eight running pods and two that wait", func() error {
		pods, err := clientset(t, c).CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		on, waiting := map[string]int{}, 0
		for _, pod := range pods.Items {
			switch {
			case pod.Status.Phase == "Running":
				on[pod.Spec.NodeName]++
			case len(pod.Status.Conditions) > 0 && strings.Contains(pod.Status.Conditions[0].Message, "Insufficient nvidia.com/gpu"):
				waiting++
			}
		}
		if on["gpu-0"] != 4 || on["gpu-1"] != 4 || len(on) != 2 || waiting != 2 {
			return fmt.Errorf("running by node: %v, waiting for GPUs: %d", on, waiting)
		}
		return nil
	})
	source.set(ns, "prescale_desired_replicas", value(1, "policy", "inference"))
	waitReplicas(t, c, ns, 1)
}
