package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Follower is the read side: it hands on every committed decision, and knows how far it is behind. Of the decisions that a shard held when
// it began it hands on each policy's newest alone, once it has read them all: one that others have overtaken long since would be young
// enough to be served for as long as the reading takes.
type Follower struct {
	cfg   Config
	opts  []kgo.Opt
	sink  func(Decision)
	log   *slog.Logger
	delay prometheus.Histogram

	mu     sync.Mutex
	shards []progress
	// held are the newest decisions by policy of the shards that have not been read to their ends yet. Only Run's goroutine has it.
	held map[int32]map[string]*kgo.Record
}

// progress is how well one shard is followed.
type progress struct {
	// current is the last time at which everything committed had been read.
	current time.Time
	// behind is how many offsets were missing at the last answer; err why there is none.
	behind int64
	err    error
}

// BehindError says that the follower does not keep up with a shard, so that its decisions must not be served.
type BehindError struct {
	Shard int32
	// Since is when everything committed had last been read; zero when never.
	Since time.Time
	// Offsets is how many offsets are missing, -1 when not known.
	Offsets int64
	// Err is what keeps it, if an error does.
	Err error
}

func (e *BehindError) Error() string {
	since := "it has not been read to its end yet"
	if !e.Since.IsZero() {
		since = "it was last read to its end at " + e.Since.Format(time.RFC3339)
	}
	s := fmt.Sprintf("shard %d of the decisions: %s", e.Shard, since)
	if e.Offsets > 0 {
		s += fmt.Sprintf(", %d offsets are missing", e.Offsets)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *BehindError) Unwrap() error { return e.Err }

// NewFollower returns a Follower that hands each decision, in the order of its policy's ticks, to sink, from one goroutine.
// registerer may be nil.
func NewFollower(cfg Config, opts []kgo.Opt, sink func(Decision), log *slog.Logger, registerer prometheus.Registerer) (*Follower, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	f := &Follower{
		cfg: cfg, opts: opts, sink: sink, log: log, shards: make([]progress, cfg.Shards), held: map[int32]map[string]*kgo.Record{},
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "prescale_log_follow_delay_seconds", Help: "From a decision's tick to its arrival at this replica.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
		}),
	}
	if registerer != nil {
		registerer.MustRegister(f.delay)
	}
	return f, nil
}

// followWait is how long a broker may hold a fetch when there is nothing new: it bounds how late a decision arrives.
const followWait = 250 * time.Millisecond

// Run follows until ctx ends and then returns nil. It starts Config.FollowerLookback ago: what is older than that is too
// old to be served. Brokers that cannot be reached do not end it.
func (f *Follower) Run(ctx context.Context) error {
	client, err := kgo.NewClient(append(f.opts[:len(f.opts):len(f.opts)],
		kgo.ClientID(f.cfg.Instance),
		kgo.RequestTimeoutOverhead(requestPatience),
		kgo.MetadataMinAge(250*time.Millisecond),
	)...)
	if err != nil {
		return fmt.Errorf("make the follower's client: %w", err)
	}
	defer client.Close()
	var from map[int32]int64
	for from == nil {
		if from, err = f.start(ctx, client, wall()); err != nil {
			f.failed(err)
			if sleep(ctx, time.Second) != nil {
				return nil
			}
		}
	}
	fetch := newFetcher(client, f.cfg.decisions(), from)
	fetch.anew = func() {
		f.log.Warn("the topic of the decisions was deleted and made again: it is read from its start")
	}
	f.follow(ctx, fetch)
	return nil
}

// start returns offsets before which no decision is young enough.
func (f *Follower) start(ctx context.Context, client *kgo.Client, now time.Time) (map[int32]int64, error) {
	shards := make([]int32, f.cfg.Shards)
	for n := range shards {
		shards[n] = int32(n)
	}
	return offsetsAt(ctx, client, f.cfg.decisions(), shards, now.Add(-f.cfg.FollowerLookback))
}

func (f *Follower) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.shards {
		f.shards[i].err = err
	}
}

func (f *Follower) follow(ctx context.Context, fetch *fetcher) {
	failing := false
	for ctx.Err() == nil {
		asked := wall()
		err := fetch.round(ctx, followWait, asked, f.visit)
		if ctx.Err() != nil {
			return
		}
		f.note(fetch)
		if (err != nil) != failing {
			if failing = err != nil; failing {
				f.log.Warn("following the decisions fails", "error", err)
			} else {
				f.log.Info("following the decisions works again")
			}
		}
		if err != nil && sleep(ctx, fetchBackoff) != nil {
			return
		}
	}
}

// visit hands one decision on, in the log's order, which is that of their making: their numbers begin again where the observations
// were deleted. A record that cannot be read is logged and passed over: that policy's answer ages until it is stale, the others' do
// not.
func (f *Follower) visit(r *kgo.Record) error {
	if r.Value == nil {
		return nil
	}
	f.mu.Lock()
	first := f.shards[r.Partition].current.IsZero()
	f.mu.Unlock()
	if first {
		if f.held[r.Partition] == nil {
			f.held[r.Partition] = map[string]*kgo.Record{}
		}
		f.held[r.Partition][string(r.Key)] = r
		return nil
	}
	f.handOn(r)
	return nil
}

func (f *Follower) handOn(r *kgo.Record) {
	d, err := DecodeDecision(r.Key, r.Value)
	if err != nil {
		f.log.Error("a decision cannot be read", "partition", r.Partition, "offset", r.Offset, "error", err)
		return
	}
	f.delay.Observe(time.Since(d.At).Seconds())
	f.sink(d)
}

// note takes over from the fetcher how far each shard is read, and hands on what was held of those that are read to their ends now.
func (f *Follower) note(fetch *fetcher) {
	f.advance(fetch)
	for n, held := range f.held {
		f.mu.Lock()
		first := f.shards[n].current.IsZero()
		f.mu.Unlock()
		if first {
			continue
		}
		for _, policy := range slices.Sorted(maps.Keys(held)) {
			f.handOn(held[policy])
		}
		delete(f.held, n)
	}
}

func (f *Follower) advance(fetch *fetcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n, c := range fetch.cursors {
		p := &f.shards[n]
		p.err = c.err
		p.behind = max(0, c.stable-c.next)
		if c.err == nil && c.next >= c.stable {
			p.current = c.answered
		}
	}
}

// Current returns nil when the policy's shard had been read to its end no longer than limit before now, and a
// *BehindError otherwise: then an answer for the policy may be older than what the log holds.
func (f *Follower) Current(policy string, now time.Time, limit time.Duration) error {
	n := ShardOf(policy, f.cfg.Shards)
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.shards[n]
	if !p.current.IsZero() && now.Sub(p.current) <= limit {
		return nil
	}
	return &BehindError{Shard: n, Since: p.current, Offsets: p.behind, Err: p.err}
}

// Ready returns nil once every shard has been read to its end, and else the errors of those that have not.
func (f *Follower) Ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for n, p := range f.shards {
		if p.current.IsZero() {
			errs = append(errs, &BehindError{Shard: int32(n), Offsets: p.behind, Err: p.err})
		}
	}
	return errors.Join(errs...)
}
