package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

// Collector collects from one Kafka cluster. Its methods may be called from several goroutines; a tick and everything
// else wait for each other.
type Collector struct {
	config    Config
	client    *kgo.Client
	logger    *slog.Logger
	telemetry *telemetry
	wall      func() time.Time

	mu        sync.Mutex
	targets   []target
	selection Selection

	tick int
	// tickTime is the time of the present tick.
	tickTime time.Time
	line     *timeline
	topics   map[string]*topic
	groups   map[string]*group
	// listed is what the latest complete ListGroups said, by group.
	listed map[string]listedGroup
	// unlisted says why brokers did not list their groups when they were last asked.
	unlisted map[int32]error
	// nodes lists the brokers of the cluster, sorted.
	nodes []int32
	// offsets tells which groups have no coordinator.
	offsets offsetsMetadata
	// nodeProblems says which brokers did not answer at this tick.
	nodeProblems map[int32]error

	// arrivals are the arrivals by partition that were last put together.
	arrivals struct {
		tick   int
		topics []*topic
		values []series.Value
	}

	nextMetadata, nextGroups, nextStarts time.Time
	versionsChecked                      bool
	// checks are the exact checks wished for at this tick.
	checks []check
	// refinements are the observations that those checks can make better.
	refinements []refinement
}

// New returns a Collector that asks through client, which stays the caller's to close. registerer receives its own
// metrics and may be nil, as may logger.
func New(config Config, client *kgo.Client, registerer prometheus.Registerer, logger *slog.Logger) (*Collector, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("kafka collector: %w", err)
	}
	if config.Clock == nil {
		config.Clock = wallClock{}
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	telemetry, err := newTelemetry(registerer, config.Cluster)
	if err != nil {
		return nil, fmt.Errorf("kafka collector: %w", err)
	}
	return &Collector{
		config:       config,
		client:       client,
		logger:       logger.With("cluster", config.Cluster),
		telemetry:    telemetry,
		wall:         time.Now, //nolint:forbidigo // only differences of it are used: how long a tick's requests took
		line:         newTimeline(config.Samples, config.SampleAge),
		topics:       map[string]*topic{},
		groups:       map[string]*group{},
		listed:       map[string]listedGroup{},
		nodeProblems: map[int32]error{},
	}, nil
}

// SetTargets replaces the targets. What is known of a group or topic that stays wanted is kept; so is a target's count
// since its last observation, if it stays the same and does not say by itself up to where it was counted.
func (c *Collector) SetTargets(targets []collector.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := map[string]target{}
	for _, t := range c.targets {
		before[t.key()] = t
	}
	c.targets = c.targets[:0:0]
	for _, wanted := range targets {
		wanted.Topics = slices.Sorted(slices.Values(wanted.Topics))
		if wanted.Reset == "" {
			wanted.Reset = collector.ResetEarliest
		}
		t := target{Target: wanted}
		if old, ok := before[t.key()]; ok {
			t = old
			if t.ByHost = wanted.ByHost; !t.ByHost {
				t.hosts = hostBase{}
			}
		}
		if wanted.Counted.Known() {
			t.Counted, t.countedAt, t.countedTick, t.arrived = wanted.Counted, wanted.Counted.At, 0, nil
		}
		c.targets = append(c.targets, t)
	}
	c.telemetry.wanted(c.targets)
	c.want()
}

// want marks the groups that targets name, and makes those that are new.
func (c *Collector) want() {
	for _, g := range c.groups {
		g.forTarget = false
	}
	for _, t := range c.targets {
		g := c.groups[t.Group]
		if g == nil {
			g = newGroup(t.Group)
			c.groups[t.Group] = g
			c.nextGroups = time.Time{}
		}
		g.forTarget = true
		for _, name := range t.Topics {
			c.topic(name)
		}
	}
}

// wantStable marks the topics of targets and reports that read committed records only, be they named or found.
func (c *Collector) wantStable() {
	for _, t := range c.topics {
		t.wantStable = false
	}
	for _, g := range c.groups {
		for _, gt := range g.topics {
			if g.forReport && c.selection.ReadCommitted {
				gt.topic.wantStable = true
				gt.topic.beginStable()
			}
		}
	}
	for i := range c.targets {
		t := &c.targets[i]
		if !t.ReadCommitted {
			continue
		}
		for _, topic := range c.targetTopics(t, c.groups[t.Group]) {
			topic.wantStable = true
			topic.beginStable()
		}
	}
}

// topic returns the collector's place for a topic, making it where it is new; metadata then fills it.
func (c *Collector) topic(name string) *topic {
	t := c.topics[name]
	if t == nil {
		t = &topic{name: name, samples: newSamples(c.config.Samples, 0)}
		c.topics[name] = t
		c.nextMetadata = time.Time{}
	}
	return t
}

