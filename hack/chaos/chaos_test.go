//go:build integration

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/metrics/eventlog"
)

var (
	actions  = flag.Int("chaos.actions", 2, "how many kills, stops and restarts at random")
	seedFlag = flag.Uint64("chaos.seed", 0, "seed of the random choices; 0 takes one from the clock")
	policies = flag.Int("chaos.policies", 200, "how many policies")
	pause    = flag.Duration("chaos.pause", 10*time.Second, "how long an owner is stopped before it goes on")
	logs     = flag.String("chaos.logs", "", "folder for the daemons' logs, which are otherwise shown on failure only")
	tickFlag = flag.Duration("chaos.tick", 2*time.Second, "the policies' interval")
	protocol = flag.String("chaos.protocol", "auto", "group protocol of the owners: auto, consumer or classic")
)

const (
	namespace = "chaos"
	topic     = "work"
	shards    = 12
	// patience bounds every wait: the machine may be running ten other things.
	patience = 4 * time.Minute
)

func policyName(n int) string { return fmt.Sprintf("p%d", n) }

// rig is three brokers, three daemons and those who watch them.
type rig struct {
	t       *testing.T
	random  *rand.Rand
	brokers *kafka.Cluster
	daemons []*daemon
	journal *journal
	binary  string
	// tick is the policies' interval; an answer may be three of them old.
	tick time.Duration
}

func TestNothingIsLostAndNothingIsDoneTwice(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d, %d policies over %d shards, a tick every %v", seed, *policies, shards, *tickFlag)
	r := &rig{t: t, tick: *tickFlag, random: rand.New(rand.NewPCG(seed, 0)), journal: &journal{latest: map[string]eventlog.Stamp{}}}
	r.brokers = kafka.ForTest(t, kafka.Options{Brokers: 3, Properties: map[string]string{
		// What a broker allows for KIP-848 at least; its default of 45s would not let a dead owner be noticed sooner.
		"group.consumer.min.session.timeout.ms":    "6000",
		"group.consumer.min.heartbeat.interval.ms": "1000",
	}})
	dir := *logs
	if dir == "" {
		dir = t.TempDir()
	}
	r.build(dir)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	r.traffic(ctx, &wg)
	r.startDaemons(dir)
	r.follow(ctx, &wg)
	r.await("every policy is decided", func() bool { return r.journal.missing(time.Time{}, r.names()) == 0 })
	poll := &poller{daemons: r.daemons, policies: *policies, limit: 3 * r.tick}
	wg.Go(func() { poll.run(ctx, seed) })

	r.killAnOwner()
	r.stopAnOwner()
	r.killABroker()
	for i := range *actions {
		r.random1(i)
	}

	r.await("every policy is decided again", func() bool { return r.journal.missing(time.Now().Add(-2*r.tick), r.names()) == 0 })
	r.agree()
	cancel()
	wg.Wait()
	for _, d := range r.daemons {
		d.terminate()
	}
	t.Logf("polled all through: %d answers, the oldest %v (limit %v), %d refusals", poll.answers, poll.oldest.Round(time.Millisecond), poll.limit, poll.refusals)
	for _, p := range poll.problems {
		t.Error(p)
	}
	if poll.answers == 0 {
		t.Error("not one answer")
	}
	r.check()
}

// build compiles the daemon as it ships.
func (r *rig) build(dir string) {
	r.t.Helper()
	r.binary = filepath.Join(dir, "prescale")
	cmd := exec.Command("go", "build", "-o", r.binary, "./cmd/prescale")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("build the daemon: %v\n%s", err, out)
	}
}

func (r *rig) names() []string {
	names := make([]string, *policies)
	for i := range names {
		names[i] = namespace + "/" + policyName(i)
	}
	return names
}

func (r *rig) startDaemons(dir string) {
	var b strings.Builder
	for i := range *policies {
		fmt.Fprintf(&b, "- metadata: {name: %s, namespace: %s}\n  spec: {interval: %v, kafka: {group: group-%d, topics: [%s]}, objective: {lagSeconds: 30}, replicas: {max: 40}}\n",
			policyName(i), namespace, r.tick, i, topic)
	}
	content := fmt.Sprintf("%seventLog: {shards: %d, protocol: %s}\n", b.String(), shards, *protocol)
	for i := range 3 {
		d := newDaemon(r.t, r.binary, dir, i, r.brokers.Bootstrap(), content)
		r.daemons = append(r.daemons, d)
		r.t.Cleanup(func() {
			if r.t.Failed() {
				d.dump()
				log, err := os.ReadFile(d.logFile)
				log, stacks, _ := bytes.Cut(log, []byte("SIGQUIT: quit"))
				r.t.Logf("daemon %d (%v):\n%s\nits goroutines:%s", i, err, log[max(0, len(log)-6000):], stacks)
			}
			d.stop()
		})
		d.start()
	}
}

