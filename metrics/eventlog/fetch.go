package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetcher reads committed records of partitions of one topic by plain fetch requests. Unlike a consumer it always knows
// how far it has come: control records, aborted transactions and the empty batches that compaction leaves behind move its
// position as records do, and every answer tells where the partition's stable end is. It is for one goroutine.
type fetcher struct {
	client  *kgo.Client
	topic   string
	id      [16]byte
	leaders map[int32]int32
	cursors map[int32]*cursor
	stale   bool // whether leaders must be asked for again
	// anew is called where the topic was deleted and made again, before it is read from its start; nil makes that an error.
	anew func()
}

// cursor is where the reading of one partition stands.
type cursor struct {
	// next is the offset to be read next; stable the partition's last stable offset as of its last answer.
	next, stable int64
	// answered is when the last answer came.
	answered time.Time
	err      error
	// skippedTo is where the reading went on when retention had overtaken it; 0 where it never did.
	skippedTo int64
}

const (
	fetchBytes          = 8 << 20
	fetchPartitionBytes = 4 << 20
	fetchBackoff        = 200 * time.Millisecond
	// fetchPatience is how much longer than asked a broker may take. The brokers notice each other's death within their own
	// session timeout, 9s unless changed, and only asking again finds the new leader.
	fetchPatience = 3 * time.Second
)

// newFetcher returns a fetcher at the given offsets.
func newFetcher(client *kgo.Client, topic string, from map[int32]int64) *fetcher {
	f := &fetcher{client: client, topic: topic, cursors: map[int32]*cursor{}, stale: true}
	for p, offset := range from {
		f.cursors[p] = &cursor{next: offset, stable: -1}
	}
	return f
}

// readTo reads each partition up to its end. It tries again after errors of the brokers until ctx ends.
func (f *fetcher) readTo(ctx context.Context, ends map[int32]int64, visit func(*kgo.Record) error) error {
	for {
		for p, end := range ends {
			if c, ok := f.cursors[p]; ok && c.next >= end {
				delete(f.cursors, p)
			}
		}
		if len(f.cursors) == 0 {
			return nil
		}
		err := f.round(ctx, 100*time.Millisecond, time.Time{}, func(r *kgo.Record) error {
			if r.Offset >= ends[r.Partition] {
				return nil
			}
			return visit(r)
		})
		var visitErr *visitError
		switch {
		case errors.As(err, &visitErr):
			return visitErr.err
		case err == nil:
		case sleep(ctx, fetchBackoff) != nil:
			return fmt.Errorf("read %s: %w (last: %w)", f.topic, context.Cause(ctx), err)
		}
	}
}

// visitError marks an error that visit returned.
type visitError struct{ err error }

func (e *visitError) Error() string { return e.err.Error() }
func (e *visitError) Unwrap() error { return e.err }

// round asks every leader once for more, waiting up to maxWait at the broker, and hands the records to visit, partition by
// partition in order. Answered cursors are marked with now. Errors leave the positions as they were; the next round asks
// for the leaders again. A broker that hangs holds a round up for fetchPatience and no longer.
func (f *fetcher) round(ctx context.Context, maxWait time.Duration, now time.Time, visit func(*kgo.Record) error) error {
	if f.stale {
		if err := f.refresh(ctx); err != nil {
			return err
		}
	}
	byLeader := map[int32][]int32{}
	for p := range f.cursors {
		byLeader[f.leaders[p]] = append(byLeader[f.leaders[p]], p)
	}
	type answer struct {
		leader int32
		resp   *kmsg.FetchResponse
		err    error
	}
	answers := make(chan answer, len(byLeader))
	var wg sync.WaitGroup
	for leader, partitions := range byLeader {
		wg.Go(func() {
			resp, err := f.request(ctx, leader, partitions, maxWait)
			answers <- answer{leader, resp, err}
		})
	}
	go func() {
		wg.Wait()
		close(answers)
	}()
	var errs []error
	for a := range answers {
		err := a.err
		if err == nil {
			err = f.take(ctx, a.resp, now, visit)
		}
		if err != nil {
			f.stale = true
			errs = append(errs, fmt.Errorf("fetch %s from broker %d: %w", f.topic, a.leader, err))
			for _, p := range byLeader[a.leader] {
				f.cursors[p].err = err
			}
		}
	}
	return errors.Join(errs...)
}

// refresh learns the topic's id and its partitions' leaders.
func (f *fetcher) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchPatience, errors.New("the broker does not answer"))
	defer cancel()
	meta, err := kadm.NewClient(f.client).Metadata(ctx, f.topic)
	if err != nil {
		return fmt.Errorf("ask for the leaders of %s: %w", f.topic, err)
	}
	topic := meta.Topics[f.topic]
	if topic.Err != nil {
		return fmt.Errorf("ask for the leaders of %s: %w", f.topic, topic.Err)
	}
	if f.id != [16]byte{} && f.id != topic.ID {
		if f.anew == nil {
			return fmt.Errorf("%s was deleted and made again", f.topic)
		}
		f.anew()
		for _, c := range f.cursors {
			c.next, c.stable = 0, -1
		}
	}
	f.id, f.leaders = topic.ID, map[int32]int32{}
	for p := range f.cursors {
		detail, ok := topic.Partitions[p]
		switch {
		case !ok:
			return fmt.Errorf("%s has no partition %d", f.topic, p)
		case detail.Leader < 0:
			return fmt.Errorf("%s partition %d has no leader", f.topic, p)
		}
		f.leaders[p] = detail.Leader
	}
	f.stale = false
	return nil
}

