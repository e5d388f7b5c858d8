package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Options says what to start. The zero Options is the cluster named "try": a real node where that is possible, and two nodes
// of eight GPUs each, played by kwok.
type Options struct {
	// Name tells clusters on one machine apart; lower-case letters, digits and dashes; "" means "try".
	Name string
	// GPUNodes is how many nodes kwok plays, each with eight nvidia.com/gpu; 0 means 2, -1 none.
	GPUNodes int
	// ControlPlaneOnly leaves the real node out even where it is possible.
	ControlPlaneOnly bool
	// Detached lets the cluster outlive this process, until Down. Otherwise it ends with this process, however that ends.
	Detached bool
	// Log receives a line for what is built, installed or started; nil means os.Stderr.
	Log io.Writer
}

// readyTimeout bounds how long a cluster may take to come up: ten seconds on a quiet machine, minutes on one that runs ten
// other things.
const readyTimeout = 5 * time.Minute

// Cluster is a running cluster. Its methods may be called from several goroutines, but Kill, Restart and Down from one at a
// time, and Down only once.
type Cluster struct {
	state
	bin     *binaries
	log     io.Writer
	started []*process
	leash   io.Closer
}

// state is what another process needs to stop the cluster, kept in the file state.json of Dir.
type state struct {
	// Name is the cluster's.
	Name string
	// Dir holds the cluster's certificates, data and logs; Down deletes it.
	Dir string
	// Kubeconfig is the path of the administrator's client configuration.
	Kubeconfig string
	// Server is the API server's address as this machine sees it.
	Server string
	// RealNode tells whether there is a node that runs real pods, named NodeName. Otherwise Without says why not.
	RealNode bool
	Without  string
	// HostIP is this machine's address as pods see it, and NodeIP the node's as this machine sees it; 127.0.0.1 without a
	// real node.
	HostIP, NodeIP string

	Owner     processID
	Holder    processID
	Processes []processID
}

// NodeName is the name of the real node.
const NodeName = "real"

