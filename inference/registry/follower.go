package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says what to follow.
type Config struct {
	Topic string // default Topic
	Name  string // model name, default "default"
}

// DefaultName is the model name that all parts use when none is given.
const DefaultName = "default"

// DefaultConfig follows DefaultName on Topic.
func DefaultConfig() Config { return Config{Topic: Topic, Name: DefaultName} }

// Validate tells everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.Topic == "" {
		errs = append(errs, errors.New("registry: topic: missing"))
	}
	if err := validateName(c.Name); err != nil {
		errs = append(errs, fmt.Errorf("registry: name: %w", err))
	}
	return errors.Join(errs...)
}

// Follower reads the registry's topic and holds the champion ready to predict. Its methods are safe for concurrent use.
type Follower struct {
	config Config
	logger *slog.Logger
	opts   []kgo.Opt
	store  *store
	events Events
	idle   bool // the last poll brought nothing, and a leader answered after it
}

// Events are calls a Follower makes as it goes, each may be nil. They must not block.
type Events struct {
	Swapped func(e *Entry)  // a new champion serves
	Refused func(err error) // a record or version was refused; what served before still does
}

// NewFollower checks the config. The options say how to reach Kafka; they are applied to a client of the follower's own.
func NewFollower(c Config, logger *slog.Logger, events Events, opts ...kgo.Opt) (*Follower, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Follower{config: c, logger: logger, opts: opts, store: newStore(c.Name), events: events}, nil
}

// Champion returns the version that serves, nil until one is known.
func (f *Follower) Champion() *Entry { return f.store.champion.Load() }

// Version returns one version, loading it if need be.
func (f *Follower) Version(version int64) (*Entry, error) { return f.store.version(version) }

// Versions lists the versions that the registry holds, ascending.
func (f *Follower) Versions() []int64 { return f.store.versions() }

// Unserved tells why no champion serves: the registry names none, or one that is not there or cannot be read.
func (f *Follower) Unserved() error {
	if err := f.store.wantedError(); err != nil {
		return err
	}
	return fmt.Errorf("model %s: no champion in the registry yet", f.config.Name)
}

// catchUpIdle ends catching up when the log's end has not been seen: compaction may have removed the last records. A leader that is away
// brings none either, so the end comes with the second time, when one has answered in between.
const catchUpIdle = 5 * time.Second

// endsRetry is the pause between two attempts to learn the log's end, each of which lasts as long as the client retries.
const endsRetry = 2 * time.Second

// Run follows the topic until ctx ends, and returns an error only for a client that cannot be made. It first reads to the
// end that the log had at the start, so that no champion of the past serves meanwhile; a cluster that does not answer
// and a topic that does not exist are waited for.
func (f *Follower) Run(ctx context.Context) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.Close()
	behind := f.awaitEnds(ctx, client)
	for ctx.Err() == nil {
		f.tick(ctx, client, behind)
	}
	return nil
}

func (f *Follower) client() (*kgo.Client, error) {
	client, err := kgo.NewClient(append(f.opts[:len(f.opts):len(f.opts)],
		kgo.ConsumeTopics(f.config.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the end of the log may be a transaction marker
	)...)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return client, nil
}

// awaitEnds asks for the ends until they are known, or ctx ends.
func (f *Follower) awaitEnds(ctx context.Context, client *kgo.Client) map[int32]int64 {
	for attempt := 0; ; attempt++ {
		ends, err := f.ends(ctx, client)
		if err == nil || ctx.Err() != nil {
			return ends
		}
		if attempt == 0 {
			f.logger.Warn("registry: the end of the log is unknown, asking until it is", "topic", f.config.Topic, "error", err,
				"pause", endsRetry)
		}
		timer := time.NewTimer(endsRetry) //nolint:forbidigo // Run waits
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// ends returns the end of each partition that is not empty.
func (f *Follower) ends(ctx context.Context, client *kgo.Client) (map[int32]int64, error) {
	ends := map[int32]int64{}
	listed, err := kadm.NewClient(client).ListCommittedOffsets(ctx, f.config.Topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return ends, err
	}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			ends[o.Partition] = o.Offset
		}
	})
	return ends, nil
}

// tick takes in one poll. Partitions leave behind as their end is reached; while there are any, nothing is promoted.
func (f *Follower) tick(ctx context.Context, client *kgo.Client, behind map[int32]int64) {
	poll := ctx
	if len(behind) > 0 {
		var cancel context.CancelFunc
		poll, cancel = context.WithTimeout(ctx, catchUpIdle)
		defer cancel()
	}
	fetches := client.PollFetches(poll)
	fetches.EachError(func(topic string, partition int32, err error) {
		if poll.Err() == nil {
			f.logger.Warn("registry: fetch failed", "topic", topic, "partition", partition, "error", err)
		}
	})
	if ctx.Err() != nil {
		return
	}
	if poll.Err() == nil {
		f.idle = false
	} else {
		if f.idle {
			clear(behind)
		}
		_, err := f.ends(ctx, client)
		f.idle = err == nil
	}
	fetches.EachRecord(func(r *kgo.Record) {
		if end, ok := behind[r.Partition]; ok && r.Offset+1 >= end {
			delete(behind, r.Partition)
		}
		if r.Attrs.IsControl() {
			return
		}
		if err := f.store.apply(r.Key, r.Value); err != nil {
			f.refuse(fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err))
		}
	})
	if len(behind) > 0 {
		return
	}
	switch changed, err := f.store.promote(); {
	case err != nil:
		f.refuse(err)
	case changed:
		e := f.Champion()
		logChampion(f.logger, e)
		if f.events.Swapped != nil {
			f.events.Swapped(e)
		}
	}
}

func (f *Follower) refuse(err error) {
	f.logger.Error("registry: refused", "error", err)
	if f.events.Refused != nil {
		f.events.Refused(err)
	}
}

// logChampion says which version serves, and warns where it is served by the graph, which takes many times as long as the plan.
func logChampion(logger *slog.Logger, e *Entry) {
	logger.Info("registry: new champion serves", "model", e.Name, "version", e.Version, "parent", e.Lineage.Parent)
	if err := e.Model.PlanError; err != nil {
		logger.Warn("registry: the champion is served slowly, by its graph", "model", e.Name, "version", e.Version, "error", err)
	}
}
