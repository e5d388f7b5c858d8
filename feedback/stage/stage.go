package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/inference/transaction"
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

// Run works until ctx ends, which is no error. A session that fails is opened anew with growing pauses.
func (s *Stage) Run(ctx context.Context) error {
	transaction.Keep(ctx, s.session, func(err error, pause time.Duration) {
		s.comeRound() // trying again is
		s.problem.Store(&err)
		s.logger.Warn("stage: session ended, opening a new one", "error", err, "pause", pause)
	})
	return nil
}

// wall is the clock of Run.
func wall() time.Time { return time.Now() } //nolint:forbidigo // part of Run
