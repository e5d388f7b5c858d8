package history

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Topic reads how many records came to a topic in each step of the range from the broker's index of timestamps: it asks for
// the offset at each step's begin, and reads no record. Steps before the oldest record that retention has left are gaps.
// Offsets also count transaction markers, a record or two a transaction, and what compaction has removed.
func Topic(ctx context.Context, client *kadm.Client, topic string, r Range) (*Series, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	starts, err := client.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("topic %s: list its first offsets: %w", topic, err)
	}
	if len(starts[topic]) == 0 {
		return nil, fmt.Errorf("topic %s: is not there", topic)
	}
	s := r.series(topic)
	var before int64
	known := false
	for i := 0; i <= r.steps(); i++ {
		at := r.From.Add(time.Duration(i) * r.Step)
		offsets, err := client.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topic)
		if err == nil {
			err = offsets.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("topic %s: list its offsets at %v: %w", topic, at, err)
		}
		sum, whole := int64(0), true
		for p, o := range offsets[topic] {
			sum += o.Offset
			// At the log's start nothing tells whether older records came and are gone.
			if start := starts[topic][p].Offset; start > 0 && o.Offset <= start && o.Timestamp > at.UnixMilli() {
				whole = false
			}
		}
		if i > 0 && known && whole {
			s.Values[i-1] = float64(sum - before)
		}
		before, known = sum, whole
	}
	return s, nil
}
