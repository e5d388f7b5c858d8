package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch encodes a record batch's header with made-up records; the length covers the header alone.
func batch(base int64, count int32, attributes int16, first, latest, producer int64) []byte {
	b := kmsg.RecordBatch{
		FirstOffset: base, Length: batchHeaderBytes - 12, Magic: 2, Attributes: attributes, LastOffsetDelta: 9,
		FirstTimestamp: first, MaxTimestamp: latest, ProducerID: producer, NumRecords: count,
	}
	return b.AppendTo(nil)
}

func join(batches ...[]byte) []byte {
	var all []byte
	for _, b := range batches {
		all = append(all, b...)
	}
	return all
}

// TestReadBatches takes the batches that a broker may give for offset 105, each ten offsets long.
func TestReadBatches(t *testing.T) {
	const control, transactional = attributeControl | attributeTransactional, attributeTransactional
	aborted := []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 7, FirstOffset: 100}}
	for _, tt := range []struct {
		name      string
		batches   []byte
		aborted   []kmsg.FetchResponseTopicPartitionAbortedTransaction
		likely    int64 // milliseconds; 0 where it is not known
		residueTo int64
	}{
		{"nothing", nil, nil, 0, 105},
		{"cut short", batch(100, 10, 0, 1000, 1090, -1)[:40], nil, 0, 105},
		{"in the middle: 1000 + 90 × 5/9", batch(100, 10, 0, 1000, 1090, -1), nil, 1050, 105},
		{"append time is the batch's", batch(100, 10, attributeAppendTime, 1000, 1090, -1), nil, 1090, 105},
		{"a batch before it", join(batch(90, 10, 0, 1, 2, -1), batch(100, 10, 0, 1000, 1000, -1)), nil, 1000, 105},
		{"a gap: the next batch's first", batch(120, 10, 0, 2000, 2090, -1), nil, 2000, 105},
		{"control records alone", batch(100, 1, control, 1000, 1000, 7), nil, 0, 110},
		{"control records, then data", join(batch(100, 1, control, 1000, 1000, 7), batch(110, 10, 0, 2000, 2000, -1)), nil, 2000, 105},
		{"aborted records and their marker", join(batch(100, 10, transactional, 1000, 1090, 7), batch(110, 1, control, 2000, 2000, 7)), aborted, 0, 120},
		{"the same producer's next transaction", join(batch(100, 10, transactional, 1000, 1000, 7),
			batch(110, 1, control, 2000, 2000, 7), batch(120, 10, transactional, 3000, 3000, 7)), aborted, 3000, 105},
		{"emptied by compaction, then data", join(batch(100, 0, 0, -1, -1, 3), batch(110, 10, 0, 2000, 2000, -1)), nil, 2000, 105},
		{"no timestamp", batch(100, 10, 0, -1, -1, -1), nil, 0, 105},
	} {
		got := readBatches(tt.batches, 105, tt.aborted)
		likely := int64(0)
		if got.known {
			likely = got.likely / 1e6
		}
		if likely != tt.likely || got.residueTo != tt.residueTo {
			t.Errorf("%s: got %d ms, residue to %d; want %d ms, %d", tt.name, likely, got.residueTo, tt.likely, tt.residueTo)
		}
	}
}
