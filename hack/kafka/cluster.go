package kafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options says what to start. The zero Options is one broker that listens without authentication.
type Options struct {
	// Brokers is how many; 0 means 1. Each is a controller too. From three on, topics get replication factor 3 and
	// min.insync.replicas 2, internal topics as well, so that one broker may die.
	Brokers int
	// Host is the address of this machine that the brokers listen on and name to their clients; "" means 127.0.0.1. Another
	// one lets clients in other network namespaces in. Certificates are for loopback all the same.
	Host string
	// Properties are added to every broker's server.properties and win over the rig's own.
	Properties map[string]string
	// HeapMiB is each broker's heap; 0 means 256 for one broker and 384 for several. 10,000 partitions want 2048.
	HeapMiB int
	// Measured makes the brokers those of a measurement: their JVM optimises what runs often, as Kafka's own start script has
	// it. Without it the JVM compiles quickly and optimises little: a broker starts sooner, and answers for about twice the
	// processor time.
	Measured bool
	// Users can log in by SASL (PLAIN and SCRAM) on the listeners SASL and SASLTLS, which open when there is one.
	Users []User
	// OAuth lets the SASL listeners take OAUTHBEARER too, with unsigned tokens: any name is believed.
	OAuth bool
	// TLS opens the listeners TLS and SASLTLS (the latter where there are Users) with a certificate of this authority,
	// and accepts client certificates of it.
	TLS *Authority
	// Authorizer turns on ACLs. Who comes over the plain listener stays a super user.
	Authorizer bool
	// Log receives a line for what is fetched or prepared; nil means os.Stderr.
	Log io.Writer
}

// User is a name and its password.
type User struct{ Name, Password string }

// Listener names one of a broker's listeners.
type Listener string

// The listeners. Plain is always there; the others as Options says.
const (
	Plain   Listener = "PLAINTEXT"
	TLS     Listener = "SSL"
	SASL    Listener = "SASL_PLAINTEXT"
	SASLTLS Listener = "SASL_SSL"
)

// readyTimeout bounds how long a cluster may take to come up: seconds on a quiet machine, a minute or two on one that
// runs ten other things.
const readyTimeout = 3 * time.Minute

// Cluster is a running cluster. Its methods may be called from one goroutine at a time.
type Cluster struct {
	id      string
	dir     string
	install *installation
	options Options
	brokers []*broker
}

// Start starts a cluster and returns once every broker answers. The caller must Stop it.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	if options.Brokers == 0 {
		options.Brokers = 1
	}
	if options.Host == "" {
		options.Host = "127.0.0.1"
	}
	if options.Log == nil {
		options.Log = os.Stderr
	}
	in, err := install(ctx, options.Log)
	if err != nil {
		return nil, err
	}
	// Between choosing a free port and binding it another process may take it: try again with others.
	for attempt := 0; ; attempt++ {
		c, err := start(ctx, in, options)
		var died *diedError
		if errors.As(err, &died) && strings.Contains(died.log, "Address already in use") && attempt < 3 {
			continue
		}
		return c, err
	}
}

func start(ctx context.Context, in *installation, options Options) (c *Cluster, err error) {
	dir, err := os.MkdirTemp("", "prescale-kafka-")
	if err != nil {
		return nil, err
	}
	c = &Cluster{id: clusterID(), dir: dir, install: in, options: options}
	defer func() {
		if err != nil {
			c.Stop()
			c = nil
		}
	}()
	if err := c.assignPorts(); err != nil {
		return c, err
	}
	for _, b := range c.brokers {
		if err := b.writeConfig(c); err != nil {
			return c, err
		}
		if err := b.format(c); err != nil {
			return c, err
		}
		if err := b.launch(c); err != nil {
			return c, err
		}
	}
	if err := c.waitReady(ctx); err != nil {
		return c, err
	}
	return c, c.addUsers(ctx)
}

// Bootstrap returns the brokers' addresses on the plain listener.
func (c *Cluster) Bootstrap() []string { return c.Addresses(Plain) }

// Addresses returns the brokers' addresses on a listener, in order of the broker's number.
func (c *Cluster) Addresses(listener Listener) []string {
	var all []string
	for _, b := range c.brokers {
		if port := b.ports[listener]; port != 0 {
			all = append(all, fmt.Sprintf("%s:%d", b.host, port))
		}
	}
	return all
}

