package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/inference/transaction"
)

// offsetsKey is the key of the state record that holds, as JSON, the next offset to read of each topic. A processor's keys
// get the prefix keyPrefix, so that none can be the same.
const (
	offsetsKey = "offsets"
	keyPrefix  = "k/"
)

// stateVersion is written with the offsets. Raise it when the layout of the state topic changes.
const stateVersion = 1

type offsets struct {
	V    int              `json:"v"`
	Next map[string]int64 `json:"next"` // by topic
}

// batch is what one poll brought for one partition number.
type batch struct {
	partition int32
	records   []*kgo.Record    // without control records
	next      map[string]int64 // by topic, control records included
}

// gather sorts a poll by partition, and within it by topic in the given order.
func gather(fetches kgo.Fetches, topics []string) []batch {
	byNumber := map[int32]*batch{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		b := byNumber[p.Partition]
		if b == nil {
			b = &batch{partition: p.Partition, next: map[string]int64{}}
			byNumber[p.Partition] = b
		}
		for _, r := range p.Records {
			b.next[r.Topic] = max(b.next[r.Topic], r.Offset+1)
			if !r.Attrs.IsControl() {
				b.records = append(b.records, r)
			}
		}
	})
	var out []batch
	for _, p := range sortedKeys(byNumber) {
		b := byNumber[p]
		slices.SortStableFunc(b.records, func(x, y *kgo.Record) int {
			return cmp.Or(cmp.Compare(slices.Index(topics, x.Topic), slices.Index(topics, y.Topic)), cmp.Compare(x.Offset, y.Offset))
		})
		out = append(out, *b)
	}
	return out
}

// records lists everything one transaction writes, in a fixed order.
func (s *session) records(outputs map[int32]Output, batches []batch) []*kgo.Record {
	var out []*kgo.Record
	for _, p := range sortedKeys(outputs) {
		out = append(out, outputs[p].Records...)
		for _, key := range sortedKeys(outputs[p].State) {
			out = append(out, s.stateRecord(p, keyPrefix+key, outputs[p].State[key]))
		}
	}
	for _, b := range batches {
		value, err := json.Marshal(offsets{V: stateVersion, Next: s.nextOffsets(b)})
		if err != nil {
			panic(err) // strings and ints always marshal
		}
		out = append(out, s.stateRecord(b.partition, offsetsKey, value))
	}
	return out
}

// nextOffsets is the position after b of every topic: those that b did not touch stay where the group has them.
func (s *session) nextOffsets(b batch) map[string]int64 {
	next := map[string]int64{}
	for topic, partitions := range s.kafka.Client().CommittedOffsets() {
		if at, ok := partitions[b.partition]; ok && at.Offset >= 0 {
			next[topic] = at.Offset
		}
	}
	maps.Copy(next, b.next)
	return next
}

func (s *session) stateRecord(partition int32, key string, value []byte) *kgo.Record {
	return &kgo.Record{Topic: s.config.StateTopic, Partition: partition, Key: []byte(key), Value: value}
}

// partitioner sends records of the state topic to the Partition they name and others where their key hashes to, as every
// Kafka client does.
type partitioner struct{ stateTopic string }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == p.stateTopic {
		return kgo.ManualPartitioner().ForTopic(topic)
	}
	return kgo.StickyKeyPartitioner(nil).ForTopic(topic)
}

// restoreTimeout is how long state and offsets may disagree: the markers of a transaction reach different partitions at
// different times.
const restoreTimeout = 30 * time.Second

// restoreIdle ends the reading of a state topic before its end was seen: compaction may have removed the last records. That
// nothing is missing is told by the offsets in the state, which are the last record of each transaction.
const restoreIdle = 5 * time.Second

// restore reads the partition's state, once it belongs to the offsets that the group has committed.
func (s *session) restore(ctx context.Context, partition int32) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	var disagree error // what the last full reading found, which says more than that a later one ran out of time
	for {
		committed, raw, err := s.offsetsAndState(ctx, partition)
		if err != nil {
			if disagree != nil && ctx.Err() != nil {
				return nil, disagree
			}
			return nil, err
		}
		held := offsets{Next: map[string]int64{}}
		if b, ok := raw[offsetsKey]; ok {
			if err := json.Unmarshal(b, &held); err != nil {
				return nil, fmt.Errorf("state %s/%d: offsets: %w", s.config.StateTopic, partition, err)
			}
			if held.V != stateVersion {
				return nil, fmt.Errorf("state %s/%d: version %d; this program reads version %d", s.config.StateTopic, partition, held.V,
					stateVersion)
			}
		}
		if maps.Equal(committed, held.Next) {
			state := map[string][]byte{}
			for key, value := range raw {
				own, ok := strings.CutPrefix(key, keyPrefix)
				if !ok && key != offsetsKey {
					return nil, fmt.Errorf("state %s/%d: key %.80q is not of this program: give the state a topic of its own, "+
						"or write an empty value under the key", s.config.StateTopic, partition, key)
				}
				if ok {
					state[own] = value
				}
			}
			return state, nil
		}
		again := disagree != nil
		disagree = &apartError{s.config.StateTopic, s.config.Group, partition, held.Next, committed}
		// Offsets of a transaction whose marker is on its way are waited for, so that a second look which finds none is enough.
		if again && len(committed) == 0 {
			return nil, disagree
		}
		transaction.Pause(ctx, 50*time.Millisecond)
	}
}

