package kube

import (
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"
)

// InCluster is the kubeconfig name that stands for the pod's own service account.
const InCluster = "in-cluster"

// Clients are the clients of one cluster.
type Clients struct {
	Config     *rest.Config
	Kubernetes kubernetes.Interface
	Dynamic    dynamic.Interface
	Aggregator aggregator.Interface
	Metrics    metrics.Interface

	reach *reach
}

// Connect makes the clients for a kubeconfig file, or for InCluster. It reads files and opens no connection.
func Connect(kubeconfig string) (Clients, error) {
	cfg, err := restConfig(kubeconfig)
	if err != nil {
		return Clients{}, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	cfg.UserAgent = rest.DefaultKubernetesUserAgent()
	// client-go's own 5 a second would hold up a tick, and with it the policies that changed, once 20 statuses a second have news,
	// and leave a look at what pods use time for 50 policies.
	cfg.QPS, cfg.Burst = 50, 100
	clients := Clients{Config: cfg, reach: &reach{}}
	cfg.Wrap(clients.reach.wrap)
	if clients.Kubernetes, err = kubernetes.NewForConfig(cfg); err != nil {
		return Clients{}, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	if clients.Dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		return Clients{}, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	if clients.Aggregator, err = aggregator.NewForConfig(cfg); err != nil {
		return Clients{}, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	if clients.Metrics, err = metrics.NewForConfig(cfg); err != nil {
		return Clients{}, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	return clients, nil
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == InCluster {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}