func (f *fetcher) request(ctx context.Context, leader int32, partitions []int32, maxWait time.Duration) (*kmsg.FetchResponse, error) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID = -1
	req.MaxWaitMillis = int32(maxWait.Milliseconds())
	req.MinBytes = 1
	req.MaxBytes = fetchBytes
	req.IsolationLevel = 1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = f.topic, f.id
	for _, p := range partitions {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition = p
		part.FetchOffset = f.cursors[p].next
		part.CurrentLeaderEpoch = -1
		part.PartitionMaxBytes = fetchPartitionBytes
		topic.Partitions = append(topic.Partitions, part)
	}
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeoutCause(ctx, maxWait+fetchPatience, errors.New("the broker does not answer"))
	defer cancel()
	// Not a RetriableRequest: that goes on asking the same broker.
	resp, err := f.client.Broker(int(leader)).Request(ctx, req)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return nil, err
	}
	fetched := resp.(*kmsg.FetchResponse)
	return fetched, kerr.ErrorForCode(fetched.ErrorCode)
}

// take hands on what one answer holds.
func (f *fetcher) take(ctx context.Context, resp *kmsg.FetchResponse, now time.Time, visit func(*kgo.Record) error) error {
	var errs []error
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			part := &resp.Topics[i].Partitions[j]
			c, ok := f.cursors[part.Partition]
			if !ok {
				continue
			}
			if err := f.takePartition(ctx, c, part, now, visit); err != nil {
				errs = append(errs, fmt.Errorf("partition %d: %w", part.Partition, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (f *fetcher) takePartition(ctx context.Context, c *cursor, part *kmsg.FetchResponseTopicPartition, now time.Time,
	visit func(*kgo.Record) error) error {
	opts := kgo.ProcessFetchPartitionOpts{
		Offset: c.next, IsolationLevel: kgo.ReadCommitted(), Topic: f.topic, Partition: part.Partition,
	}
	fetched, next := kgo.ProcessFetchPartition(opts, part, kgo.DefaultDecompressor(), nil)
	if errors.Is(fetched.Err, kerr.OffsetOutOfRange) {
		return f.skipToStart(ctx, c, part.Partition)
	}
	if fetched.Err != nil {
		return fetched.Err
	}
	for _, r := range fetched.Records {
		if err := visit(r); err != nil {
			return &visitError{err}
		}
	}
	c.next, c.stable, c.answered, c.err = next, part.LastStableOffset, now, nil
	return nil
}

// skipToStart moves a position that retention has overtaken to the start of the log. A position beyond the end means that
// the log lost records it had promised to keep: that is an error for a person.
func (f *fetcher) skipToStart(ctx context.Context, c *cursor, partition int32) error {
	starts, err := kadm.NewClient(f.client).ListStartOffsets(ctx, f.topic)
	if err != nil {
		return fmt.Errorf("ask where the log starts: %w", err)
	}
	start, err := offsetOf(starts, f.topic, partition)
	if err != nil {
		return err
	}
	if start <= c.next {
		return fmt.Errorf("offset %d is beyond the end: the partition lost committed records", c.next)
	}
	c.next, c.skippedTo = start, start
	return nil
}

// stableEnds returns the last stable offset of each given partition of a topic: what is committed lies before it.
func stableEnds(ctx context.Context, client *kgo.Client, topic string, partitions []int32) (map[int32]int64, error) {
	listed, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("ask for the end of %s: %w", topic, err)
	}
	ends := make(map[int32]int64, len(partitions))
	for _, p := range partitions {
		if ends[p], err = offsetOf(listed, topic, p); err != nil {
			return nil, err
		}
	}
	return ends, nil
}

// offsetsAt returns, of each given partition, an offset before which no record is of the time or later; that of the first one
// that is, where there was one.
//
// The listing by time asks again for the ends where it finds nothing, so what is written between its two questions lies before
// its answer. Ends asked for before both do not.
func offsetsAt(ctx context.Context, client *kgo.Client, topic string, partitions []int32, at time.Time) (map[int32]int64, error) {
	offsets, err := stableEnds(ctx, client, topic, partitions)
	if err != nil {
		return nil, err
	}
	listed, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, max(0, at.UnixMilli()), topic)
	if err != nil {
		return nil, fmt.Errorf("ask for the offsets of %s at %s: %w", topic, at.Format(time.RFC3339), err)
	}
	for p, end := range offsets {
		first, err := offsetOf(listed, topic, p)
		if err != nil {
			return nil, err
		}
		offsets[p] = min(first, end)
	}
	return offsets, nil
}

// offsetOf returns what the brokers said of one partition.
func offsetOf(listed kadm.ListedOffsets, topic string, partition int32) (int64, error) {
	o, ok := listed.Lookup(topic, partition)
	switch {
	case !ok:
		return 0, fmt.Errorf("%s has no partition %d: %w", topic, partition, kerr.UnknownTopicOrPartition)
	case o.Err != nil:
		return 0, fmt.Errorf("ask for an offset of %s partition %d: %w", topic, partition, o.Err)
	}
	return o.Offset, nil
}

func wall() time.Time { return time.Now() } //nolint:forbidigo // part of the Runs of Owner and Follower

// sleep waits for d or the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d) //nolint:forbidigo // Run waits
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
