package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// processID names a process for good: the kernel gives a PID again, but not with the same start time.
type processID struct {
	PID   int
	Start string // in clock ticks since boot, field 22 of /proc/PID/stat
}

func identify(pid int) processID {
	_, start := stat(pid)
	return processID{PID: pid, Start: start}
}

// stat returns a process's state letter and start time, or nothing where there is none.
func stat(pid int) (state, start string) {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", ""
	}
	// The second field is the name in parentheses, and may hold anything.
	_, rest, _ := strings.Cut(string(content[strings.LastIndexByte(string(content), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return "", ""
	}
	return fields[0], fields[19]
}

// alive tells whether the process still runs; a zombie does not.
func (p processID) alive() bool {
	if p.PID == 0 {
		return false
	}
	state, start := stat(p.PID)
	return start != "" && start == p.Start && state != "Z" && state != "X"
}

func (p processID) signal(s syscall.Signal) {
	if p.alive() {
		_ = syscall.Kill(p.PID, s) // it may have ended just now
	}
}

// process is a program that this process started.
type process struct {
	name string
	// path and args are what was started, detached how; pid is that of the program, or of the nsenter around it.
	path     string
	args     []string
	detached bool
	pid      int
	done     chan struct{}
	err      error // why it ended; read after done is closed
}

// start runs a program of the cluster in its namespaces, its output in a file of its own.
func (c *Cluster) start(detached bool, name, path string, args ...string) (*process, error) {
	out, err := os.OpenFile(c.Log(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	argv := append(c.enter(), append([]string{path}, args...)...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), "PATH="+sbinPath())
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !detached && !c.RealNode {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, path: path, args: args, detached: detached, pid: cmd.Process.Pid, done: make(chan struct{})}
	c.started = append(c.started, p)
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	if !c.RealNode {
		c.Processes = append(c.Processes, identify(cmd.Process.Pid))
	}
	return p, c.save()
}

// kubernetes starts one of the combined binary's commands.
func (c *Cluster) kubernetes(detached bool, name string, args ...string) error {
	_, err := c.start(detached, name, c.bin.kubernetes, append([]string{name}, args...)...)
	return err
}

// Kill ends one of the cluster's programs, such as "kube-apiserver", by SIGKILL and returns once it is gone. Only the process
// whose Up started it can.
func (c *Cluster) Kill(program string) error {
	at := c.find(program)
	if at < 0 {
		return fmt.Errorf("kill %s: this process has not started it", program)
	}
	p := c.started[at]
	pid := p.pid
	if c.RealNode {
		// The program is the only child of the nsenter that joined the process namespace for it.
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.pid))
		if err != nil {
			return fmt.Errorf("kill %s: %w", program, err)
		}
		if pid, err = strconv.Atoi(strings.TrimSpace(string(children))); err != nil {
			return fmt.Errorf("kill %s: the children of process %d are %q: want one", program, p.pid, children)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", program, err)
	}
	<-p.done
	return nil
}

// Restart starts a program again that Kill has ended, in the same way. The API server is ready when it returns.
func (c *Cluster) Restart(ctx context.Context, program string) error {
	at := c.find(program)
	if at < 0 {
		return fmt.Errorf("restart %s: this process has not started it", program)
	}
	p := c.started[at]
	c.started = slices.Delete(c.started, at, at+1)
	if _, err := c.start(p.detached, p.name, p.path, p.args...); err != nil {
		return err
	}
	if program != apiServer {
		return nil
	}
	ca, err := loadAuthority(filepath.Join(c.Dir, "pki"), "ca")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return c.waitServer(ctx, ca)
}

// find returns the index of a program in started, -1 where it is not there.
func (c *Cluster) find(program string) int {
	return slices.IndexFunc(c.started, func(p *process) bool { return p.name == program })
}

// ended returns an error if one of the programs has ended, which none should.
func (c *Cluster) ended() error {
	for _, p := range c.started {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %w", p.name, p.err)
		default:
		}
	}
	return nil
}

// enter returns the command prefix that runs something in the cluster's namespaces; none without a real node.
func (c *Cluster) enter() []string {
	if !c.RealNode {
		return nil
	}
	return []string{"nsenter", "--target", strconv.Itoa(c.Holder.PID), "--mount", "--net", "--pid", "--"}
}

// Exec runs a command in the cluster's namespaces and returns its output.
func (c *Cluster) Exec(ctx context.Context, argv ...string) (string, error) {
	argv = append(c.enter(), argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+sbinPath())
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w%s", strings.Join(argv, " "), err, stderrOf(err))
	}
	return string(out), nil
}
