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
func NewLoop(c Config, source Source, logger *slog.Logger, r prometheus.Registerer, latency prometheus.Observer, opts ...kgo.Opt) (*Loop, error) {
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

const (
	idlePoll   = time.Second // how long one poll waits, so that the beat goes on over an empty queue
	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
	endGrace   = 5 * time.Second // for the transaction that is open when ctx ends
)

// Run consumes until ctx ends, which is no error. It waits for a champion before it joins the group, so that a replica
// without a model never holds partitions, and opens a new session with growing pauses when one fails.
func (l *Loop) Run(ctx context.Context) error {
	retry := firstRetry
	for ctx.Err() == nil {
		if l.source.Champion() == nil {
			l.note(wall(), 0, errNoChampion)
			pause(ctx, 100*time.Millisecond)
			continue
		}
		started := wall()
		err := l.session(ctx)
		if ctx.Err() != nil {
			break
		}
		l.metrics.transactions.WithLabelValues("failed").Inc()
		if time.Since(started) > time.Minute {
			retry = firstRetry
		}
		l.logger.Warn("batch: session ended, opening a new one", "error", err, "pause", retry)
		l.note(wall(), 0, err)
		pause(ctx, retry)
		retry = min(2*retry, lastRetry)
	}
	return nil
}

// session consumes with one client until ctx ends or the client can no longer be trusted.
func (l *Loop) session(ctx context.Context) error {
	c := l.config
	opts := []kgo.Opt{
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeTopics(c.Requests),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.TransactionalID(c.Group + "-" + c.Instance),
		kgo.TransactionTimeout(c.TransactionTimeout),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(c.SessionTimeout / 6),
		kgo.ProducerLinger(0), // the batch is whole when it is produced
	}
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
	// What is begun is ended, also when ctx ends meanwhile.
	transaction, cancel := outlive(ctx, l.config.TransactionTimeout, endGrace)
	defer cancel()
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	promise := kgo.AbortingFirstErrPromise(session.Client())
	for _, a := range answers {
		session.Produce(transaction, a, promise.Promise())
	}
	if l.config.ServiceTime > 0 {
		pause(ctx, time.Duration(len(answers))*l.config.ServiceTime-time.Since(started))
	}
	produced := settled(transaction, promise)
	committed, err := session.End(transaction, produced == nil)
	ended := wall()
	l.metrics.busy.Add(ended.Sub(started).Seconds())
	switch {
	case err != nil:
		return fmt.Errorf("end transaction: %w", errors.Join(err, produced))
	case produced != nil:
		return fmt.Errorf("produce: %w", produced)
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

// settled waits for what was produced, at most until ctx ends: a record that a broker may have got is kept while no broker tells,
// whatever its own context says.
func settled(ctx context.Context, promise *kgo.FirstErrPromise) error {
	told := make(chan error, 1)
	go func() { told <- promise.Err() }()
	select {
	case err := <-told:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
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
