package batch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/inference/registry"
	"github.com/prescale/prescale/inference/transaction"
)

// Source tells which version serves at the moment, nil for none yet.
type Source interface{ Champion() *registry.Entry }

// Loop is one replica's consumer. Run it once; the other methods may be called at any time from anywhere.
type Loop struct {
	config  Config
	source  Source
	logger  *slog.Logger
	opts    []kgo.Opt
	metrics *metrics
	predict predictor

	status atomic.Pointer[Status]
}

// Status tells how a Loop is.
type Status struct {
	Beat     time.Time // when the loop last came round
	Problem  error     // why it is not consuming, nil when it is
	Answered int64     // requests answered in committed transactions
}

// NewLoop checks the config. Latency is observed in seconds from request to committed prediction. The options say how to
// reach Kafka and come after the loop's own, so they may override them.
func NewLoop(c Config, source Source, logger *slog.Logger, r prometheus.Registerer, latency prometheus.Observer,
	opts ...kgo.Opt) (*Loop, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(r, latency)
	if err != nil {
		return nil, fmt.Errorf("batch: metrics: %w", err)
	}
	l := &Loop{config: c, source: source, logger: logger, opts: opts, metrics: m,
		predict: predictor{predictions: c.Predictions, deadLetters: c.DeadLetters}}
	l.status.Store(&Status{Problem: errNotStarted})
	return l, nil
}

var (
	errNotStarted = errors.New("the loop has not started")
	errNoChampion = errors.New("no model version is champion yet: start the trainer, or give a model file")
)

// Status returns the newest status.
func (l *Loop) Status() Status { return *l.status.Load() }

// idlePoll is how long one poll waits, so that the beat goes on over an empty queue.
const idlePoll = time.Second

// Run consumes until ctx ends, which is no error, and opens a new session with growing pauses when one fails.
func (l *Loop) Run(ctx context.Context) error {
	transaction.Keep(ctx, l.session, func(err error, pause time.Duration) {
		l.metrics.transactions.WithLabelValues("failed").Inc()
		l.logger.Warn("batch: session ended, opening a new one", "error", err, "pause", pause)
		l.note(wall(), 0, err)
	})
	return nil
}

// session consumes with one client until ctx ends or the client can no longer be trusted. It waits for a champion before it joins the
// group, so that a replica without a model never holds partitions.
func (l *Loop) session(ctx context.Context) error {
	for l.source.Champion() == nil {
		l.note(wall(), 0, errNoChampion)
		if transaction.Pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return nil
		}
	}
	c := l.config
	opts := append(transaction.Options(c.Group, c.Group+"-"+c.Instance, c.TransactionTimeout, c.SessionTimeout),
		kgo.ConsumeTopics(c.Requests))
	session, err := kgo.NewGroupTransactSession(append(opts, l.opts...)...)
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	defer session.Close()
	// Asking for the producer id ends a transaction that a predecessor with the same id left open. Otherwise the group's
	// offsets would not be told before it times out.
	if _, _, err := session.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("producer id: %w", err)
	}
	for ctx.Err() == nil {
		if err := l.tick(ctx, session); err != nil {
			return err
		}
	}
	return nil
}

// tick answers one batch. An error means that the session is of no more use.
func (l *Loop) tick(ctx context.Context, session *kgo.GroupTransactSession) error {
	poll, cancel := context.WithTimeout(ctx, idlePoll)
	fetches := session.PollRecords(poll, l.config.BatchRecords)
	cancel()
	if ctx.Err() != nil {
		return nil
	}
	if fetches.IsClientClosed() {
		return kgo.ErrClientClosed
	}
	started := wall()
	var problem error
	fetches.EachError(func(topic string, partition int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			problem = fmt.Errorf("fetch %s/%d: %w", topic, partition, err)
			l.logger.Warn("batch: fetch failed", "topic", topic, "partition", partition, "error", err)
		}
	})
	records := fetches.Records()
	if len(records) == 0 {
		l.note(started, 0, problem)
		return nil
	}
	entry := l.source.Champion()
	answers, dead, err := l.predict.answer(entry, records, started)
	if err != nil {
		return err
	}
	committed, err := transaction.Commit(ctx, session, l.config.TransactionTimeout, answers, func() {
		if l.config.ServiceTime > 0 {
			transaction.Pause(ctx, time.Duration(len(answers))*l.config.ServiceTime-time.Since(started))
		}
	})
	ended := wall()
	l.metrics.busy.Add(ended.Sub(started).Seconds())
	switch {
	case err != nil:
		return err
	case !committed:
		l.metrics.transactions.WithLabelValues("aborted").Inc()
		l.note(ended, 0, problem)
		return nil
	}
	l.metrics.transactions.WithLabelValues("committed").Inc()
	l.metrics.requests.WithLabelValues("dead_letter").Add(float64(dead))
	l.metrics.requests.WithLabelValues("predicted").Add(float64(len(answers) - dead))
	if len(answers) > 0 {
		l.metrics.records.Observe(float64(len(answers)))
	}
	for _, r := range l.predict.requests {
		l.metrics.latency.Observe(max(0, ended.Sub(r.RequestedAt).Seconds()))
	}
	l.note(ended, len(answers), problem)
	return nil
}

// note publishes the status. Only Run's goroutine calls it.
func (l *Loop) note(now time.Time, answered int, problem error) {
	l.status.Store(&Status{Beat: now, Problem: problem, Answered: l.status.Load().Answered + int64(answered)})
}

// wall is the clock of Run.
func wall() time.Time { return time.Now() } //nolint:forbidigo // part of Run
