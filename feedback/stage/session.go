package stage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/inference/transaction"
)

// sessionTimeout is how long an instance that died keeps its partitions: the least that brokers allow unless told otherwise.
const sessionTimeout = 6 * time.Second

// idlePoll is how long one poll waits, so that the beat goes on over empty topics.
const idlePoll = time.Second

// session is the life of one client.
type session struct {
	*Stage
	kafka      *kgo.GroupTransactSession
	processors map[int32]Processor
	told       map[int32]bool // partitions that committed was told a processor of

	mu       sync.Mutex
	assigned map[int32]int  // how many of the input topics' partitions of that number are ours
	dropped  map[int32]bool // partitions that left us since the last look
}

func (s *Stage) session(ctx context.Context) error {
	run := &session{Stage: s, processors: map[int32]Processor{}, told: map[int32]bool{}, assigned: map[int32]int{},
		dropped: map[int32]bool{}}
	opts := append(transaction.Options(s.config.Group, s.config.TransactionalID, s.config.TransactionTimeout, sessionTimeout),
		kgo.ConsumeTopics(s.config.Topics...),
		kgo.Balancers(kgo.RangeBalancer()), // gives partitions of one number to one member
		kgo.RecordPartitioner(partitioner{s.config.StateTopic}),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { run.assign(parts) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { run.drop(parts) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { run.drop(parts) }),
	)
	kafka, err := kgo.NewGroupTransactSession(append(opts, s.opts...)...)
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	defer kafka.Close()
	run.kafka = kafka
	for ctx.Err() == nil {
		if err := run.tick(ctx); err != nil {
			for p := range run.told {
				s.committed(p, nil)
			}
			return err
		}
	}
	return nil
}

func (s *session) assign(parts map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range parts {
		for _, p := range list {
			s.assigned[p]++
		}
	}
}

func (s *session) drop(parts map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range parts {
		for _, p := range list {
			delete(s.assigned, p)
			s.dropped[p] = true
		}
	}
}

// settle forgets the processors of partitions that left, takes over those that came, and returns what the new ones want
// written first.
func (s *session) settle(ctx context.Context) (map[int32]Output, error) {
	s.mu.Lock()
	var wanted []int32
	left := slices.Sorted(maps.Keys(s.dropped))
	clear(s.dropped)
	for p, topics := range s.assigned {
		if topics != len(s.config.Topics) {
			s.mu.Unlock()
			return nil, fmt.Errorf("partition %d was assigned of %d of the topics %v: give them the same number of partitions", p,
				topics, s.config.Topics)
		}
		if s.processors[p] == nil || slices.Contains(left, p) {
			wanted = append(wanted, p)
		}
	}
	s.mu.Unlock()
	for _, p := range left {
		delete(s.processors, p)
		if s.told[p] {
			delete(s.told, p)
			s.committed(p, nil)
		}
	}
	starts := map[int32]Output{}
	for _, p := range wanted {
		s.comeRound() // a dozen large states take minutes, and an instance that is ended for that never gets through them
		start, err := s.takeOver(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("take over partition %d: %w", p, err)
		}
		if !start.empty() {
			starts[p] = start
		}
	}
	return starts, nil
}

// takeOver makes a partition's processor from its state. Asking for the producer id first ends a transaction that a predecessor
// with the same transactional id left open; its offsets would be waited for until it times out.
func (s *session) takeOver(ctx context.Context, partition int32) (Output, error) {
	if _, _, err := s.kafka.Client().ProducerID(ctx); err != nil {
		return Output{}, fmt.Errorf("producer id of %s: %w", s.config.TransactionalID, err)
	}
	state, err := s.restore(ctx, partition)
	if apart := (*apartError)(nil); errors.As(err, &apart) && len(apart.committed) == 0 {
		return Output{}, s.commitAgain(ctx, apart)
	}
	if err != nil {
		return Output{}, err
	}
	p, err := s.create(ctx, partition)
	if err != nil {
		return Output{}, err
	}
	if err := p.Restore(state); err != nil {
		return Output{}, fmt.Errorf("restore from %s/%d: %w", s.config.StateTopic, partition, err)
	}
	s.logger.Info("stage: took over a partition", "partition", partition, "stateKeys", len(state))
	s.processors[partition] = p
	return p.Start()
}

// tick processes one poll.
func (s *session) tick(ctx context.Context) error {
	s.comeRound()
	starts, err := s.settle(ctx)
	if err != nil {
		return err
	}
	if len(starts) > 0 {
		if err := s.commit(ctx, starts, nil); err != nil {
			return err
		}
	}
	poll, cancel := context.WithTimeout(ctx, idlePoll)
	fetches := s.kafka.PollRecords(poll, s.config.BatchRecords)
	cancel()
	if ctx.Err() != nil {
		return nil
	}
	if fetches.IsClientClosed() {
		return kgo.ErrClientClosed
	}
	var problem error
	fetches.EachError(func(topic string, partition int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			problem = fmt.Errorf("fetch %s/%d: %w", topic, partition, err)
			s.logger.Warn("stage: fetch failed", "topic", topic, "partition", partition, "error", err)
		}
	})
	s.problem.Store(&problem)
	if fetches.NumRecords() == 0 {
		return nil
	}
	// Partitions may have come with this very poll. What was polled is committed with the next transaction, so what they
	// want written first goes into the same one.
	outputs, err := s.settle(ctx)
	if err != nil {
		return err
	}
	batches := gather(fetches, s.config.Topics)
	for _, b := range batches {
		p := s.processors[b.partition]
		if p == nil { // it left since the poll
			return s.abandon(ctx)
		}
		out, err := p.Process(b.records)
		if err != nil {
			return fmt.Errorf("process partition %d: %w", b.partition, err)
		}
		outputs[b.partition] = merge(outputs[b.partition], out)
	}
	return s.commit(ctx, outputs, batches)
}

// merge joins what was wanted first and what was wanted then; the later change of a key wins.
func merge(first, then Output) Output {
	if first.empty() {
		return then
	}
	out := Output{Records: append(first.Records, then.Records...), State: maps.Clone(first.State)}
	if out.State == nil {
		out.State = map[string][]byte{}
	}
	maps.Copy(out.State, then.State)
	return out
}

// abandon gives back what was polled.
func (s *session) abandon(ctx context.Context) error {
	clear(s.processors)
	return transaction.Abort(ctx, s.kafka, s.config.TransactionTimeout)
}

// commit writes the outputs, the state's changes and the offsets in one transaction. When that is aborted because the group
// has moved on, the processors, which are ahead of their state now, are thrown away.
func (s *session) commit(ctx context.Context, outputs map[int32]Output, batches []batch) error {
	committed, err := transaction.Commit(ctx, s.kafka, s.config.TransactionTimeout, s.records(outputs, batches), nil)
	if err != nil {
		return err
	}
	if !committed {
		s.logger.Info("stage: transaction aborted, the group has moved on")
		clear(s.processors)
		return nil
	}
	for _, p := range sortedKeys(outputs) {
		s.told[p] = true
		s.committed(p, s.processors[p])
	}
	return nil
}
