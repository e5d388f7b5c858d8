//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/prescale/prescale/hack/cluster/rig"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// poolManifests are one consumer group on two pools: pods that want a GPU each, on nodes of eight that kwok plays, and pods on
// the real node. Ten replicas are wanted whatever arrives, and the GPU pool is the cheaper one a record.
const poolManifests = `
apiVersion: v1
kind: Namespace
metadata: {name: pools}
---
apiVersion: prescale.dev/v1alpha1
kind: ScalePolicy
metadata: {name: captions, namespace: pools}
spec:
  interval: 2s
  leadTime: {initial: 5s}
  kafka: {cluster: main, group: captions, topics: [captions]}
  objective: {lagSeconds: 30}
  replicas: {min: 10, max: 20}
  pools:
    - {name: gpu, max: 10, price: 1, scaleTargetRef: {kind: Deployment, name: captions-gpu}}
    - {name: cpu, max: 10, price: 3, scaleTargetRef: {kind: Deployment, name: captions-cpu}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: captions-gpu, namespace: pools}
spec:
  selector: {matchLabels: {app: captions-gpu}}
  template:
    metadata: {labels: {app: captions-gpu}}
    spec:
      nodeSelector: {prescale.dev/pool: captions}
      tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
      containers: [{name: main, image: prescale/inference:none, resources: {limits: {nvidia.com/gpu: "1"}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: captions-cpu, namespace: pools}
spec:
  selector: {matchLabels: {app: captions-cpu}}
  template:
    metadata: {labels: {app: captions-cpu}}
    spec:
      nodeSelector: {prescale.dev/real: "true"}
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "prescale.dev/pause:1", imagePullPolicy: Never}]
`

// refusedManifests are a policy whose replicas a quota refuses: one of three pods is made, of the others the Deployment alone tells.
const refusedManifests = `
apiVersion: v1
kind: Namespace
metadata: {name: refused}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: few, namespace: refused}
spec: {hard: {pods: "1"}}
---
apiVersion: prescale.dev/v1alpha1
kind: ScalePolicy
metadata: {name: captions, namespace: refused}
spec:
  interval: 2s
  kafka: {cluster: main, group: captions, topics: [captions]}
  objective: {lagSeconds: 30}
  replicas: {min: 3, max: 20}
  scaleTargetRef: {kind: Deployment, name: captions}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: captions, namespace: refused}
spec:
  replicas: 3
  selector: {matchLabels: {app: captions}}
  template:
    metadata: {labels: {app: captions}}
    spec:
      nodeSelector: {prescale.dev/real: "true"}
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "prescale.dev/pause:1", imagePullPolicy: Never}]
`

// poolHPA is the HPA of one pool, as in manifests/examples/pools.yaml.
func poolHPA(pool string) string {
	return fmt.Sprintf(`---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: captions-%[1]s, namespace: pools}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: captions-%[1]s}
  minReplicas: 1
  maxReplicas: 10
  metrics:
    - type: External
      external:
        metric: {name: prescale_desired_replicas, selector: {matchLabels: {policy: captions, pool: %[1]s}}}
        target: {type: AverageValue, averageValue: "1"}
  behavior:
    scaleUp: {stabilizationWindowSeconds: 0, tolerance: "0"}
    scaleDown: {stabilizationWindowSeconds: 0, tolerance: "0"}
`, pool)
}

// poolNode lets a node take pods of the GPU pool.
func poolNode(t testing.TB, c *rig.Cluster, node string) {
	t.Helper()
	kubectl(t, c, "label", "node", node, "prescale.dev/pool=captions", "--overwrite")
}

// poolStream teaches what a replica can do in its first seconds, and then leaves ten replicas more than enough to do.
var poolStream = stream{"captions", 20, func(second int, _ int32) (arrive, consume int64) {
	if second < 20 {
		return 6, 6
	}
	return 1, 6
}}

// startPools makes the two pools and their policy; poolsOverflow looks at them later.
func startPools(t testing.TB, c *rig.Cluster) {
	t.Helper()
	gpusFree(t, clientset(t, c))
	poolNode(t, c, "gpu-0")
	apply(t, c, poolManifests+poolHPA("gpu")+poolHPA("cpu")+"---"+refusedManifests)
}

