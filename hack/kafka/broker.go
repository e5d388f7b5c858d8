package kafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const controllerListener Listener = "CONTROLLER"

// jvmFlags make a broker start fast and stay small: C1 alone compiles soonest, and one small heap needs no parallel
// collector.
var jvmFlags = []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=error"}

// measuredFlags are those of Kafka's own start script (bin/kafka-run-class.sh, KAFKA_JVM_PERFORMANCE_OPTS), in so far as they
// matter here.
var measuredFlags = []string{"-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
	"-XX:+ExplicitGCInvokesConcurrent", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=error"}

// logConfig sends the broker's log to its own directory.
const logConfig = `rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = %s
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%%d] %%p %%m (%%c{1})%%n
`

// broker is one broker: its place, its ports and, while it runs, its process.
type broker struct {
	node      int
	host      string
	dir       string
	listeners []Listener
	ports     map[Listener]int
	process   *process
}

// process is one run of a broker.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// diedError says that a broker ended by itself, with the end of its log.
type diedError struct{ log string }

func (e *diedError) Error() string { return "the broker ended by itself; its log ends with:\n" + e.log }

func (b *broker) configFile() string { return filepath.Join(b.dir, "server.properties") }
func (b *broker) dataDir() string    { return filepath.Join(b.dir, "data") }
func (b *broker) logFile() string    { return filepath.Join(b.dir, "broker.log") }

// checkpointFile is the metadata log's snapshot at its very beginning: it holds the feature levels.
func (b *broker) checkpointFile() string {
	return filepath.Join(b.dataDir(), "__cluster_metadata-0", "00000000000000000000-0000000000.checkpoint")
}

func (b *broker) address() string { return fmt.Sprintf("%s:%d", b.host, b.ports[Plain]) }

// writeConfig writes server.properties and the log configuration.
func (b *broker) writeConfig(c *Cluster) error {
	if err := os.MkdirAll(b.dataDir(), 0o755); err != nil {
		return err
	}
	properties := b.properties(c)
	if err := b.writeSecurity(c, properties); err != nil {
		return err
	}
	maps.Copy(properties, c.options.Properties)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", key, properties[key])
	}
	if err := os.WriteFile(b.configFile(), []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.dir, "log4j2.properties"), fmt.Appendf(nil, logConfig, b.logFile()), 0o644)
}

// properties are the settings that make a small cluster start and fail over fast.
func (b *broker) properties(c *Cluster) map[string]string {
	replication := fmt.Sprint(min(3, len(c.brokers)))
	inSync := fmt.Sprint(max(1, min(3, len(c.brokers))-1))
	var voters, listeners, advertised, protocols []string
	for _, other := range c.brokers {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", other.node, other.ports[controllerListener]))
	}
	for _, name := range b.listeners {
		at := fmt.Sprintf("%s://%s:%d", name, b.host, b.ports[name])
		if name == controllerListener {
			listeners = append(listeners, fmt.Sprintf("%s://127.0.0.1:%d", name, b.ports[name]))
			protocols = append(protocols, string(name)+":PLAINTEXT")
			continue
		}
		listeners = append(listeners, at)
		advertised = append(advertised, at)
		protocols = append(protocols, string(name)+":"+string(name))
	}
	return map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        fmt.Sprint(b.node),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"controller.listener.names":      string(controllerListener),
		"inter.broker.listener.name":     string(Plain),
		"listeners":                      strings.Join(listeners, ","),
		"advertised.listeners":           strings.Join(advertised, ","),
		"listener.security.protocol.map": strings.Join(protocols, ","),
		"log.dirs":                       b.dataDir(),

		"auto.create.topics.enable":  "false",
		"num.partitions":             "1",
		"default.replication.factor": replication,
		"min.insync.replicas":        inSync,
		"num.network.threads":        "2",
		"num.io.threads":             "4",

		"offsets.topic.num.partitions":                     "5",
		"offsets.topic.replication.factor":                 replication,
		"transaction.state.log.num.partitions":             "5",
		"transaction.state.log.replication.factor":         replication,
		"transaction.state.log.min.isr":                    inSync,
		"share.coordinator.state.topic.num.partitions":     "5",
		"share.coordinator.state.topic.replication.factor": replication,
		"share.coordinator.state.topic.min.isr":            inSync,
		"group.initial.rebalance.delay.ms":                 "0",

		// A dead broker is noticed after three seconds instead of nine.
		"broker.session.timeout.ms":    "3000",
		"broker.heartbeat.interval.ms": "500",
		// The cleaner's default of 128 MiB does not fit the small heap.
		"log.cleaner.dedupe.buffer.size": "8388608",
	}
}