// traffic produces records in a wave, and commits for every policy's group now and then.
func (r *rig) traffic(ctx context.Context, wg *sync.WaitGroup) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers.Bootstrap()...), kgo.DefaultProduceTopic(topic), kgo.RecordRetries(1000))
	if err != nil {
		r.t.Fatal(err)
	}
	adm := kadm.NewClient(client)
	if _, err := adm.CreateTopic(ctx, 6, 3, nil, topic); err != nil {
		r.t.Fatal(err)
	}
	wg.Go(func() {
		defer client.Close()
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			for range int(20 + 15*math.Sin(float64(i)/100)) {
				client.TryProduce(ctx, kgo.StringRecord("x"), nil)
			}
			if i%5 == 0 {
				r.commit(ctx, adm, i/5%*policies)
			}
		}
	})
}

// commit lets one policy's group catch up, more or less. Failures are the brokers' death: the next one will do.
func (r *rig) commit(ctx context.Context, adm *kadm.Client, n int) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return
	}
	offsets := ends.Offsets()
	for p := range offsets[topic] {
		o := offsets[topic][p]
		o.At = max(0, o.At-int64(n))
		offsets[topic][p] = o
	}
	_, _ = adm.CommitOffsets(ctx, fmt.Sprintf("group-%d", n), offsets)
}

