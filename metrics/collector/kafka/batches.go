package kafka

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// exact is what the record batches from an offset on tell.
type exact struct {
	offset int64
	// known says that a timestamp was read; the record was stamped between earliest and latest and most likely at likely,
	// in Unix nanoseconds.
	known                    bool
	earliest, latest, likely int64
	// residueTo is the offset up to which, from offset, there are only control records and records of aborted
	// transactions: what a consumer that reads committed records is never given. It is offset where the first is data.
	residueTo int64
	// lookedTo is the end that the partition had at the look-up.
	lookedTo int64
	// failed is the error code of the look-up, when it failed, at failedTick.
	failed     int16
	failedTick int
	// refused says that it will not be tried again for this offset.
	refused bool
}

// fetchBatches fetches from each partition the batches at an offset and returns what they tell.
func (c *Collector) fetchBatches(ctx context.Context, node int32, topics []*topic, partitions []int, offsets []int64,
	bytes int32) ([]exact, error) {
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID = -1
	request.MaxWaitMillis = 0
	request.MinBytes = 0
	request.MaxBytes = 64 << 20
	request.IsolationLevel = 1 // names the aborted transactions, and changes nothing below the last stable offset
	request.SessionEpoch = -1
	type key struct {
		topic *topic
		p     int32
	}
	index := map[key]int{}
	byTopic := map[*topic]int{}
	byName := map[string]*topic{}
	byID := map[[16]byte]*topic{}
	for i, t := range topics {
		at, ok := byTopic[t]
		if !ok {
			at = len(request.Topics)
			byTopic[t], byName[t.name], byID[t.id] = at, t, t
			topic := kmsg.NewFetchRequestTopic()
			topic.Topic, topic.TopicID = t.name, t.id
			request.Topics = append(request.Topics, topic)
		}
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition = int32(partitions[i])
		partition.FetchOffset = offsets[i]
		partition.PartitionMaxBytes = bytes
		request.Topics[at].Partitions = append(request.Topics[at].Partitions, partition)
		index[key{t, partition.Partition}] = i
	}
	response, err := c.ask(ctx, node, request)
	if err != nil {
		return nil, err
	}
	answer := response.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return nil, err
	}
	c.telemetry.exactChecks(len(topics))
	out := make([]exact, len(topics))
	for i := range out {
		out[i] = exact{offset: offsets[i], residueTo: offsets[i]}
	}
	for i := range answer.Topics {
		from := &answer.Topics[i]
		t := byName[from.Topic]
		if t == nil {
			t = byID[from.TopicID]
		}
		for j := range from.Partitions {
			part := &from.Partitions[j]
			at, ok := index[key{t, part.Partition}]
			if !ok {
				continue
			}
			if part.ErrorCode != 0 {
				c.telemetry.failedCode(part.ErrorCode)
				out[at].failed = part.ErrorCode
				continue
			}
			out[at] = readBatches(part.RecordBatches, offsets[at], part.AbortedTransactions)
			out[at].toClock(c.config.Clock)
		}
	}
	return out, nil
}

// Record batch layout (Kafka protocol guide, "Record Batch", magic 2): the fields before the records have fixed places.
const (
	batchLengthAt    = 8
	batchMagicAt     = 16
	batchAttributes  = 21
	batchLastDelta   = 23
	batchFirstStamp  = 27
	batchMaxStamp    = 35
	batchProducerAt  = 43
	batchCountAt     = 57
	batchHeaderBytes = 61

	attributeAppendTime = 1 << 3
	attributeControl    = 1 << 5
)

// readBatches reads, from batches that a broker gave for an offset, the time of the first record at or after it that a
// consumer would be given, and up to where there is none. A batch that is cut short ends the reading.
func readBatches(b []byte, offset int64, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) exact {
	e := exact{offset: offset, residueTo: offset}
	for len(b) >= batchHeaderBytes {
		base := int64(binary.BigEndian.Uint64(b))
		length := int64(binary.BigEndian.Uint32(b[batchLengthAt:])) + 12
		if b[batchMagicAt] != 2 {
			return e // older formats: no exact answer
		}
		last := base + int64(int32(binary.BigEndian.Uint32(b[batchLastDelta:])))
		attributes := binary.BigEndian.Uint16(b[batchAttributes:])
		producer := int64(binary.BigEndian.Uint64(b[batchProducerAt:]))
		if last >= offset {
			// Compaction may leave a batch without records, to remember its producer.
			empty := binary.BigEndian.Uint32(b[batchCountAt:]) == 0
			if attributes&attributeControl == 0 && !empty && !isAborted(aborted, producer, base, attributes) {
				e.residueTo = offset
				e.stamp(b, base, last, attributes)
				return e
			}
			e.residueTo = last + 1
			if attributes&attributeControl != 0 {
				aborted = endAborted(aborted, producer, base)
			}
		}
		if length > int64(len(b)) {
			return e
		}
		b = b[length:]
	}
	return e
}

// stamp takes the time of the record at e.offset from a batch's header, in which the first and the largest timestamp
// stand.
func (e *exact) stamp(b []byte, base, last int64, attributes uint16) {
	first := int64(binary.BigEndian.Uint64(b[batchFirstStamp:]))
	latest := int64(binary.BigEndian.Uint64(b[batchMaxStamp:]))
	if attributes&attributeAppendTime != 0 {
		first = latest
	}
	if first <= 0 || latest < first {
		return
	}
	const milli = int64(time.Millisecond)
	e.known = true
	e.earliest, e.latest, e.likely = first*milli, latest*milli, first*milli
	if e.offset > base && last > base {
		e.likely += (latest - first) * milli * (e.offset - base) / (last - base)
	} else {
		e.latest = e.likely
	}
	// The stamp is rounded down to the millisecond.
	e.latest += milli
}

// toClock maps the times that were read from the wall's clock to another.
func (e *exact) toClock(clock Clock) {
	if !e.known {
		return
	}
	for _, at := range []*int64{&e.earliest, &e.latest, &e.likely} {
		*at = clock.At(time.Unix(0, *at)).UnixNano()
	}
}

const attributeTransactional = 1 << 4

// isAborted reports whether a batch belongs to a transaction that was aborted.
func isAborted(aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction, producer, base int64, attributes uint16) bool {
	if attributes&attributeTransactional == 0 {
		return false
	}
	for i := range aborted {
		if aborted[i].ProducerID == producer && aborted[i].FirstOffset <= base {
			return true
		}
	}
	return false
}

// endAborted drops the transaction that a control record ends.
func endAborted(aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction,
	producer, at int64) []kmsg.FetchResponseTopicPartitionAbortedTransaction {
	for i := range aborted {
		if aborted[i].ProducerID == producer && aborted[i].FirstOffset <= at {
			return slices.Concat(aborted[:i], aborted[i+1:])
		}
	}
	return aborted
}