// apartError is of a state that belongs to other offsets than the group's.
type apartError struct {
	topic, group    string
	partition       int32
	held, committed map[string]int64 // by topic
}

func (e *apartError) Error() string {
	return fmt.Sprintf("state %s/%d belongs to offsets %v but group %s has committed %v: if the offsets were reset by hand, "+
		"or the state topic was deleted, "+
		"set the group's offsets to those, or begin anew: stop every instance, then delete both the topic %s and the group %s",
		e.topic, e.partition, e.held, e.group, e.committed, e.topic, e.group)
}

// commitAgain commits the state's offsets for a group that has none: brokers forget those of a group that has had no member for a week
// (offsets.retention.minutes), and what stands in the state was committed with it. The session that comes next goes on from there.
func (s *session) commitAgain(ctx context.Context, apart *apartError) error {
	lost := map[string]map[int32]kgo.EpochOffset{}
	for topic, at := range apart.held {
		lost[topic] = map[int32]kgo.EpochOffset{apart.partition: {Epoch: -1, Offset: at}}
	}
	var failed error
	s.kafka.Client().CommitOffsetsSync(ctx, lost, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse,
		err error) {
		failed = err
		if err != nil {
			return
		}
		for _, t := range response.Topics {
			for _, p := range t.Partitions {
				failed = cmp.Or(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("%w; and they could not be committed again: %w", apart, failed)
	}
	return fmt.Errorf("group %s had no offsets any more: those of state %s/%d, %v, are committed again", apart.group, apart.topic,
		apart.partition, apart.held)
}

func (s *session) offsetsAndState(ctx context.Context, partition int32) (map[string]int64, map[string][]byte, error) {
	committed, err := s.committedOffsets(ctx, partition)
	if err != nil {
		return nil, nil, err
	}
	state, err := s.readState(ctx, partition)
	return committed, state, err
}

// committedOffsets asks for the group's offsets of the partition, waiting while a transaction that would change them is
// open. Topics never committed are left out.
func (s *session) committedOffsets(ctx context.Context, partition int32) (map[string]int64, error) {
	request := kmsg.NewPtrOffsetFetchRequest()
	request.RequireStable = true
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = s.config.Group
	request.Group = s.config.Group
	for _, topic := range s.config.Topics {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = topic, []int32{partition}
		request.Topics = append(request.Topics, t)
		g := kmsg.NewOffsetFetchRequestGroupTopic()
		g.Topic, g.Partitions = topic, []int32{partition}
		group.Topics = append(group.Topics, g)
	}
	request.Groups = append(request.Groups, group)
	for {
		response, err := request.RequestWith(ctx, s.kafka.Client())
		if err != nil {
			return nil, fmt.Errorf("committed offsets of group %s: %w", s.config.Group, err)
		}
		next, err := committedIn(response)
		if err == nil {
			return next, nil
		}
		if !kerr.IsRetriable(err) {
			return nil, fmt.Errorf("committed offsets of group %s: %w", s.config.Group, err)
		}
		transaction.Pause(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("committed offsets of group %s: %w", s.config.Group, err)
		}
	}
}

func committedIn(response *kmsg.OffsetFetchResponse) (map[string]int64, error) {
	next := map[string]int64{}
	take := func(topic string, offset int64, code int16) error {
		if offset >= 0 {
			next[topic] = offset
		}
		return kerr.ErrorForCode(code)
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return nil, err
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := take(t.Topic, p.Offset, p.ErrorCode); err != nil {
				return nil, err
			}
		}
	}
	for _, g := range response.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, err
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if err := take(t.Topic, p.Offset, p.ErrorCode); err != nil {
					return nil, err
				}
			}
		}
	}
	return next, nil
}

// readState reads the partition's compacted log to its end into a map.
func (s *session) readState(ctx context.Context, partition int32) (map[string][]byte, error) {
	topic := s.config.StateTopic
	ends, err := kadm.NewClient(s.kafka.Client()).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("end of state topic %s: %w", topic, err)
	}
	end, ok := ends.Lookup(topic, partition)
	if !ok {
		return nil, fmt.Errorf("state topic %s has no partition %d: give it as many as %v", topic, partition, s.config.Topics)
	}
	state := map[string][]byte{}
	if end.Offset == 0 {
		return state, nil
	}
	reader, err := kgo.NewClient(append(s.opts[:len(s.opts):len(s.opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
	)...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for next := int64(0); next < end.Offset; {
		poll, cancel := context.WithTimeout(ctx, restoreIdle)
		fetches := reader.PollFetches(poll)
		idle := poll.Err() != nil
		cancel()
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read state topic %s/%d to offset %d, reached %d: %w", topic, partition, end.Offset, next, err)
		}
		if idle {
			break
		}
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read state topic %s/%d: %w", topic, partition, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			switch {
			case r.Attrs.IsControl():
			case r.Value == nil:
				delete(state, string(r.Key))
			default:
				state[string(r.Key)] = r.Value
			}
		})
	}
	return state, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
