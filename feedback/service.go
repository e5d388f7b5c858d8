package feedback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/feedback/join"
	"github.com/prescale/prescale/feedback/stage"
	"github.com/prescale/prescale/feedback/train"
	"github.com/prescale/prescale/inference/registry"
)

// Config of one instance.
type Config struct {
	Join  join.Config
	Train train.Config

	JoinGroup, TrainGroup           string // consumer groups, default "feedback-join" and "feedback-train"
	JoinStateTopic, TrainStateTopic string // compacted, default "feedback.join-state" and "feedback.train-state"

	// Instance is what tells this instance from the others, best kept over a restart. Required.
	Instance           string
	BatchRecords       int           // most records of one transaction, default 1000
	TransactionTimeout time.Duration // default 15s
}

// DefaultConfig leaves Instance and Train.Architecture to be set.
func DefaultConfig() Config {
	return Config{
		Join: join.DefaultConfig(), Train: train.DefaultConfig(),
		JoinGroup: "feedback-join", TrainGroup: "feedback-train",
		JoinStateTopic: "feedback.join-state", TrainStateTopic: "feedback.train-state",
		BatchRecords: 1000, TransactionTimeout: 15 * time.Second,
	}
}

// Validate tells everything that is wrong with c.
func (c Config) Validate() error {
	errs := []error{c.Join.Validate(), c.Train.Validate()}
	if c.Instance == "" {
		errs = append(errs, errors.New("feedback: instance: missing"))
	}
	errs = append(errs, c.joinStage().Validate(), c.trainStage().Validate())
	return errors.Join(errs...)
}

func (c Config) joinStage() stage.Config {
	return stage.Config{
		Name: "join", Group: c.JoinGroup, Topics: []string{c.Join.Predictions, c.Join.Outcomes}, StateTopic: c.JoinStateTopic,
		TransactionalID: c.JoinGroup + "-" + c.Instance, TransactionTimeout: c.TransactionTimeout, BatchRecords: c.BatchRecords,
	}
}

func (c Config) trainStage() stage.Config {
	return stage.Config{
		Name: "train", Group: c.TrainGroup, Topics: []string{c.Join.Examples}, StateTopic: c.TrainStateTopic,
		TransactionalID: c.TrainGroup, TransactionTimeout: c.TransactionTimeout, BatchRecords: c.BatchRecords,
	}
}

// Service is one instance. Run it once; Snapshot and Ready may be called at any time from anywhere.
type Service struct {
	config      Config
	logger      *slog.Logger
	opts        []kgo.Opt
	join, train *stage.Stage
	snapshot    atomic.Pointer[train.Snapshot]

	mu     sync.Mutex
	joins  map[int32]joinCounts // of the partitions held, as of their last commit
	joined join.Counts          // of all that were ever held here
}

// joinCounts are what a processor had counted.
type joinCounts struct {
	of     *join.Processor
	counts join.Counts
}

// New builds an instance and registers its metrics with r. The options say how to reach Kafka and are applied to every client.
func New(c Config, logger *slog.Logger, r prometheus.Registerer, opts ...kgo.Opt) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Service{config: c, logger: logger, opts: opts, joins: map[int32]joinCounts{}}
	var err error
	s.join, err = stage.New(c.joinStage(), logger, func(context.Context, int32) (stage.Processor, error) {
		return join.New(c.Join, logger), nil
	}, s.noteJoined, opts...)
	if err != nil {
		return nil, err
	}
	s.train, err = stage.New(c.trainStage(), logger, s.learner, s.noteTrained, opts...)
	if err != nil {
		return nil, err
	}
	if err := r.Register(collector{s}); err != nil {
		return nil, fmt.Errorf("feedback: metrics: %w", err)
	}
	return s, nil
}

// learner makes the processor of the examples' partition, with what the registry holds should there be no state yet.
func (s *Service) learner(ctx context.Context, partition int32) (stage.Processor, error) {
	if partition != 0 {
		return nil, fmt.Errorf("topic %s has more than one partition: create it with one, its order is what training depends on",
			s.config.Join.Examples)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	champion, last, err := registry.Read(ctx, s.config.Train.Registry, s.logger, s.opts...)
	if err != nil {
		return nil, err
	}
	return train.New(s.config.Train, train.Existing{Champion: champion, LastVersion: last}, s.logger)
}

// noteJoined adds what a processor has counted since its last commit. A new processor of the partition counts from 0.
func (s *Service) noteJoined(partition int32, p stage.Processor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := p.(*join.Processor)
	if !ok {
		delete(s.joins, partition)
		return
	}
	now := j.Counts()
	before := s.joins[partition]
	if before.of != j {
		before.counts = join.Counts{}
	}
	s.joined.Matched += now.Matched - before.counts.Matched
	s.joined.Expired += now.Expired - before.counts.Expired
	s.joined.Unknown += now.Unknown - before.counts.Unknown
	s.joined.Undecodable += now.Undecodable - before.counts.Undecodable
	s.joins[partition] = joinCounts{j, now}
}

func (s *Service) noteTrained(_ int32, p stage.Processor) {
	l, ok := p.(*train.Learner)
	if !ok {
		s.snapshot.Store(nil)
		return
	}
	snapshot := l.Snapshot()
	s.snapshot.Store(&snapshot)
}

// Run joins and trains until ctx ends; that is no error. The transactions that are open then are finished first.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.join.Run(ctx) })
	group.Go(func() error { return s.train.Run(ctx) })
	return group.Wait()
}

// Snapshot returns what the learner knew at its last commit; false on an instance that does not train.
func (s *Service) Snapshot() (train.Snapshot, bool) {
	if p := s.snapshot.Load(); p != nil {
		return *p, true
	}
	return train.Snapshot{}, false
}

// Ready returns nil while both stages work.
func (s *Service) Ready() error { return errors.Join(s.join.Problem(), s.train.Problem()) }

// liveAge is how old a stage's last round may be: longer than taking over a partition with its state.
const liveAge = 2 * time.Minute

// Live returns nil while both stages come round, as of now.
func (s *Service) Live(now time.Time) error {
	var errs []error
	for name, beat := range map[string]time.Time{"join": s.join.Beat(), "train": s.train.Beat()} {
		if !beat.IsZero() && now.Sub(beat) > liveAge {
			errs = append(errs, fmt.Errorf("stage %s last came round at %s", name, beat.UTC().Format(time.RFC3339)))
		}
	}
	return errors.Join(errs...)
}