// NodeID returns the Kafka node id of broker i (counted from 0).
func (c *Cluster) NodeID(i int) int32 { return int32(c.brokers[i].node) }

// Kill ends broker i at once (SIGKILL) and waits until it is gone.
func (c *Cluster) Kill(i int) { c.brokers[i].kill() }

// Restart starts broker i again with its data and ports and waits until every running broker answers.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	c.brokers[i].kill()
	if err := c.brokers[i].launch(c); err != nil {
		return err
	}
	return c.waitReady(ctx)
}

// Pause stops broker i in its tracks (SIGSTOP): connections stay open and nothing answers.
func (c *Cluster) Pause(i int) error { return c.brokers[i].signal(syscall.SIGSTOP) }

// Continue lets a paused broker go on (SIGCONT).
func (c *Cluster) Continue(i int) error { return c.brokers[i].signal(syscall.SIGCONT) }

// Stop kills every broker, waits for them and deletes their data. A second call does nothing.
func (c *Cluster) Stop() {
	for _, b := range c.brokers {
		b.kill()
	}
	os.RemoveAll(c.dir)
}

// assignPorts makes the brokers, each with its free ports.
func (c *Cluster) assignPorts() error {
	listeners := []Listener{Plain, controllerListener}
	if c.options.TLS != nil {
		listeners = append(listeners, TLS)
	}
	if len(c.options.Users) > 0 || c.options.OAuth {
		listeners = append(listeners, SASL)
		if c.options.TLS != nil {
			listeners = append(listeners, SASLTLS)
		}
	}
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for i := range c.options.Brokers {
		b := &broker{node: i + 1, host: c.options.Host, dir: fmt.Sprintf("%s/%d", c.dir, i+1), ports: map[Listener]int{},
			listeners: listeners}
		for _, name := range listeners {
			host := b.host
			if name == controllerListener {
				host = "127.0.0.1"
			}
			l, err := net.Listen("tcp", host+":0")
			if err != nil {
				return fmt.Errorf("find a free port: %w", err)
			}
			held = append(held, l)
			b.ports[name] = l.Addr().(*net.TCPAddr).Port
		}
		c.brokers = append(c.brokers, b)
	}
	return nil
}

// waitReady waits until every running broker answers and knows of all the running ones.
func (c *Cluster) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	running := 0
	for _, b := range c.brokers {
		if b.running() {
			running++
		}
	}
	for _, b := range c.brokers {
		if !b.running() {
			continue
		}
		if err := b.waitReady(ctx, running); err != nil {
			return fmt.Errorf("start broker %d: %w", b.node, err)
		}
	}
	return nil
}

// addUsers gives the users their SCRAM credentials; PLAIN's are in the configuration.
func (c *Cluster) addUsers(ctx context.Context) error {
	if len(c.options.Users) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap()...))
	if err != nil {
		return err
	}
	defer client.Close()
	// A request may name a user once.
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		var credentials []kadm.UpsertSCRAM
		for _, user := range c.options.Users {
			credentials = append(credentials, kadm.UpsertSCRAM{
				User: user.Name, Password: user.Password, Mechanism: mechanism, Iterations: 4096,
			})
		}
		altered, err := kadm.NewClient(client).AlterUserSCRAMs(ctx, nil, credentials)
		if err != nil {
			return fmt.Errorf("add scram users: %w", err)
		}
		for _, user := range altered {
			if user.Err != nil {
				return fmt.Errorf("add scram user %s: %w", user.User, user.Err)
			}
		}
	}
	return nil
}

// exercise makes a broker load the classes that most tests need, so that the archive has them.
func exercise(ctx context.Context, address string) error {
	const topic = "exercise"
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.ConsumerGroup(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return err
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
		return err
	}
	if err := client.PollFetches(ctx).Err(); err != nil {
		return err
	}
	return client.CommitUncommittedOffsets(ctx)
}

// clusterID returns a random id in the form that Kafka wants: 16 bytes in URL-safe base64.
func clusterID() string {
	var id [16]byte
	rand.Read(id[:])
	id[0] &= 0x7f // an id that starts with '-' reads as a flag
	return base64.RawURLEncoding.EncodeToString(id[:])
}
