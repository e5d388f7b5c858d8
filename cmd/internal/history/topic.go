package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// Topics reads how many records came to the topics together in each step of the range from the brokers' index of timestamps:
// it asks for the offset at each step's begin, and reads no record. Steps before the first record of all, or before the oldest
// that retention has left in any partition, are gaps. Steps that end more than `recent` before the range's end are asked for a
// minute at a time, and its records spread evenly: each question is work for a broker, and of the distant past the shape of the
// day is wanted and not its noise. Offsets also count transaction markers, a record or two a transaction, and what compaction has removed.
func Topics(ctx context.Context, client *kgo.Client, topics []string, r Range, recent time.Duration) (*Series, error) {
	name := "topic " + strings.Join(topics, ", ")
	if err := r.Validate(); err != nil {
		return nil, err
	}
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: list the first offsets: %w", name, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: list the last offsets: %w", name, err)
	}
	for _, topic := range topics {
		if len(starts[topic]) == 0 {
			return nil, fmt.Errorf("topic %s: is not there", topic)
		}
	}
	s := r.series(name)
	at := make([]float64, r.steps()+1) // records before each step's begin, NaN where not known
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(requestsAtOnce)
	stride := max(1, int(time.Minute/r.Step))
	exact := max(0, len(at)-1-int(min(recent, r.To.Sub(r.From))/r.Step)) // from here on each step is asked for
	exact -= exact % stride
	for i := range at {
		if i < exact && i%stride != 0 {
			continue
		}
		g.Go(func() error {
			var err error
			at[i], err = recordsBefore(ctx, client, r.From.Add(time.Duration(i)*r.Step), starts, ends)
			if err != nil {
				return fmt.Errorf("%s: list the offsets at %v: %w", name, r.From.Add(time.Duration(i)*r.Step), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i := range exact {
		if k := i % stride; k != 0 {
			at[i] = at[i-k] + float64(k)/float64(stride)*(at[i-k+stride]-at[i-k])
		}
	}
	for i := range s.Values {
		if at[i+1] == 0 {
			continue // Before its first record a topic may not have been there.
		}
		// A record whose timestamp is older than that of one before it can make a later step's offset the smaller one.
		s.Values[i] = max(at[i+1]-at[i], 0)
	}
	return s, nil
}

// requestsAtOnce is how many steps are asked for at a time: enough to hide the way to the broker, few enough to leave it be.
const requestsAtOnce = 8

// recordsBefore sums, over all partitions, the offset of the first record of the time or later.
func recordsBefore(ctx context.Context, client *kgo.Client, at time.Time, starts, ends kadm.ListedOffsets) (float64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	for topic, partitions := range starts {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for p := range partitions {
			one := kmsg.NewListOffsetsRequestTopicPartition()
			one.Partition, one.Timestamp = p, at.UnixMilli()
			t.Partitions = append(t.Partitions, one)
		}
		request.Topics = append(request.Topics, t)
	}
	sum, whole, seen := 0.0, true, 0
	var errs []error
	for _, shard := range client.RequestSharded(ctx, request) {
		if shard.Err != nil {
			errs = append(errs, shard.Err)
			continue
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					errs = append(errs, fmt.Errorf("partition %d of %s: %w", p.Partition, t.Topic, err))
					continue
				}
				start, offset := starts[t.Topic][p.Partition].Offset, p.Offset
				if offset < 0 { // nothing is so late
					offset = ends[t.Topic][p.Partition].Offset
				}
				// At the log's start nothing tells whether older records came and are gone.
				if start > 0 && offset <= start && p.Timestamp > at.UnixMilli() {
					whole = false
				}
				sum += float64(offset)
				seen++
			}
		}
	}
	wanted := 0
	for _, partitions := range starts {
		wanted += len(partitions)
	}
	switch {
	case len(errs) > 0:
		return 0, errors.Join(errs...)
	case seen != wanted:
		return 0, fmt.Errorf("%d of %d partitions answered", seen, wanted)
	case !whole:
		return math.NaN(), nil
	}
	return sum, nil
}
