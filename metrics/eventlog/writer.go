package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// kafkaBackend writes one shard by a producer of its own, whose transactional id is the shard's.
type kafkaBackend struct {
	cfg      Config
	producer *kgo.Client
	log      *slog.Logger
	metrics  *ownerMetrics
	// takeOvers bounds how many shards of this process are recovered at once.
	takeOvers *semaphore.Weighted
	buf       []byte
}

// openBackend makes the producer and takes the shard over: from here on every writer before it is fenced.
func openBackend(ctx context.Context, cfg Config, opts []kgo.Opt, shard int32, log *slog.Logger, m *ownerMetrics,
	takeOvers *semaphore.Weighted) (*kafkaBackend, error) {
	all := append(opts[:len(opts):len(opts)],
		kgo.ClientID(cfg.Instance),
		kgo.TransactionalID(cfg.transactionalID(shard)),
		kgo.TransactionTimeout(cfg.AppendTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// A tick is one batch a topic: it is sent whole, when all of it is there.
		kgo.ManualFlushing(),
		kgo.MaxBufferedRecords(1<<20),
		kgo.ProducerBatchMaxBytes(maxBatchBytes),
		kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)),
		// A broker that hangs is given up within the append, so that the new leader gets the rest of its time.
		kgo.ProduceRequestTimeout(cfg.AppendTimeout/3),
		// No RecordDeliveryTimeout: it counts from a record's timestamp, which is the tick's. The append's context bounds it.
		kgo.RequestTimeoutOverhead(requestPatience),
		kgo.MetadataMinAge(250*time.Millisecond),
	)
	client, err := kgo.NewClient(all...)
	if err != nil {
		return nil, fmt.Errorf("shard %d: make the producer: %w", shard, err)
	}
	if _, err := retry(ctx, func() (int64, error) {
		id, _, err := client.ProducerID(ctx)
		return id, err
	}); err != nil {
		client.Close()
		return nil, fmt.Errorf("shard %d: take over transactional id %s: %w", shard, cfg.transactionalID(shard), err)
	}
	return &kafkaBackend{cfg: cfg, producer: client, log: log, metrics: m, takeOvers: takeOvers}, nil
}

const (
	// maxBatchBytes bounds one batch: the checkpoints of one tick must fit. The topics are created with room for it.
	maxBatchBytes = 4 << 20
	// requestPatience is how long a broker may take longer than asked before its connection counts as dead. A broker
	// that hangs must not take up the whole AppendTimeout.
	requestPatience = 3 * time.Second
)

func (k *kafkaBackend) durable() bool { return true }

func (k *kafkaBackend) close() { k.producer.Close() }

// write implements backend.
func (k *kafkaBackend) write(ctx context.Context, s *Shard, b *batch) (int64, error) {
	start := wall()
	// A hand-over lets the append end: what is begun is then in the log, and the next owner need not wonder.
	owner := ctx
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(owner, func() {
		if cause := context.Cause(owner); !errors.Is(cause, ErrHandover) {
			stop(cause)
		}
	})()
	ctx, cancel := context.WithTimeoutCause(ctx, k.cfg.AppendTimeout, errors.New("the append took longer than appendTimeout"))
	defer cancel()
	end, err := k.transact(ctx, s, b)
	k.metrics.appended(time.Since(start), len(b.ticks), err)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		if fenced(err) {
			return 0, &FencedError{s.Number, err}
		}
		return 0, fmt.Errorf("shard %d: append %d ticks: %w", s.Number, len(b.ticks), err)
	}
	return end, nil
}

// fenced reports whether err says that the transactional id has a newer owner.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidProducerIDMapping)
}

func (k *kafkaBackend) transact(ctx context.Context, s *Shard, b *batch) (int64, error) {
	if err := k.producer.BeginTransaction(); err != nil {
		return 0, fmt.Errorf("begin the transaction: %w", err)
	}
	var mu sync.Mutex
	var first error
	end := s.end
	produce := func(topic, policy string, at time.Time, value []byte) {
		r := &kgo.Record{Topic: topic, Partition: s.Number, Key: []byte(policy), Value: value, Timestamp: at}
		k.producer.Produce(ctx, r, func(r *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = fmt.Errorf("produce to %s: %w", r.Topic, err)
			}
			if err == nil && r.Topic == k.cfg.observations() {
				end = max(end, r.Offset+1)
			}
		})
	}
	// All values of the transaction share one buffer, which grows to fit and is then kept.
	buf := k.buf[:0]
	value := func(appendTo func([]byte) []byte) []byte {
		from := len(buf)
		buf = appendTo(buf)
		return buf[from:len(buf):len(buf)]
	}
	for i := range b.ticks {
		produce(k.cfg.observations(), b.ticks[i].Policy, b.ticks[i].At, value(b.ticks[i].AppendTo))
	}
	for i := range b.decisions {
		produce(k.cfg.decisions(), b.decisions[i].Policy, b.decisions[i].At, value(b.decisions[i].AppendTo))
	}
	for i := range b.checkpoints {
		produce(k.cfg.checkpoints(), b.checkpoints[i].Policy, b.checkpoints[i].At, value(b.checkpoints[i].AppendTo))
	}
	for _, policy := range b.forgotten {
		produce(k.cfg.decisions(), policy, time.Time{}, nil)
		produce(k.cfg.checkpoints(), policy, time.Time{}, nil)
	}
	k.buf = buf
	if err := k.producer.Flush(ctx); err != nil {
		return 0, fmt.Errorf("flush: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if first != nil {
		return 0, first
	}
	if err := k.producer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	return end, nil
}
