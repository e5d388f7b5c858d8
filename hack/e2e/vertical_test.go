//go:build integration

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/prescale/prescale/hack/cluster/rig"
)

// hotManifests are a consumer group of two real pods, one of which has a hot partition and is held back by its CPU limit. The
// policy may give it more in place.
const hotManifests = `
apiVersion: prescale.dev/v1alpha1
kind: ScalePolicy
metadata: {name: hot, namespace: hot}
spec:
  interval: 2s
  scaleTargetRef: {kind: StatefulSet, name: hot}
  kafka: {cluster: main, group: hot, topics: [hot]}
  objective: {lagSeconds: 15}
  replicas: {min: 2, max: 4}
  vertical: InPlace
  verticalMax: {cpu: 400m}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: hot, namespace: hot}
spec:
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: hot}}
  template:
    metadata: {labels: {app: hot}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: prescale.dev/burn:1
          imagePullPolicy: Never
          resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {cpu: 100m, memory: 32Mi}}
`

// hotStream: nine tenths of the records come to the first of four partitions, four times as many as its consumer can take.
var hotStream = stream{"hot", 4, func(_ int, partition int32) (arrive, consume int64) {
	if partition == 0 {
		return 40, 10
	}
	return 2, 10
}}

// startHot makes the pods and their policy; hotPartitionGrows looks at them later.
func startHot(t testing.TB, c *rig.Cluster) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "burn")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./burn")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build burn: %v\n%s", err, out)
	}
	if err := c.ImportProgram(t.Context(), "prescale.dev/burn:1", program); err != nil {
		t.Fatal(err)
	}
	apply(t, c, hotManifests)
}

// hotPartitionGrows: Prescale finds the hot partition, sees which pod is held back, and gives that one more CPU while it runs.
func (s *system) hotPartitionGrows(t *testing.T) {
	pod := func(name string) (*corev1.Pod, corev1.ContainerStatus, error) {
		p, err := s.watch.client.CoreV1().Pods("hot").Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && len(p.Status.ContainerStatuses) == 0 {
			err = fmt.Errorf("pod %s has not started", name)
		}
		if err != nil {
			return nil, corev1.ContainerStatus{}, err
		}
		return p, p.Status.ContainerStatuses[0], nil
	}
	var container corev1.ContainerStatus
	eventually(t, "more CPU for the pod of the hot partition", func() error {
		p, status, err := pod("hot-0")
		if err == nil && (status.Resources == nil || status.Resources.Limits.Cpu().MilliValue() <= 100) {
			policy, _ := s.cluster.Kubectl(t.Context(), "get", "scalepolicy", "hot", "-n", "hot", "-o", "jsonpath={.status}")
			err = fmt.Errorf("in force are %v\nspec: %v\npolicy: %s", status.Resources, p.Spec.Containers[0].Resources, policy)
		}
		container = status
		return err
	})
	s.watch.note("the pod of the hot partition has grown")
	cpu := container.Resources.Limits.Cpu().MilliValue()
	if container.RestartCount != 0 || cpu > 400 {
		t.Errorf("the container has %dm CPU and was started again %d times: want at most 400m and 0", cpu, container.RestartCount)
	}
	// What the kernel enforces, not what the API says.
	id := strings.TrimPrefix(container.ContainerID, "containerd://")
	quota, err := s.cluster.Exec(t.Context(), "sh", "-c", "cat $(find /sys/fs/cgroup -path '*"+id+"/cpu.cfs_quota_us' -o -path '*"+id+"/cpu.max')")
	if want := fmt.Sprint(cpu * 100); err != nil || strings.Fields(quota + " ?")[0] != want {
		t.Errorf("CPU quota: got %q, %v, want %s microseconds in 100 ms", quota, err, want)
	}
	if _, other, err := pod("hot-1"); err != nil || other.Resources == nil || other.Resources.Limits.Cpu().MilliValue() != 100 {
		t.Errorf("the pod that waits for nothing: got %v, %v, want 100m CPU as before", other.Resources, err)
	}
	// The recorder writes events soon, not at once.
	eventually(t, "the event", func() error {
		events, err := s.cluster.Kubectl(t.Context(), "get", "events", "-n", "hot", "--field-selector=reason=Resized", "-o", "jsonpath={.items[*].message}")
		if err == nil && !strings.Contains(events, "pod hot-0, container main: cpu from 50m to ") {
			err = fmt.Errorf("events are %q", events)
		}
		return err
	})
}