// Collect takes one sample of everything and returns a Result for each target, in the order of SetTargets. now is the
// time of the tick; times must not go back, but for the wall's where they have monotonic readings too. A target of which nothing
// could be learned has an error in its Result; the error of Collect itself means that the cluster could not be asked at all, and
// then every Result has it too. Results may share slices: do not modify them.
func (c *Collector) Collect(ctx context.Context, now time.Time) ([]collector.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := c.wall()
	at := func() time.Time { return now.Add(c.config.Clock.At(c.wall()).Sub(c.config.Clock.At(began))) }

	if set := now.Round(0).Sub(c.tickTime.Round(0)) - now.Sub(c.tickTime); c.tick > 0 && set.Abs() > time.Second {
		c.logger.Warn("this machine's clock was set, or the machine stood still", "by", set.Round(time.Millisecond), "now", now.UTC())
	}
	c.tick++
	c.tickTime = now
	clear(c.nodeProblems)
	err := c.sample(ctx, now, at)
	readAt := at()
	results := c.observe(now, readAt, err)
	if err == nil {
		told := c.checkExact(ctx)
		c.refine()
		c.observeAgain(told, readAt, results)
		c.refinements = c.refinements[:0] // the second look's wishes are granted at the next tick
	}
	c.telemetry.tickDone(c.wall().Sub(began), c, results, now, err)
	return results, err
}

// between returns how long it was from one tick's time to another's: the longer of what the two clocks say. The wall's may have
// been set back, and the monotonic one does not go on while the machine stands still. So no rate seems higher than it was.
func between(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// sample asks the cluster: first who and what there is, then positions, then ends.
func (c *Collector) sample(ctx context.Context, now time.Time, at func() time.Time) error {
	for _, t := range c.topics {
		t.beginTick()
	}
	for _, g := range c.groups {
		g.problem = nil
	}
	if err := c.refresh(ctx, now); err != nil {
		c.line.open(now)
		for _, t := range c.topics {
			t.endTick(c.line, c.tick, now)
		}
		return err
	}
	c.readPositions(ctx)
	if now.Compare(c.nextMetadata) >= 0 {
		// A commit named a topic that was not known.
		if err := c.readMetadata(ctx, now); err != nil {
			c.logger.Warn("topics that are new could not be read", "error", err)
		}
	}
	c.wantStable()
	c.line.open(at())
	c.readEnds(ctx)
	c.line.close(at())
	for _, t := range c.topics {
		t.endTick(c.line, c.tick, now)
	}
	if now.Compare(c.nextStarts) >= 0 || c.missingStarts() {
		c.readStarts(ctx)
		c.nextStarts = now.Add(c.config.StartInterval)
	}
	c.seedNew(ctx)
	for _, g := range c.groups {
		if g.readTick == c.tick {
			g.observeCommits(now, c.tick)
			g.endTick(now)
		}
	}
	return nil
}

// refresh reads what changes slowly, where it is due.
func (c *Collector) refresh(ctx context.Context, now time.Time) error {
	if err := c.checkVersions(ctx); err != nil {
		return err
	}
	if now.Compare(c.nextMetadata) >= 0 {
		if err := c.readMetadata(ctx, now); err != nil {
			return err
		}
	}
	if now.Compare(c.nextGroups) >= 0 {
		c.readGroups(ctx, now)
		c.nextGroups = now.Add(c.config.GroupInterval)
	}
	return nil
}

// checkVersions asks once whether the brokers speak what is encoded here by hand.
func (c *Collector) checkVersions(ctx context.Context) error {
	if c.versionsChecked {
		return nil
	}
	response, err := c.ask(ctx, anyNode, kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		return c.clusterError("ask for its versions", err)
	}
	for _, key := range response.(*kmsg.ApiVersionsResponse).ApiKeys {
		needed := int16(0)
		switch key.ApiKey {
		case listOffsetsKey:
			needed = listOffsetsVersion
		case offsetFetchKey:
			needed = offsetFetchVersion
		}
		if key.MaxVersion < needed {
			return fmt.Errorf("cluster %s: its brokers speak %s up to version %d and version %d is needed: Kafka 3.0 or later",
				c.config.Cluster, kmsg.NameForKey(key.ApiKey), key.MaxVersion, needed)
		}
	}
	c.versionsChecked = true
	return nil
}

// anyNode asks whichever broker the client likes.
const anyNode int32 = -1

// seedProblems tries each bootstrap address once and returns what is wrong with them: the client tries for as long as it may,
// and then says only that time is up. An address that does not answer before ctx ends says nothing.
func (c *Collector) seedProblems(ctx context.Context) error {
	seeds := c.client.SeedBrokers()
	problems := make([]error, len(seeds))
	var wait sync.WaitGroup
	for i, seed := range seeds {
		wait.Go(func() {
			if _, err := seed.Request(ctx, kmsg.NewPtrApiVersionsRequest()); ctx.Err() == nil {
				problems[i] = err
			}
		})
	}
	wait.Wait()
	return errors.Join(problems...)
}
