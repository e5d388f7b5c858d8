//go:build integration

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

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

// waitReplicas waits until the deployment is asked for so many replicas, and all are ready.
func waitReplicas(t testing.TB, c *rig.Cluster, namespace string, want int32) {
	t.Helper()
	client := clientset(t, c)
	eventually(t, fmt.Sprintf("%d ready replicas in %s", want, namespace), func() error {
		d, err := client.AppsV1().Deployments(namespace).Get(t.Context(), "inference", metav1.GetOptions{})
		if err == nil && (*d.Spec.Replicas != want || d.Status.ReadyReplicas != want) {
			err = fmt.Errorf("asked for are %d, ready %d", *d.Spec.Replicas, d.Status.ReadyReplicas)
		}
		return err
	})
}

// scalingActive returns the condition of an HPA that says whether it has its metric.
func scalingActive(ctx context.Context, client kubernetes.Interface, namespace string) (autoscalingv2.HorizontalPodAutoscalerCondition, error) {
	h, err := client.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, "inference", metav1.GetOptions{})
	if err != nil {
		return autoscalingv2.HorizontalPodAutoscalerCondition{}, err
	}
	for _, condition := range h.Status.Conditions {
		if condition.Type == autoscalingv2.ScalingActive {
			return condition, nil
		}
	}
	return autoscalingv2.HorizontalPodAutoscalerCondition{}, fmt.Errorf("the HPA has no condition %s yet", autoscalingv2.ScalingActive)
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
	client := clientset(t, c)

	for _, outage := range []*external.UnavailableError{
		{Cause: external.CauseStale, Detail: "the newest observation of policy inference is 20 s old"},
		{Cause: external.CauseNotReady, Detail: "policy inference has no observation yet"},
	} {
		failures := failedMetricEvents(t, client, ns)
		source.fail(ns, "prescale_desired_replicas", outage)
		eventually(t, "the HPA to report the "+string(outage.Cause)+" metric", func() error {
			condition, err := scalingActive(t.Context(), client, ns)
			if err == nil && (condition.Status != "False" || !strings.Contains(condition.Message, outage.Detail)) {
				err = fmt.Errorf("condition ScalingActive is %v", condition)
			}
			return err
		})
		eventually(t, "three more failed rounds of the HPA", func() error {
			if now := failedMetricEvents(t, client, ns); now < failures+3 {
				return fmt.Errorf("%d failed rounds, %d before", now, failures)
			}
			return nil
		})
		d, err := client.AppsV1().Deployments(ns).Get(t.Context(), "inference", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if *d.Spec.Replicas != 6 {
			t.Errorf("%s: the HPA changed the replicas to %d, want 6 kept", outage.Cause, *d.Spec.Replicas)
		}
	}

	source.set(ns, "prescale_desired_replicas", value(2, "policy", "inference"))
	waitReplicas(t, c, ns, 2)
}

// failedMetricEvents counts how often the HPA controller said that it got no metric.
func failedMetricEvents(t testing.TB, client kubernetes.Interface, namespace string) int {
	t.Helper()
	events, err := client.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
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
	client := clientset(t, c)
	gpusFree(t, client)
	source.set(ns, "prescale_desired_replicas", value(10, "policy", "inference"))
	apply(t, c, gpuDeployment(ns, 2, 10))
	eventually(t, "eight running pods and two that wait", func() error {
		pods, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
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

// gpusFree waits until no pod is left on kwok's nodes: another test's namespace may be on its way out.
func gpusFree(t testing.TB, client kubernetes.Interface) {
	t.Helper()
	eventually(t, "the GPUs to be free", func() error {
		pods, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName!=" + rig.NodeName + ",spec.nodeName!="})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("held by %d pods, the first %s/%s", len(pods.Items), pods.Items[0].Namespace, pods.Items[0].Name)
		}
		return err
	})
}
