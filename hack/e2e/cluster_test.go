//go:build integration

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/prescale/prescale/hack/cluster/rig"
)

// waitTimeout bounds every wait for the cluster to do something: seconds on a quiet machine, and two minutes for a count that comes down to
// one after a load that ended at once, in steps that are held for 45 s each while the forecast forgets it.
const waitTimeout = 3 * time.Minute

var shared struct {
	once    sync.Once
	cluster *rig.Cluster
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Down(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the cluster:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// cluster returns the cluster of this package's tests, starting it for the first.
func cluster(t testing.TB) *rig.Cluster {
	t.Helper()
	shared.once.Do(func() {
		shared.cluster, shared.err = rig.Up(context.Background(), rig.Options{Name: fmt.Sprintf("e2e-%d", os.Getpid())})
	})
	if shared.err != nil {
		t.Fatalf("start the cluster: %v", shared.err)
	}
	return shared.cluster
}

// realNode skips a test that runs real pods where there is no node for them, or fails it when CI=true.
func realNode(t testing.TB) *rig.Cluster {
	t.Helper()
	c := cluster(t)
	if !c.RealNode {
		needs(t, &rig.MissingError{Reason: "there is no node that runs real pods", Remedy: c.Without})
	}
	return c
}

// needs skips the test for a missing part, or fails it when CI=true or err is another error.
func needs(t testing.TB, err error) {
	t.Helper()
	var missing *rig.MissingError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// namespace makes a namespace for a test and deletes it, without waiting, at the test's end.
func namespace(t testing.TB, c *rig.Cluster, name string) {
	t.Helper()
	kubectl(t, c, "create", "namespace", name)
	t.Cleanup(func() { _, _ = c.Kubectl(context.Background(), "delete", "namespace", name, "--wait=false") })
	// No pod can be made before its account is there.
	eventually(t, "the namespace's default account", func() error {
		_, err := c.Kubectl(t.Context(), "get", "serviceaccount", "default", "-n", name)
		return err
	})
}

// kubectl runs kubectl as the administrator.
func kubectl(t testing.TB, c *rig.Cluster, args ...string) string {
	t.Helper()
	out, err := c.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func apply(t testing.TB, c *rig.Cluster, manifests string) {
	t.Helper()
	if err := c.Apply(t.Context(), manifests); err != nil {
		t.Fatal(err)
	}
}

// restConfig returns the configuration of a client from a file, with no limit of its own on requests.
func restConfig(t testing.TB, kubeconfig string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	return config
}

// clientset returns a client of the administrator's. What is asked again and again is asked through it: each kubectl is a
// process that takes as much of the machine as half a second of the cluster's own work.
func clientset(t testing.TB, c *rig.Cluster) kubernetes.Interface {
	t.Helper()
	return kubernetes.NewForConfigOrDie(restConfig(t, c.Kubeconfig))
}

// eventually calls f until it returns nil, and fails the test when it does not in time.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(waitTimeout)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("waited %s for %s: %v", waitTimeout, what, err)
		}
		time.Sleep(250 * time.Millisecond)
	}
}
