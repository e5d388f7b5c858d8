package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// Owner is the write side: it joins the group of owners and serves the shards that it is given.
type Owner struct {
	cfg     Config
	opts    []kgo.Opt
	serve   ShardFunc
	log     *slog.Logger
	metrics *ownerMetrics
	// takeOvers bounds how many shards are taken over at once: replaying is work for a core.
	takeOvers *semaphore.Weighted

	mu     sync.Mutex
	shards map[int32]*tenure
	// failing is why shards of this process were not served the last time.
	failing map[int32]error
	// unfit is why this process takes no shards at all, nil where it does.
	unfit error
	// refused gets a word when brokers refuse the time of a tick.
	refused chan struct{}
}

// tenure is one assignment of one shard to this process.
type tenure struct {
	end  context.CancelCauseFunc
	done chan struct{}
}

// NewOwner returns an Owner that reaches Kafka by opts (seeds, TLS, SASL). registerer may be nil.
func NewOwner(cfg Config, opts []kgo.Opt, log *slog.Logger, registerer prometheus.Registerer) (*Owner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Owner{
		cfg: cfg, opts: opts, log: log, metrics: newOwnerMetrics(registerer),
		takeOvers: semaphore.NewWeighted(int64(max(2, runtime.GOMAXPROCS(0)))),
		shards:    map[int32]*tenure{}, failing: map[int32]error{}, refused: make(chan struct{}, 1),
	}, nil
}

// Run makes sure of the topics, joins the group and runs serve for every shard it is given, until ctx ends: then it hands
// its shards over, leaves the group and returns nil. A topic with the wrong settings ends it with a *SetupError; brokers
// that cannot be reached do not: it tries again. While this node's clock is so far ahead that brokers refuse its ticks, it leaves the
// group: other processes can decide for its policies, and it cannot.
func (o *Owner) Run(ctx context.Context, serve ShardFunc) error {
	o.serve = serve
	protocol, err := o.prepare(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	for {
		client, err := o.join(protocol)
		if err != nil {
			return err
		}
		o.log.Info("joined the owners", "group", o.cfg.group(), "protocol", string(protocol), "sessionTimeout", o.cfg.SessionTimeout)
		select {
		case <-ctx.Done():
		case <-o.refused:
		}
		// Leaving calls revoked for every shard, which waits until each is handed over.
		client.Close()
		o.release(o.owned(), ErrHandover)
		if ctx.Err() != nil {
			return nil
		}
		o.declareUnfit(errClock)
		o.log.Error("brokers refuse this node's time: it lets go of its shards until its clock has been set", "now", wall().UTC(),
			"tryingAgainWithin", clockAgain)
		if awaitClock(ctx) != nil {
			return nil
		}
		o.declareUnfit(nil)
		select {
		case <-o.refused: // another shard's word
		default:
		}
	}
}

// errClock says why an owner takes no shards.
var errClock = errors.New("this node's clock is so far ahead that brokers refuse its ticks: set it")

func (o *Owner) declareUnfit(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unfit = err
}

// clockAgain is how long an owner whose time was refused stays away, where it does not notice that its clock was set.
const clockAgain = 10 * time.Minute

// awaitClock returns when this node's clock has been set, when clockAgain has passed, or with an error when ctx ends.
func awaitClock(ctx context.Context) error {
	for began, set := wall(), false; !set && time.Since(began) < clockAgain; {
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
		now := wall()
		set = (now.Round(0).Sub(began.Round(0)) - now.Sub(began)).Abs() > time.Second // the second goes by the monotonic clock
	}
	return nil
}

// warnAgain is how often it is said that the log's topics still cannot be verified.
const warnAgain = time.Minute

// prepare creates and verifies the topics and settles on the group's protocol, however long that takes.
func (o *Owner) prepare(ctx context.Context) (Protocol, error) {
	client, err := o.admin()
	if err != nil {
		return "", err
	}
	defer client.Close()
	began := wall()
	for warned := time.Duration(-1); ; {
		err := EnsureTopics(ctx, client, o.cfg)
		if err == nil {
			return chooseProtocol(ctx, client, o.cfg, o.log), nil
		}
		var setupErr *SetupError
		if errors.As(err, &setupErr) {
			return "", err
		}
		if waited := wall().Sub(began); warned < 0 || waited >= warned+warnAgain {
			warned = waited
			o.log.Warn("the log's topics cannot be verified: nothing is decided until they are; "+
				"trying every second (prescale check --connect tells what is wrong)",
				"for", waited.Round(time.Second), "error", err)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return "", err
		}
	}
}

// admin returns a client from whose metadata topics that were just created do not hide for long.
func (o *Owner) admin() (*kgo.Client, error) {
	client, err := kgo.NewClient(append(o.opts[:len(o.opts):len(o.opts)], kgo.ClientID(o.cfg.Instance),
		kgo.MetadataMinAge(250*time.Millisecond))...)
	if err != nil {
		return nil, fmt.Errorf("make the log's admin client: %w", err)
	}
	return client, nil
}

// makeAgain creates those of the log's topics that somebody has deleted.
func (o *Owner) makeAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	client, err := o.admin()
	if err != nil {
		return err
	}
	defer client.Close()
	return EnsureTopics(ctx, client, o.cfg)
}