// Up starts a cluster and returns once its nodes are ready. The caller must call Down. A cluster of that name that is still
// running is an error. What is left of clusters whose owner is dead is cleared first.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	if o.Name == "" {
		o.Name = "try"
	}
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`).MatchString(o.Name) {
		return nil, fmt.Errorf("cluster name %q: want at most 31 lower-case letters, digits and dashes", o.Name)
	}
	if o.GPUNodes == 0 {
		o.GPUNodes = 2
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	bin, err := build(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	sweep(o.Log)
	dir := directory(o.Name)
	if old, err := Find(o.Name); err == nil {
		if old.Owner.alive() || (old.Owner.PID == 0 && old.running()) {
			return nil, fmt.Errorf("cluster %s is running already (KUBECONFIG=%s): stop it first, or give this one another name",
				o.Name, old.Kubeconfig)
		}
		if err := old.Down(); err != nil {
			return nil, fmt.Errorf("clear what is left of an earlier cluster: %w", err)
		}
	}
	c := &Cluster{bin: bin, log: o.Log, state: state{Name: o.Name, Dir: dir, HostIP: "127.0.0.1", NodeIP: "127.0.0.1"}}
	if !o.Detached {
		c.Owner = identify(os.Getpid())
	}
	if o.ControlPlaneOnly {
		c.Without = "a control plane only was asked for"
	} else if err := prepareNode(ctx, o.Log); err != nil {
		c.Without = err.Error()
		fmt.Fprintf(o.Log, "cluster: control plane and kwok only: %v\n", err)
	} else {
		c.RealNode = true
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := c.up(ctx, o); err != nil {
		err = fmt.Errorf("start cluster %s: %w%s", o.Name, err, c.logTails())
		return nil, errors.Join(err, c.Down())
	}
	return c, nil
}

func (c *Cluster) up(ctx context.Context, o Options) error {
	began := time.Now()
	for _, sub := range []string{"logs", "pki", "etcd", "bin"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, sub), 0o700); err != nil {
			return err
		}
	}
	c.Kubeconfig = filepath.Join(c.Dir, "kubeconfig")
	if err := os.Symlink(c.bin.kubernetes, c.KubectlPath()); err != nil {
		return err
	}
	if c.RealNode {
		if err := c.enclose(ctx, o.Detached); err != nil {
			return fmt.Errorf("make the node's namespaces: %w", err)
		}
	}
	if err := c.startControlPlane(ctx, o.Detached); err != nil {
		return err
	}
	if c.RealNode {
		if err := c.startNode(ctx, o.Detached); err != nil {
			return err
		}
	}
	if o.GPUNodes > 0 {
		if err := c.startKwok(ctx, o.Detached, o.GPUNodes); err != nil {
			return err
		}
	}
	if err := c.waitNodes(ctx); err != nil {
		return err
	}
	what := "control plane"
	if c.RealNode {
		what += ", one real node"
	}
	fmt.Fprintf(c.log, "cluster: %s up in %.1f s: %s, %d kwok nodes\n", c.Name, time.Since(began).Seconds(), what, max(0, o.GPUNodes))
	return c.save()
}

// directory is where a cluster of that name keeps its state.
func directory(name string) string { return filepath.Join(os.TempDir(), "prescale-cluster-"+name) }

// Find returns the cluster of that name that an earlier Up left on this machine, running or not.
func Find(name string) (*Cluster, error) {
	content, err := os.ReadFile(filepath.Join(directory(name), "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no cluster %s on this machine (no %s)", name, directory(name))
	}
	if err != nil {
		return nil, fmt.Errorf("no cluster %s: %w", name, err)
	}
	c := &Cluster{log: os.Stderr}
	if err := json.Unmarshal(content, &c.state); err != nil {
		return nil, fmt.Errorf("read the state of cluster %s: %w", name, err)
	}
	return c, nil
}

// sweep clears what is left of clusters whose owner is dead: a test that was killed could not do it.
func sweep(log io.Writer) {
	states, _ := filepath.Glob(filepath.Join(directory("*"), "state.json"))
	for _, file := range states {
		c, err := Find(strings.TrimPrefix(filepath.Dir(file), directory("")))
		if err != nil || c.Owner.PID == 0 || c.Owner.alive() {
			continue
		}
		if err := c.Down(); err != nil {
			fmt.Fprintf(log, "cluster: clear what is left of cluster %s: %v\n", c.Name, err)
		}
	}
}

// save writes the state for another process's Down. It is called as soon as there is something to stop.
func (c *Cluster) save() error {
	content, err := json.MarshalIndent(c.state, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Dir, "state.json"), content, 0o600)
}

// running tells whether any of the cluster's processes still runs.
func (c *Cluster) running() bool {
	if c.Holder.alive() {
		return true
	}
	for _, p := range c.Processes {
		if p.alive() {
			return true
		}
	}
	return false
}

// Down stops everything and deletes the cluster's directory. What is left already is no error.
func (c *Cluster) Down() error {
	if c.leash != nil {
		c.leash.Close()
	}
	// The holder is the first process of a process namespace: with it the kernel ends all others in it.
	for _, p := range append([]processID{c.Holder}, c.Processes...) {
		p.signal(syscall.SIGKILL)
	}
	deadline := time.Now().Add(time.Minute)
	for c.running() {
		if time.Now().After(deadline) {
			return fmt.Errorf("processes of cluster %s do not end: %v", c.Name, append([]processID{c.Holder}, c.Processes...))
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, p := range c.started {
		<-p.done
	}
	return errors.Join(c.removeCgroups(), os.RemoveAll(c.Dir))
}

// Log returns the path of the log of one of the cluster's programs, such as "kube-apiserver" or "kubelet".
func (c *Cluster) Log(program string) string { return filepath.Join(c.Dir, "logs", program+".log") }

// logTails returns the ends of the logs, for an error message.
func (c *Cluster) logTails() string {
	var b strings.Builder
	logs, _ := filepath.Glob(filepath.Join(c.Dir, "logs", "*.log"))
	for _, log := range logs {
		if content, err := os.ReadFile(log); err == nil {
			fmt.Fprintf(&b, "\n%s:\n%s", filepath.Base(log), lastLines(content, 5))
		}
	}
	return b.String()
}
