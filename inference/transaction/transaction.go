// Package transaction is what consumers share whose answers and offsets are one Kafka transaction: inference/batch and feedback/stage.
// Keep opens one session after the other, Options says how a session reads and writes, and Commit ends what was produced. What is read
// and answered is the consumers' own.
package transaction

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
	endGrace   = 5 * time.Second // for the transaction that is open when the context ends
)

// Keep runs sessions until ctx ends. One that fails is told, with the pause before the next, and followed by another; pauses grow
// until one has lasted a minute.
func Keep(ctx context.Context, session func(context.Context) error, failed func(err error, pause time.Duration)) {
	retry := firstRetry
	for ctx.Err() == nil {
		started := time.Now() //nolint:forbidigo // a Run loop's
		err := session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > time.Minute {
			retry = firstRetry
		}
		failed(err, retry)
		Pause(ctx, retry)
		retry = min(2*retry, lastRetry)
	}
}

// Pause waits for d or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d) //nolint:forbidigo // a Run loop's
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Options are those of a session: a member of the group that begins at the start, reads what is committed, and writes under the
// transactional id. A transaction that takes longer than timeout is ended by the broker, and so is a membership that is silent for
// sessionTimeout.
func Options(group, id string, timeout, sessionTimeout time.Duration) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that no residue of lag is left behind a marker
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(timeout),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(sessionTimeout / 6),
		kgo.ProducerLinger(0), // the batch is whole when it is produced
	}
}

// Commit writes the records and the offsets of what was polled in one transaction. Meanwhile, if not nil, runs before it is ended. It
// reports false where the group has moved on, and the transaction was aborted. What is begun is ended, also when ctx ends meanwhile,
// within five seconds; it may take timeout otherwise. An error means that the session is of no more use.
func Commit(ctx context.Context, session *kgo.GroupTransactSession, timeout time.Duration, records []*kgo.Record,
	meanwhile func()) (bool, error) {
	open, cancel := outlive(ctx, timeout, endGrace)
	defer cancel()
	if err := session.Begin(); err != nil {
		return false, fmt.Errorf("begin transaction: %w", err)
	}
	promise := kgo.AbortingFirstErrPromise(session.Client())
	for _, r := range records {
		session.Produce(open, r, promise.Promise())
	}
	if meanwhile != nil {
		meanwhile()
	}
	produced := settled(open, promise)
	committed, err := session.End(open, produced == nil)
	switch {
	case err != nil:
		return false, fmt.Errorf("end transaction: %w", errors.Join(err, produced))
	case produced != nil:
		return false, fmt.Errorf("produce: %w", produced)
	}
	return committed, nil
}

// Abort gives back what was polled, by a transaction that is aborted.
func Abort(ctx context.Context, session *kgo.GroupTransactSession, timeout time.Duration) error {
	open, cancel := outlive(ctx, timeout, endGrace)
	defer cancel()
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if _, err := session.End(open, kgo.TryAbort); err != nil {
		return fmt.Errorf("abort transaction: %w", err)
	}
	return nil
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