// join makes the group member. It consumes the topic of observations in name only: its partitions are the shards, and
// fetching is paused.
func (o *Owner) join(protocol Protocol) (*kgo.Client, error) {
	opts := append(o.opts[:len(o.opts):len(o.opts)],
		kgo.ClientID(o.cfg.Instance),
		kgo.WithHooks(&brokersAnew{}),
		kgo.ConsumerGroup(o.cfg.group()),
		kgo.ConsumeTopics(o.cfg.observations()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(o.cfg.SessionTimeout),
		kgo.HeartbeatInterval(o.cfg.Heartbeat),
		kgo.RebalanceTimeout(rebalanceTimeout),
		// While the group's coordinator is being replaced nobody is put out of the group, and its successor gives every member a
		// session's time again. Left at the session timeout, a member of a classic group gives up before there is one, lets go of
		// its shards and joins anew, for which all others let go of theirs as well.
		kgo.RetryTimeout(rebalanceTimeout),
		kgo.RetryBackoffFn(func(tries int) time.Duration { return min(time.Duration(tries)*minPause, o.cfg.Heartbeat) }),
		kgo.RequestTimeoutOverhead(requestPatience),
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			o.assigned(m[o.cfg.observations()])
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			o.release(m[o.cfg.observations()], ErrHandover)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			o.release(m[o.cfg.observations()], ErrLost)
		}),
	)
	if protocol == ProtocolConsumer {
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	} else {
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("join group %s: %w", o.cfg.group(), err)
	}
	client.PauseFetchTopics(o.cfg.observations())
	return client, nil
}

// rebalanceTimeout is how long the group waits for a member to hand shards over, and a member for the group to answer.
const rebalanceTimeout = 30 * time.Second

func (o *Owner) owned() []int32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []int32
	for n := range o.shards {
		all = append(all, n)
	}
	return all
}

// Failing says why this process, which owns the policy's shard, has written nothing of it since it failed to, or why it takes no
// shards; nil where it has, or owns it not.
func (o *Owner) Failing(policy string) error {
	n := ShardOf(policy, o.cfg.Shards)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.failing[n]; err != nil {
		return fmt.Errorf("its owner cannot write: %w", err)
	}
	return o.unfit
}

// note remembers why a shard is not served; nil that it is.
func (o *Owner) note(n int32, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, owned := o.shards[n]; owned && err != nil {
		o.failing[n] = err
	} else {
		delete(o.failing, n)
	}
}

func (o *Owner) assigned(shards []int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range shards {
		ctx, end := context.WithCancelCause(context.Background())
		t := &tenure{end: end, done: make(chan struct{})}
		before := o.shards[n]
		o.shards[n] = t
		go func() {
			defer close(t.done)
			if before != nil { // A tenure that was lost may still be winding up.
				before.end(ErrLost)
				<-before.done
			}
			o.hold(ctx, n)
		}()
	}
	o.metrics.owned.Set(float64(len(o.shards)))
}

// release ends the tenures of shards and waits for their end.
func (o *Owner) release(shards []int32, cause error) {
	o.mu.Lock()
	var ending []*tenure
	for _, n := range shards {
		if t, ok := o.shards[n]; ok {
			t.end(cause)
			ending = append(ending, t)
			delete(o.shards, n)
			delete(o.failing, n)
		}
	}
	o.metrics.owned.Set(float64(len(o.shards)))
	o.mu.Unlock()
	for _, t := range ending {
		<-t.done
	}
}

// The pauses after a failure: short at first, so that one lost connection costs one tick at most. After being fenced the
// group gets the time of some heartbeats to say who owns the shard before it is taken back.
const (
	minPause = 200 * time.Millisecond
	maxPause = 5 * time.Second
)

// hold serves one shard until its tenure ends: take over, serve, and after a failure again from the start.
func (o *Owner) hold(ctx context.Context, n int32) {
	pause := minPause
	for ctx.Err() == nil {
		start := wall()
		err := o.serveOnce(ctx, n)
		if ctx.Err() != nil || err == nil {
			if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrLost) {
				o.log.Warn("a shard ended with an error", "shard", n, "cause", context.Cause(ctx), "error", err)
			}
			return
		}
		wait := pause
		var fencedErr *FencedError
		if errors.As(err, &fencedErr) {
			o.metrics.fenced.Inc()
			wait = max(wait, 3*o.cfg.Heartbeat)
		}
		o.log.Warn("a shard starts again from the log", "shard", n, "after", wait, "error", err)
		o.note(n, err)
		if errors.Is(err, kerr.InvalidTimestamp) {
			select {
			case o.refused <- struct{}{}:
			default:
			}
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			if err := o.makeAgain(ctx); err != nil && ctx.Err() == nil {
				o.log.Warn("the log's topics cannot be made again", "shard", n, "error", err)
			}
		}
		if pause = min(2*pause, maxPause); time.Since(start) > time.Minute {
			pause = minPause
		}
		if sleep(ctx, wait) != nil {
			return
		}
	}
}

// serveOnce takes the shard over and runs the ShardFunc once.
func (o *Owner) serveOnce(ctx context.Context, n int32) error {
	backend, err := o.takeOver(ctx, n)
	if err != nil {
		return err
	}
	defer backend.close()
	return o.serve(ctx, &Shard{Number: n, cfg: o.cfg, backend: backend, last: map[string]position{}, appended: func() { o.note(n, nil) }})
}

func (o *Owner) takeOver(ctx context.Context, n int32) (*kafkaBackend, error) {
	ctx, cancel := context.WithTimeout(ctx, takeOverTimeout)
	defer cancel()
	return openBackend(ctx, o.cfg, o.opts, n, o.log, o.metrics, o.takeOvers)
}