func (r *rig) follow(ctx context.Context, wg *sync.WaitGroup) {
	r.t.Helper()
	cfg := eventlog.DefaultConfig()
	cfg.Instance, cfg.Shards = "journal", shards
	f, err := eventlog.NewFollower(cfg, []kgo.Opt{kgo.SeedBrokers(r.brokers.Bootstrap()...)}, r.journal.take, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	wg.Go(func() {
		if err := f.Run(ctx); err != nil {
			r.t.Error(err)
		}
	})
}

func (r *rig) await(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// owner returns a daemon that owns shards, and its policies.
func (r *rig) owner() (*daemon, []string) {
	r.t.Helper()
	var owner *daemon
	var owned []string
	r.await("a daemon owns shards", func() bool {
		for _, i := range r.random.Perm(len(r.daemons)) {
			d := r.daemons[i]
			if owned = r.journal.ownedBy(d.writer()); d.running() && len(owned) > 0 {
				owner = d
				return true
			}
		}
		return false
	})
	return owner, owned
}

// beforeTick waits until shortly before all tick, which is the worst moment for an owner to die: its successors come a session
// after the tick that it owed.
func (r *rig) beforeTick() {
	time.Sleep(time.Until(time.Now().Add(grace).Truncate(r.tick).Add(r.tick - grace)))
}

// grace is how long before a tick that is.
const grace = time.Second

// recovered waits until others decide for the policies, and logs how long that took and what the rest saw of it.
func (r *rig) recovered(what string, from time.Time, owned []string) {
	r.t.Helper()
	begun := from.Add(grace / 2) // What was decided until here may have been on its way.
	defer func() {
		if r.t.Failed() {
			r.t.Logf("%s: not decided again: %v", what, r.journal.undecided(begun, owned))
		}
	}()
	r.await(what+": others decide", func() bool { return r.journal.missing(begun, owned) == 0 })
	last := r.journal.allAfter(begun, owned)
	// How long the wait was says little where ticks are far apart: what was not owed before the next one waits for that.
	r.t.Logf("%s: its %d policies were decided again after %v; the longest gap between two ticks was %v, of the others %v, with a tick every %v",
		what, len(owned), last.Sub(from).Round(10*time.Millisecond), r.journal.longestGap(from, last, nil).Round(time.Millisecond),
		r.journal.longestGap(from, last, owned).Round(time.Millisecond), r.tick)
}

func (r *rig) killAnOwner() {
	r.beforeTick()
	d, owned := r.owner()
	from := time.Now()
	d.kill()
	r.recovered("SIGKILL of an owner", from, owned)
	d.start()
}

func (r *rig) stopAnOwner() {
	r.beforeTick()
	d, owned := r.owner()
	from := time.Now()
	d.signal(syscall.SIGSTOP)
	time.Sleep(*pause)
	r.recovered(fmt.Sprintf("SIGSTOP of an owner for %v", *pause), from, owned)
	d.signal(syscall.SIGCONT)
	// It is alive and takes part again: it serves what others decide.
	r.await("the continued daemon answers", func() bool {
		_, status, err := d.query("prescale_desired_replicas", policyName(0))
		return err == nil && status == http.StatusOK
	})
	if !d.running() {
		r.t.Error("the continued daemon died")
	}
}

// killABroker kills the one that coordinates the group of owners: they have to find another, besides all that the death of any
// broker means.
func (r *rig) killABroker() {
	r.t.Helper()
	i := r.coordinator()
	from := time.Now()
	r.brokers.Kill(i)
	r.t.Logf("broker %d was gone %v after its SIGKILL", i, time.Since(from).Round(time.Millisecond))
	r.recovered(fmt.Sprintf("SIGKILL of broker %d, which coordinates the owners", i), from, r.names())
	r.restartBroker(i)
}

// coordinator returns the index of the broker that coordinates the group of owners.
func (r *rig) coordinator() int {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers.Bootstrap()...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const group = "prescale.owners"
	found := kadm.NewClient(client).FindGroupCoordinators(ctx, group)[group]
	if found.Err != nil {
		r.t.Fatal(found.Err)
	}
	for i := range 3 {
		if r.brokers.NodeID(i) == found.NodeID {
			return i
		}
	}
	r.t.Fatalf("group %s is coordinated by node %d, which is none of ours", group, found.NodeID)
	return 0
}

func (r *rig) restartBroker(i int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.brokers.Restart(ctx, i); err != nil {
		r.t.Fatal(err)
	}
}

// random1 does one thing to one process and lets it come back.
func (r *rig) random1(n int) {
	wait := func(most time.Duration) time.Duration {
		d := time.Duration(r.random.Int64N(int64(most)))
		time.Sleep(d)
		return d.Round(time.Millisecond)
	}
	d := r.daemons[r.random.IntN(len(r.daemons))]
	b := r.random.IntN(3)
	var did string
	switch r.random.IntN(6) {
	case 0, 1:
		d.kill()
		did = fmt.Sprintf("SIGKILL of a daemon, down for %v", wait(8*time.Second))
		d.start()
	case 2:
		d.terminate()
		did = fmt.Sprintf("SIGTERM of a daemon, down for %v", wait(4*time.Second))
		d.start()
	case 3:
		d.signal(syscall.SIGSTOP)
		did = fmt.Sprintf("SIGSTOP of a daemon for %v", wait(15*time.Second))
		d.signal(syscall.SIGCONT)
	case 4:
		r.brokers.Kill(b)
		did = fmt.Sprintf("SIGKILL of broker %d, down for %v", b, wait(6*time.Second))
		r.restartBroker(b)
	case 5:
		if err := r.brokers.Pause(b); err != nil {
			r.t.Fatal(err)
		}
		did = fmt.Sprintf("SIGSTOP of broker %d for %v", b, wait(6*time.Second))
		if err := r.brokers.Continue(b); err != nil {
			r.t.Fatal(err)
		}
	}
	r.t.Logf("action %d: %s", n+1, did)
	wait(4 * time.Second)
	for i, d := range r.daemons {
		if !d.running() {
			r.t.Errorf("daemon %d ended by itself", i)
			d.start()
		}
	}
}

// agree compares what the three read sides answer at the same tick, for every policy and metric.
func (r *rig) agree() {
	r.t.Helper()
	start, compared, apart := time.Now(), 0, 0
	for n := range *policies {
		for _, metric := range []string{
			"prescale_desired_replicas", "prescale_kafka_lag_records", "prescale_kafka_lag_seconds", "prescale_kafka_arrival_records_per_second",
		} {
			for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
				same, ready := r.compare(metric, n)
				if ready {
					compared++
					if !same {
						apart++
						r.t.Errorf("%s of %s differs between daemons", metric, policyName(n))
					}
					break
				}
				if time.Now().After(deadline) {
					r.t.Fatalf("%s of %s: no common tick within %v", metric, policyName(n), patience)
				}
			}
		}
	}
	r.t.Logf("the three read sides agree on %d of %d values, compared tick by tick in %v", compared-apart, compared, time.Since(start).Round(time.Millisecond))
}

// compare asks all three; ready is false where they stand at different ticks or one has no answer.
func (r *rig) compare(metric string, n int) (same, ready bool) {
	var first []value
	for i, d := range r.daemons {
		values, status, err := d.query(metric, policyName(n))
		if err != nil || status != http.StatusOK || len(values) == 0 {
			return false, false
		}
		if i == 0 {
			first = values
			continue
		}
		if len(values) != len(first) || !values[0].Timestamp.Equal(first[0].Timestamp) {
			return false, false
		}
		if !reflect.DeepEqual(values, first) {
			return false, true
		}
	}
	return true, true
}

// check lets the shipped checker read the whole log.
func (r *rig) check() {
	r.t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.Command(r.binary, "replay", "--check", "-o", "json", "--config", r.daemons[0].config)
	cmd.Stdout, cmd.Stderr = &out, &problems
	start := time.Now()
	err := cmd.Run()
	var report eventlog.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		r.t.Errorf("the checker's report: %v: %s", err, out.String())
	}
	r.t.Logf("prescale replay --check (%v): %d policies, %d ticks by %d writers in %d terms, %d decisions derived again; longest gap %v (%s); %d violations %q",
		time.Since(start).Round(time.Millisecond), report.Policies, report.Ticks, len(report.Writers), report.TakeOvers, report.Derived,
		report.LongestGap.Round(time.Millisecond), report.GapPolicy, report.ViolationCount, report.Violations)
	if err != nil {
		r.t.Errorf("the checker: %v: %s", err, problems.String())
	}
	if report.Ticks == 0 || report.Derived != report.Ticks {
		r.t.Errorf("of %d decisions %d were derived again", report.Ticks, report.Derived)
	}
}
