package rig

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// private are the directories of which the cluster has its own; the machine's are hidden from it and stay as they are.
var private = []string{"/run", "/var/lib", "/var/log"}

// guarded are the kernel settings that a kubelet writes. Files of our own lie over them.
var guarded = []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
	"kernel/keys/root_maxbytes"}

// enclose starts the holder: the first process of new mount, process and network namespaces, which everything else joins. It
// does nothing but wait; when it ends, the kernel ends all others. Without detached it ends when this process does, because
// its standard input then does.
func (c *Cluster) enclose(ctx context.Context, detached bool) error {
	var script strings.Builder
	script.WriteString("set -eu\nmount --make-rprivate /\nmount -t proc proc /proc\n")
	for _, setting := range guarded {
		value, err := os.ReadFile("/proc/sys/" + setting)
		if err != nil {
			continue // a kernel without it
		}
		file := filepath.Join(c.Dir, "sys", strings.ReplaceAll(setting, "/", "."))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, value, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&script, "mount --bind %s /proc/sys/%s\n", file, setting)
	}
	for _, dir := range private {
		if strings.HasPrefix(c.Dir, dir+"/") || strings.HasPrefix(c.bin.etcd, dir+"/") {
			return fmt.Errorf("neither the temporary nor the cache directory may lie in %s: set TMPDIR or XDG_CACHE_HOME", dir)
		}
		own := filepath.Join(c.Dir, "root", dir)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		fmt.Fprintf(&script, "mount --bind %s %s\n", own, dir)
	}
	ready := filepath.Join(c.Dir, "enclosed")
	fmt.Fprintf(&script, "mkdir -p /run/containerd /run/lock\nip link set lo up\necho 1 >/proc/sys/net/ipv4/ip_forward\ntouch %s\n", ready)
	if detached {
		script.WriteString("sleep infinity\n")
	} else {
		script.WriteString("cat >/dev/null\n")
	}

	out, err := os.Create(c.Log("holder"))
	if err != nil {
		return err
	}
	defer out.Close()
	// Not the last command of the shell, lest it replace the shell: the shell reaps orphans, sleep and cat do not.
	cmd := exec.Command("/bin/sh", "-c", script.String()+"exit 0\n")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PATH="+sbinPath())
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET}
	if !detached {
		if c.leash, err = cmd.StdinPipe(); err != nil {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{name: "holder", done: make(chan struct{})}
	c.started = append(c.started, p)
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	c.Holder = identify(cmd.Process.Pid)
	if err := c.save(); err != nil {
		return err
	}
	if err := c.poll(ctx, 10*time.Millisecond, func() error { _, err := os.Stat(ready); return err }); err != nil {
		return err
	}
	return c.connect(ctx)
}

// connect joins the network namespace to this machine by a pair of virtual devices, the node's only network. It vanishes with
// the namespace.
func (c *Cluster) connect(ctx context.Context) error {
	subnet, err := freeSubnet(c.Name)
	if err != nil {
		return err
	}
	c.HostIP, c.NodeIP = subnet+".1", subnet+".2"
	// Device names have at most 15 characters; the subnet makes this one unique.
	host := "prescale" + strings.Split(subnet, ".")[2]
	run := func(argv ...string) error {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
		}
		return nil
	}
	inside := func(argv ...string) error { return run(append(c.enter(), argv...)...) }
	return errors.Join(
		run("ip", "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(c.Holder.PID)),
		run("ip", "address", "add", c.HostIP+"/24", "dev", host),
		run("ip", "link", "set", host, "up"),
		inside("ip", "address", "add", c.NodeIP+"/24", "dev", "eth0"),
		inside("ip", "link", "set", "eth0", "up"),
		inside("ip", "route", "add", "default", "via", c.HostIP),
	)
}

// freeSubnet returns the first three numbers of a private /24 that no device of this machine uses.
func freeSubnet(name string) (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	hash := fnv.New32()
	hash.Write([]byte(name))
	for i := range uint32(256) {
		subnet := fmt.Sprintf("10.214.%d", (hash.Sum32()+i)%256)
		if !slices.ContainsFunc(addresses, func(a net.Addr) bool { return strings.HasPrefix(a.String(), subnet+".") }) {
			return subnet, nil
		}
	}
	return "", errors.New("every subnet of 10.214.0.0/16 is in use")
}

// cgroup is the name of the cluster's own control group: kubelet keeps all pods' groups below it.
func (c *Cluster) cgroup() string { return "prescale-cluster-" + c.Name }

// cgroupRoots returns the mounted control group hierarchies: one for version 2, several for version 1.
func cgroupRoots() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	roots, _ := filepath.Glob("/sys/fs/cgroup/*")
	return roots
}

// makeCgroups makes the cluster's group in every hierarchy.
func (c *Cluster) makeCgroups() error {
	for _, root := range cgroupRoots() {
		dir := filepath.Join(root, c.cgroup())
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		// A version 1 cpuset starts empty, and then takes no process.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if value, err := os.ReadFile(filepath.Join(root, file)); err == nil {
				if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// removeCgroups removes the cluster's groups, children first. A group goes only after its last process is gone for good.
func (c *Cluster) removeCgroups() error {
	if os.Geteuid() != 0 {
		return nil
	}
	var failed []error
	for _, root := range cgroupRoots() {
		var dirs []string
		top := filepath.Join(root, c.cgroup())
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, dir := range slices.Backward(dirs) {
			var err error
			for range 100 {
				if err = syscall.Rmdir(dir); err == nil || errors.Is(err, syscall.ENOENT) {
					err = nil
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if err != nil {
				failed = append(failed, fmt.Errorf("remove control group %s: %w", dir, err))
				break
			}
		}
	}
	return errors.Join(failed...)
}
