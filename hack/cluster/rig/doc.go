// Package rig runs a real Kubernetes on this machine, for tests and for trying things out, in seconds and without Docker.
//
// Up starts etcd, the API server, the controller manager, the scheduler and kwok, which plays nodes that nobody has (here:
// nodes with GPUs). Run as root with Debian's containerd it starts a real node beside them: kubelet, kube-proxy and containerd,
// which run real pods. All of it lives in namespaces of its own (mounts, processes, network), below one process; when that
// process ends, in whatever way, the kernel ends everything with it, and no route, mount or sysctl of the machine was changed.
//
// There is no cluster DNS: pods are told addresses, and HostIP is this machine as they see it. Images come from tar files
// (Import); nothing is pulled.
//
// The package imports the standard library only, so that "go run ./hack/cluster up" starts at once. Kubernetes itself is built
// once from Go modules (see the module in hack/cluster/kubernetes) and kept in the user's cache directory.
package rig