// poolsOverflow: on a node of eight GPUs the ninth and tenth pod wait, the policy says so, and the CPU pool takes their place;
// with another node they run, and the CPU pool is not needed any more.
func (s *system) poolsOverflow(t *testing.T) {
	c := s.cluster
	poolIs := func(want string) func() error {
		return func() error {
			got, err := poolState(t, s.watch.client)
			if err == nil && got != want {
				err = fmt.Errorf("got  %s\nwant %s", got, want)
			}
			return err
		}
	}
	// The GPU pool goes on asking for ten: that is what would have a node added.
	eventually(t, "the overflow of the full GPU pool", poolIs("gpu: asked for 10, 8 on gpu-0, 2 wait for a GPU; cpu: asked for 2, 2 on real; "+
		"policy: gpu wants 10, pending 2; cpu wants 2, pending 0; verdicts Unschedulable true"))
	s.watch.note("the GPU pool is full, the CPU pool has its overflow")
	t.Logf("policies:\n%s", kubectl(t, c, "get", "scalepolicies", "-n", "pools"))
	poolNode(t, c, "gpu-1")
	// One replica is what an HPA keeps at least.
	eventually(t, "the pool's pods on the new node", poolIs("gpu: asked for 10, 8 on gpu-0, 2 on gpu-1, 0 wait for a GPU; cpu: asked for 1, 1 on real; "+
		"policy: gpu wants 10, pending 0; cpu wants 0, pending 0; verdicts Unschedulable false"))
	s.watch.note("a second node has room")
	eventually(t, "the policy to say what a quota refuses", func() error {
		p, err := policyOf(t, s.watch.client, "refused", "captions")
		if err != nil {
			return err
		}
		ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
		if pending := p.Status.PendingReplicas; ready == nil || !strings.Contains(ready.Message, "Deployment captions: 2 of 3 replicas are not made: ") ||
			!strings.Contains(ready.Message, "exceeded quota: few") || pending == nil || *pending != 2 || !slices.Contains(p.Status.Verdicts, "Unschedulable") {
			return fmt.Errorf("its status is %+v", p.Status)
		}
		return nil
	})
}

// policyOf returns a policy as the cluster has it.
func policyOf(t testing.TB, client kubernetes.Interface, namespace, name string) (policy v1alpha1.ScalePolicy, err error) {
	raw, err := client.AppsV1().RESTClient().Get().AbsPath("/apis/prescale.dev/v1alpha1/namespaces/" + namespace + "/scalepolicies/" + name).DoRaw(t.Context())
	if err == nil {
		err = json.Unmarshal(raw, &policy)
	}
	return policy, err
}

// poolState says in a line what both pools and their policy are like.
func poolState(t testing.TB, client kubernetes.Interface) (string, error) {
	var parts []string
	for _, pool := range []string{"gpu", "cpu"} {
		d, err := client.AppsV1().Deployments("pools").Get(t.Context(), "captions-"+pool, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		pods, err := client.CoreV1().Pods("pools").List(t.Context(), metav1.ListOptions{LabelSelector: "app=captions-" + pool})
		if err != nil {
			return "", err
		}
		on, waiting := map[string]int{}, 0
		for _, pod := range pods.Items {
			switch {
			case pod.DeletionTimestamp != nil:
			case pod.Status.Phase == corev1.PodRunning:
				on[pod.Spec.NodeName]++
			case slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, "Insufficient nvidia.com/gpu")
			}):
				waiting++
			}
		}
		part := fmt.Sprintf("%s: asked for %d", pool, *d.Spec.Replicas)
		for _, node := range []string{"gpu-0", "gpu-1", rig.NodeName} {
			if on[node] > 0 {
				part += fmt.Sprintf(", %d on %s", on[node], node)
			}
		}
		if pool == "gpu" {
			part += fmt.Sprintf(", %d wait for a GPU", waiting)
		}
		parts = append(parts, part)
	}
	policy, err := policyOf(t, client, "pools", "captions")
	if err != nil {
		return "", err
	}
	said := "policy: "
	for _, p := range policy.Status.Pools {
		number := func(n *int32) string {
			if n == nil {
				return "?"
			}
			return fmt.Sprint(*n)
		}
		pending := int32(0)
		if p.PendingReplicas != nil {
			pending = *p.PendingReplicas
		}
		said += fmt.Sprintf("%s wants %s, pending %d; ", p.Name, number(p.DesiredReplicas), pending)
	}
	said += fmt.Sprintf("verdicts Unschedulable %t", slices.Contains(policy.Status.Verdicts, "Unschedulable"))
	return strings.Join(append(parts, said), "; "), nil
}
