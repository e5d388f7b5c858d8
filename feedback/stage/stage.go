package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Processor is the work of one partition. It is called from one goroutine, does no I/O and reads no clock: the same calls
// give the same output. A processor whose output did not commit is thrown away and made anew from its state.
type Processor interface {
	// Restore takes the whole state over; it is empty the first time. It is called once, before anything else.
	Restore(state map[string][]byte) error
	// Start returns what is to be written before the first record, once after each Restore; often nothing.
	Start() (Output, error)
	// Process takes records of the partition in: by topic in the order of Config.Topics, by offset within a topic, control
	// records left out. The records are not kept.
	Process(records []*kgo.Record) (Output, error)
}

// RecordBytes is how large a value a Processor may write, in a record or under a key of its state: brokers and clients take batches of
// 1,000,012 bytes by default, and a larger one would stop all behind it.
const RecordBytes = 950_000

// Output is what a processor wants written.
type Output struct {
	Records []*kgo.Record
	State   map[string][]byte // changes; a nil value deletes the key
}

func (o Output) empty() bool { return len(o.Records) == 0 && len(o.State) == 0 }

// Config of a Stage.
type Config struct {
	Name       string   // in logs
	Group      string   // consumer group
	Topics     []string // input
	StateTopic string   // compacted, as many partitions as each input topic

	// TransactionalID must be the instance's own for a stage whose partitions are spread over instances. A stage with one
	// partition does better with one id for all instances: then a new owner ends its predecessor's open transaction at once.
	TransactionalID    string
	TransactionTimeout time.Duration // default 15s

	BatchRecords int // most records of one transaction, default 1000
}

// Validate tells everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	for _, field := range []struct{ key, value string }{
		{"name", c.Name}, {"group", c.Group}, {"stateTopic", c.StateTopic}, {"transactionalID", c.TransactionalID},
	} {
		if field.value == "" {
			errs = append(errs, fmt.Errorf("stage %s: %s: missing", c.Name, field.key))
		}
	}
	if len(c.Topics) == 0 {
		errs = append(errs, fmt.Errorf("stage %s: topics: missing", c.Name))
	}
	if c.BatchRecords < 1 {
		errs = append(errs, fmt.Errorf("stage %s: batchRecords: %d is below 1", c.Name, c.BatchRecords))
	}
	if c.TransactionTimeout < time.Second {
		errs = append(errs, fmt.Errorf("stage %s: transactionTimeout: %v is below 1s", c.Name, c.TransactionTimeout))
	}
	return errors.Join(errs...)
}

// Stage is one member. Run it once.
type Stage struct {
	config    Config
	logger    *slog.Logger
	opts      []kgo.Opt
	create    func(ctx context.Context, partition int32) (Processor, error)
	committed func(partition int32, p Processor)

	problem atomic.Pointer[error]
	beat    atomic.Pointer[time.Time]
}

// New checks the config. Create makes the processor of a partition that has been taken over, and may do I/O. Committed, if
// not nil, is told of each processor whose output has just been committed, and of no processor (nil) once the partition has left. The
// options say how to reach Kafka and come after the stage's own.
func New(c Config, logger *slog.Logger, create func(ctx context.Context, partition int32) (Processor, error),
	committed func(partition int32, p Processor), opts ...kgo.Opt) (*Stage, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if committed == nil {
		committed = func(int32, Processor) {}
	}
	return &Stage{config: c, logger: logger.With("stage", c.Name), opts: opts, create: create, committed: committed}, nil
}

// Beat returns when the stage last came round, the zero time before it has.
func (s *Stage) Beat() time.Time {
	if at := s.beat.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

func (s *Stage) comeRound() {
	now := wall()
	s.beat.Store(&now)
}

// Problem returns why the stage is not working, nil when it is.
func (s *Stage) Problem() error {
	if p := s.problem.Load(); p != nil {
		return *p
	}
	return nil
}

// sessionTimeout is how long an instance that died keeps its partitions: the least that brokers allow unless told otherwise.
const sessionTimeout = 6 * time.Second

const (
	idlePoll   = time.Second
	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
	endGrace   = 5 * time.Second // for the transaction that is open when ctx ends
)

// Run works until ctx ends, which is no error. A session that fails is opened anew with growing pauses.
func (s *Stage) Run(ctx context.Context) error {
	retry := firstRetry
	for ctx.Err() == nil {
		started := wall()
		err := s.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(started) > time.Minute {
			retry = firstRetry
		}
		s.comeRound() // trying again is
		s.problem.Store(&err)
		s.logger.Warn("stage: session ended, opening a new one", "error", err, "pause", retry)
		pause(ctx, retry)
		retry = min(2*retry, lastRetry)
	}
	return nil
}

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
	run := &session{Stage: s, processors: map[int32]Processor{}, told: map[int32]bool{}, assigned: map[int32]int{}, dropped: map[int32]bool{}}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(s.config.Group),
		kgo.ConsumeTopics(s.config.Topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),           // so that no residue of lag is left behind a marker
		kgo.Balancers(kgo.RangeBalancer()), // gives partitions of one number to one member
		kgo.TransactionalID(s.config.TransactionalID),
		kgo.TransactionTimeout(s.config.TransactionTimeout),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(sessionTimeout / 6),
		kgo.ProducerLinger(0),
		kgo.RecordPartitioner(partitioner{s.config.StateTopic}),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { run.assign(parts) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { run.drop(parts) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { run.drop(parts) }),
	}
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
			return nil, fmt.Errorf("partition %d was assigned of %d of the topics %v: give them the same number of partitions", p, topics, s.config.Topics)
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

// abandon gives back what was polled, by a transaction that is aborted.
func (s *session) abandon(ctx context.Context) error {
	transaction, cancel := outlive(ctx, s.config.TransactionTimeout, endGrace)
	defer cancel()
	if err := s.kafka.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	clear(s.processors)
	if _, err := s.kafka.End(transaction, kgo.TryAbort); err != nil {
		return fmt.Errorf("abort transaction: %w", err)
	}
	return nil
}

// commit writes the outputs, the state's changes and the offsets in one transaction. When that is aborted because the group
// has moved on, the processors, which are ahead of their state now, are thrown away.
func (s *session) commit(ctx context.Context, outputs map[int32]Output, batches []batch) error {
	transaction, cancel := outlive(ctx, s.config.TransactionTimeout, endGrace)
	defer cancel()
	if err := s.kafka.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	promise := kgo.AbortingFirstErrPromise(s.kafka.Client())
	for _, r := range s.records(outputs, batches) {
		s.kafka.Produce(transaction, r, promise.Promise())
	}
	produced := promise.Err()
	committed, err := s.kafka.End(transaction, produced == nil)
	switch {
	case err != nil:
		return fmt.Errorf("end transaction: %w", errors.Join(err, produced))
	case produced != nil:
		return fmt.Errorf("produce: %w", produced)
	case !committed:
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

// outlive returns a context that ends after limit, or grace after ctx, whichever is first.
func outlive(ctx context.Context, limit, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { stop(); cancel() }
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d) //nolint:forbidigo // Run waits
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// wall is the clock of Run.
func wall() time.Time { return time.Now() } //nolint:forbidigo // part of Run
