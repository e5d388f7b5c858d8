//go:build integration

package chaos

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// daemon is one `prescale serve` process in one place: a restart is another process at the same addresses.
type daemon struct {
	t          *testing.T
	binary     string
	config     string
	logFile    string
	metricsAPI string
	client     *http.Client

	cmd     *exec.Cmd
	exited  chan struct{}
	stopped bool
}

// newDaemon writes the configuration of a daemon; start starts it.
func newDaemon(t *testing.T, binary, dir string, number int, brokers []string, policies string) *daemon {
	t.Helper()
	d := &daemon{
		t: t, binary: binary,
		config:     filepath.Join(dir, fmt.Sprintf("daemon-%d.yaml", number)),
		logFile:    filepath.Join(dir, fmt.Sprintf("daemon-%d.log", number)),
		metricsAPI: freeAddress(t),
		client: &http.Client{
			Timeout:   5 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 4},
		},
	}
	content := fmt.Sprintf("log: kafka\nclusters: {main: {brokers: [%s]}}\nmetricsAPI: {listen: %q}\nhttp: {listen: %q}\npolicies:\n%s",
		strings.Join(brokers, ", "), d.metricsAPI, "127.0.0.1:0", policies)
	if err := os.WriteFile(d.config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *daemon) start() {
	d.t.Helper()
	log, err := os.OpenFile(d.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(d.binary, "serve", "--config", d.config)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = dieWithParent()
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	exited := make(chan struct{})
	d.exited, d.stopped = exited, false
	cmd := d.cmd
	go func() {
		_ = cmd.Wait() // It is killed, or stopped: what it did before is what counts.
		close(exited)
	}()
}

func (d *daemon) running() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// writer is how the process signs in the log.
func (d *daemon) writer() string {
	host, err := os.Hostname()
	if err != nil {
		d.t.Fatal(err)
	}
	return fmt.Sprintf("%s-%d", host, d.cmd.Process.Pid)
}

func (d *daemon) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil && d.running() {
		d.t.Fatalf("signal %v: %v", s, err)
	}
	switch s {
	case syscall.SIGSTOP:
		d.stopped = true
	case syscall.SIGCONT:
		d.stopped = false
	}
}

// kill ends the process at once, terminate in good order.
func (d *daemon) kill() {
	d.signal(syscall.SIGKILL)
	<-d.exited
}

func (d *daemon) terminate() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.exited:
	case <-time.After(90 * time.Second):
		d.t.Errorf("a daemon did not end within 90s of SIGTERM")
		d.kill()
	}
}

// dump ends the process and has it write what each of its goroutines was doing to its log.
func (d *daemon) dump() {
	if d.cmd == nil || !d.running() {
		return
	}
	d.signal(syscall.SIGCONT)
	d.signal(syscall.SIGQUIT)
	select {
	case <-d.exited:
	case <-time.After(10 * time.Second):
	}
}

func (d *daemon) stop() {
	if d.cmd != nil && d.running() {
		d.kill()
	}
}

// value is one metric as the API serves it.
type value struct {
	Value     string    `json:"value"`
	Timestamp time.Time `json:"timestamp"`
	Labels    any       `json:"metricLabels"`
}

// query reads a metric of one policy. err is set where the daemon cannot be reached; status is the HTTP status.
func (d *daemon) query(metric, policy string) (values []value, status int, err error) {
	u := fmt.Sprintf("https://%s/apis/external.metrics.k8s.io/v1beta1/namespaces/%s/%s?labelSelector=%s",
		d.metricsAPI, namespace, metric, url.QueryEscape("policy="+policy))
	resp, err := d.client.Get(u)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, err
	}
	var list struct {
		Items []value `json:"items"`
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &list); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", body, err)
		}
	}
	return list.Items, resp.StatusCode, nil
}
