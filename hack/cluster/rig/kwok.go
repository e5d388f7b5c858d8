package rig

import (
	"context"
	"fmt"
	"strings"
)

// startKwok starts kwok and makes its nodes, named gpu-0 and so on: each has eight GPUs that nobody has, the label
// prescale.dev/accelerator=nvidia and the taint nvidia.com/gpu. Pods bound to them become Running and Ready at once, and run nothing.
func (c *Cluster) startKwok(ctx context.Context, detached bool, nodes int) error {
	if _, err := c.start(detached, "kwok", c.bin.kwok,
		"--kubeconfig="+c.credential("kwok"),
		"--config="+c.bin.stages,
		"--manage-all-nodes=false",
		"--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
		"--node-lease-duration-seconds=40",
		"--cidr=10.245.0.0/24",
	); err != nil {
		return err
	}
	var manifest strings.Builder
	for i := range nodes {
		fmt.Fprintf(&manifest, `---
apiVersion: v1
kind: Node
metadata:
  name: gpu-%d
  labels:
    kubernetes.io/arch: amd64
    kubernetes.io/os: linux
    kubernetes.io/hostname: gpu-%[1]d
    prescale.dev/accelerator: nvidia
    nvidia.com/gpu.present: "true"
  annotations: {kwok.x-k8s.io/node: fake}
spec:
  taints: [{key: nvidia.com/gpu, value: present, effect: NoSchedule}]
status:
  allocatable: {cpu: "32", memory: 256Gi, pods: "110", nvidia.com/gpu: "8"}
  capacity: {cpu: "32", memory: 256Gi, pods: "110", nvidia.com/gpu: "8"}
`, i)
	}
	return c.Apply(ctx, manifest.String())
}
