package rig

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/prescale/prescale/hack/cache"
)

// Version is the Kubernetes that Up runs. It follows hack/cluster/kubernetes/go.mod.
const Version = "v1.36.3"

// recipe is part of the cache key: bump it when build changes what it leaves behind.
const recipe = "1"

// binaries are the programs of a cluster, built.
type binaries struct{ kubernetes, etcd, kwok, stages, pause string }

// Build makes the programs of a cluster where they are not in the cache, which takes minutes, so that Up does not.
func Build(ctx context.Context, log io.Writer) error {
	_, err := build(ctx, log)
	return err
}

// repository returns the directory of the main module's go.mod.
func repository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("ask go for the module: %w", err)
	}
	dir := filepath.Dir(strings.TrimSpace(string(out)))
	if _, err := os.Stat(filepath.Join(dir, "hack", "cluster", "kubernetes", "go.mod")); err != nil {
		return "", fmt.Errorf("run this inside the repository: %w", err)
	}
	return dir, nil
}

// build returns the programs from the cache, building them first where they are not there.
func build(ctx context.Context, log io.Writer) (*binaries, error) {
	root, err := repository(ctx)
	if err != nil {
		return nil, err
	}
	module := filepath.Join(root, "hack", "cluster", "kubernetes")
	hash := sha256.New()
	hash.Write([]byte(recipe))
	for _, name := range []string{"go.mod", "go.sum", "main.go", "pause/main.go"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return nil, err
		}
		hash.Write(content)
	}
	dir, unlock, err := cache.Lock("kubernetes", hash.Sum(nil))
	if err != nil {
		return nil, err
	}
	defer unlock()
	b := &binaries{
		kubernetes: filepath.Join(dir, "kubernetes"), etcd: filepath.Join(dir, "etcd"), kwok: filepath.Join(dir, "kwok"),
		stages: filepath.Join(dir, "stages.yaml"), pause: filepath.Join(dir, "pause"),
	}
	if _, err := os.Stat(b.stages); err == nil { // written last
		return b, nil
	}
	began := time.Now()
	fmt.Fprintf(log, "cluster: building Kubernetes %s, etcd and kwok from Go modules (once, 10 CPU-minutes) into %s\n", Version, dir)
	stamp := fmt.Sprintf("-X k8s.io/component-base/version.gitVersion=%s -X k8s.io/component-base/version.gitMajor=%s -X "+
		"k8s.io/component-base/version.gitMinor=%s",
		Version, strings.Split(Version, ".")[0][1:], strings.Split(Version, ".")[1])
	for _, step := range []struct{ out, pkg string }{
		{b.kubernetes, "."},
		{b.etcd, "go.etcd.io/etcd/server/v3"},
		{b.kwok, "sigs.k8s.io/kwok/cmd/kwok"},
		{b.pause, "./pause"},
	} {
		if err := goCommand(ctx, module, "build", "-trimpath", "-ldflags", "-s -w "+stamp, "-o", step.out, step.pkg); err != nil {
			return nil, err
		}
	}
	if err := writeStages(ctx, module, b); err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "cluster: built in %s\n", time.Since(began).Round(time.Second))
	return b, nil
}

// writeStages writes what kwok's nodes and pods do: kwok's own fast stages, from its module.
func writeStages(ctx context.Context, module string, b *binaries) error {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")
	list.Dir = module
	dir, err := list.Output()
	if err != nil {
		return fmt.Errorf("find kwok's module: %w", err)
	}
	stages, err := exec.CommandContext(ctx, b.kubernetes, "kubectl", "kustomize",
		filepath.Join(strings.TrimSpace(string(dir)), "kustomize", "stage", "fast")).Output()
	if err != nil {
		return fmt.Errorf("make kwok's stages: %w%s", err, stderrOf(err))
	}
	partial := b.stages + ".partial"
	if err := os.WriteFile(partial, stages, 0o644); err != nil {
		return err
	}
	return os.Rename(partial, b.stages)
}

// goCommand runs go in a module, without cgo.
func goCommand(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", args[0], dir, err, out)
	}
	return nil
}

// stderrOf returns what a failed command wrote to its standard error, ready to be appended to a message.
func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}
