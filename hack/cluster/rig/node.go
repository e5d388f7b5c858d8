package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// criSocket is containerd's, in the cluster's own /run.
const criSocket = "/run/containerd/containerd.sock"

// pauseImage holds the pods' namespaces.
const pauseImage = "prescale.dev/pause:1"

// startNode starts the parts of the real node: containerd, kubelet, kube-proxy.
func (c *Cluster) startNode(ctx context.Context, detached bool) error {
	if err := errors.Join(c.makeCgroups(), c.writeNodeConfig()); err != nil {
		return err
	}
	if _, err := c.start(detached, "containerd", "containerd", "--config", c.file("containerd.toml")); err != nil {
		return err
	}
	if err := c.kubernetes(detached, "kube-proxy", "--config="+c.file("kube-proxy.yaml")); err != nil {
		return err
	}
	if err := c.poll(ctx, 50*time.Millisecond, func() error {
		_, err := c.Exec(ctx, "ctr", "--address", criSocket, "version")
		return err
	}); err != nil {
		return fmt.Errorf("wait for containerd: %w", err)
	}
	if err := c.ImportProgram(ctx, pauseImage, c.bin.pause); err != nil {
		return err
	}
	return c.kubernetes(detached, "kubelet", "--config="+c.file("kubelet.yaml"), "--kubeconfig="+c.credential("node"),
		"--hostname-override="+NodeName, "--node-ip="+c.NodeIP, "--root-dir=/var/lib/kubelet",
		"--node-labels=prescale.dev/real=true")
}

// Import loads an image from a tar file into the real node's containerd.
func (c *Cluster) Import(ctx context.Context, tarball string) error {
	if !c.RealNode {
		return &MissingError{"there is no real node to run images", c.Without}
	}
	_, err := c.Exec(ctx, "ctr", "--address", criSocket, "--namespace", "k8s.io", "images", "import", tarball)
	return err
}

// ImportProgram loads one static program as an image of that name into the real node's containerd.
func (c *Cluster) ImportProgram(ctx context.Context, reference, program string) error {
	tarball := c.file(filepath.Base(program) + ".tar")
	if err := writeImage(tarball, reference, program); err != nil {
		return err
	}
	return c.Import(ctx, tarball)
}

// file is the path of a file in the cluster's directory.
func (c *Cluster) file(name string) string { return filepath.Join(c.Dir, name) }

func (c *Cluster) writeNodeConfig() error {
	write := func(name, format string, args ...any) error {
		path := c.file(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o644)
	}
	return errors.Join(
		// restrict_oom_score_adj: who is not the machine's own root may not lower a process's score.
		write("containerd.toml", `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`, criSocket, pauseImage, cniPlugins, c.file("cni")),
		// ptp gives each pod a routed link of its own: unlike a bridge it needs no br_netfilter module for services to work.
		// Pods reach this machine under the node's address (ipMasq), so that it needs no route to them.
		write("cni/10-prescale.conflist", `{
  "cniVersion": "0.4.0", "name": "prescale",
  "plugins": [{
    "type": "ptp", "ipMasq": true,
    "ipam": {"type": "host-local", "subnet": %q, "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
`, podCIDR),
		write("kubelet.yaml", `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %[2]s/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: %[2]s/kubelet.crt
tlsPrivateKeyFile: %[2]s/kubelet.key
containerRuntimeEndpoint: unix://%[3]s
cgroupDriver: cgroupfs
cgroupRoot: /%[4]s
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxPods: 60
resolvConf: ""
podLogsDir: /var/log/pods
volumePluginDir: /var/lib/kubelet/volume-plugins
healthzBindAddress: 127.0.0.1
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: 1%%, nodefs.inodesFree: 1%%, imagefs.available: 1%%}
`, c.NodeIP, filepath.Join(c.Dir, "pki"), criSocket, c.cgroup()),
		write("kube-proxy.yaml", `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: %s
clusterCIDR: %s
clientConnection: {kubeconfig: %s}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s, udpTimeout: 0s, udpStreamTimeout: 0s}
nftables: {minSyncPeriod: 200ms}
`, NodeName, podCIDR, c.credential("proxy")),
	)
}