// format does what Kafka's storage tool does, without starting a JVM: it names the directory's owner and copies the
// bootstrap checkpoint that the tool wrote once.
func (b *broker) format(c *Cluster) error {
	var directory [16]byte
	rand.Read(directory[:])
	meta := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n",
		c.id, b.node, base64.RawURLEncoding.EncodeToString(directory[:]))
	if err := os.WriteFile(filepath.Join(b.dataDir(), "meta.properties"), []byte(meta), 0o644); err != nil {
		return err
	}
	checkpoint, err := os.ReadFile(c.install.bootstrap)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.checkpointFile()), 0o755); err != nil {
		return err
	}
	return os.WriteFile(b.checkpointFile(), checkpoint, 0o644)
}

// launch starts the process.
func (b *broker) launch(c *Cluster, extra ...string) error {
	heap := c.options.HeapMiB
	if heap == 0 {
		heap = 256
		if len(c.brokers) > 1 {
			heap = 384
		}
	}
	flags := jvmFlags
	if c.options.Measured {
		flags = measuredFlags
	}
	args := append(slices.Clone(flags), fmt.Sprintf("-Xmx%dm", heap), "-Xms64m",
		"-Dlog4j2.configurationFile="+filepath.Join(b.dir, "log4j2.properties"))
	if len(extra) == 0 {
		args = append(args, "-XX:SharedArchiveFile="+c.install.archive)
	}
	args = append(args, extra...)
	args = append(args, "-cp", c.install.classpath, "kafka.Kafka", b.configFile())
	output, err := os.OpenFile(filepath.Join(b.dir, "output.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	cmd := exec.Command(c.install.java, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = dieWithParent()
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ends the child when the thread that started it ends, so this goroutine keeps that thread, and gives it back
		// afterwards: other processes may have been started on it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.exited)
		defer output.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended does not matter: whoever waits for it reads its log
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start java: %w", err)
	}
	b.process = p
	return nil
}

func (b *broker) exited() <-chan struct{} { return b.process.exited }

func (b *broker) running() bool {
	if b.process == nil {
		return false
	}
	select {
	case <-b.process.exited:
		return false
	default:
		return true
	}
}

func (b *broker) signal(s syscall.Signal) error {
	if !b.running() {
		return fmt.Errorf("signal broker %d: it is not running", b.node)
	}
	return b.process.cmd.Process.Signal(s)
}

func (b *broker) kill() {
	if b.process == nil {
		return
	}
	if b.running() {
		_ = b.process.cmd.Process.Kill() // It may have ended by itself just now.
	}
	<-b.process.exited
}

// waitReady waits until the broker answers and knows of as many brokers as it should.
func (b *broker) waitReady(ctx context.Context, brokers int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := b.probe(ctx, brokers); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return fmt.Errorf("not ready: %w; its log ends with:\n%s", err, b.logTail())
		}
		select {
		case <-b.exited():
			return &diedError{b.logTail()}
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// probe asks the broker once for the brokers that it knows.
func (b *broker) probe(ctx context.Context, brokers int) error {
	// A plain dial fails at once while nobody listens, where a client would back off.
	conn, err := net.DialTimeout("tcp", b.address(), time.Second)
	if err != nil {
		return err
	}
	conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address()), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	response, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if len(response.Brokers) < brokers {
		return fmt.Errorf("knows %d of %d brokers", len(response.Brokers), brokers)
	}
	return nil
}

// logTail returns the last lines of what the broker said that are not mere information.
func (b *broker) logTail() string {
	var tail string
	for _, file := range []string{b.logFile(), filepath.Join(b.dir, "output.log")} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		lines = slices.DeleteFunc(lines, func(line string) bool {
			return strings.Contains(line, "] INFO ") || strings.HasSuffix(line, "(AbstractConfig)") ||
				strings.HasPrefix(line, "\t") && strings.Contains(line, " = ")
		})
		tail += strings.Join(lines[max(0, len(lines)-25):], "\n") + "\n"
	}
	return tail
}
