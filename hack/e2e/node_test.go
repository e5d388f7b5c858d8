//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// A pod of the real node gets more CPU and memory in place: the same container, not started again.
func TestInPlaceResizeOnTheRealNode(t *testing.T) {
	c := realNode(t)
	const ns = "resize"
	namespace(t, c, ns)
	apply(t, c, `
apiVersion: v1
kind: Pod
metadata: {name: hot, namespace: resize}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: prescale.dev/pause:1
      imagePullPolicy: Never
      resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}, {resourceName: memory, restartPolicy: NotRequired}]
      resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {cpu: 100m, memory: 32Mi}}
`)
	status := func(path string) string {
		t.Helper()
		return kubectl(t, c, "get", "pod", "hot", "-n", ns, "-o", "jsonpath="+path)
	}
	eventually(t, "the pod to run", func() error {
		if phase := status("{.status.phase}"); phase != "Running" {
			return fmt.Errorf("phase is %s", phase)
		}
		return nil
	})
	container := status("{.status.containerStatuses[0].containerID}")
	kubectl(t, c, "patch", "pod", "hot", "-n", ns, "--subresource=resize", "--patch",
		`{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"150m","memory":"48Mi"},"limits":{"cpu":"200m","memory":"48Mi"}}}]}}`)
	eventually(t, "the limits in force", func() error {
		if got := status("{.status.containerStatuses[0].resources.limits.cpu} {.status.containerStatuses[0].resources.limits.memory}"); got != "200m 48Mi" {
			return fmt.Errorf("limits in force are %q", got)
		}
		return nil
	})
	if got := status("{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}"); got != container+" 0" {
		t.Errorf("container and restarts: got %s, want %s 0", got, container)
	}
	// What the kernel enforces, not what the API says: 200m is 20 ms of each period of 100 ms.
	quota, err := c.Exec(t.Context(), "sh", "-c", "cat $(find /sys/fs/cgroup -path '*"+strings.TrimPrefix(container, "containerd://")+"/cpu.cfs_quota_us' -o -path '*"+strings.TrimPrefix(container, "containerd://")+"/cpu.max')")
	if err != nil || !strings.HasPrefix(quota, "20000") {
		t.Errorf("CPU quota: got %q, %v, want 20000 microseconds a period", quota, err)
	}
}
