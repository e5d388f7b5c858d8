package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// KubectlPath is the path of the cluster's kubectl.
func (c *Cluster) KubectlPath() string { return c.file("bin/kubectl") }

// Kubectl runs kubectl as the administrator and returns its output.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.kubectl(ctx, "", args...)
}

// Apply applies manifests in YAML.
func (c *Cluster) Apply(ctx context.Context, manifests string) error {
	_, err := c.kubectl(ctx, manifests, "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

func (c *Cluster) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.KubectlPath(), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w%s", strings.Join(args, " "), err, stderrOf(err))
	}
	return string(out), nil
}

// waitNodes waits until every node is ready, and the default service account there: without it no pod can be made.
func (c *Cluster) waitNodes(ctx context.Context) error {
	return c.poll(ctx, 200*time.Millisecond, func() error {
		out, err := c.Kubectl(ctx, "get", "nodes", "-o",
			`jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
		if err != nil {
			return err
		}
		if c.RealNode && !strings.Contains(out, NodeName+"=") {
			return fmt.Errorf("the node has not registered yet")
		}
		for line := range strings.Lines(out) {
			if !strings.HasSuffix(strings.TrimSpace(line), "=True") {
				return fmt.Errorf("nodes are not ready:\n%s", out)
			}
		}
		_, err = c.Kubectl(ctx, "get", "serviceaccount", "default", "-n", "default")
		return err
	})
}
