package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readLimit is how long ReadCommitted may take: a test that reads for longer waits for something that does not come.
const readLimit = 2 * time.Minute

// ReadCommitted returns the committed records that the topics hold now, in order within each partition. The options say how to
// reach Kafka, real or in memory.
func ReadCommitted(t testing.TB, topics []string, opts ...kgo.Opt) []*kgo.Record {
	t.Helper()
	// Control records are kept because a partition may end with the marker of a transaction.
	reader, err := kgo.NewClient(append(opts[:len(opts):len(opts)],
		kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	ends, err := kadm.NewClient(reader).ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("ends of %v: %v", topics, err)
	}
	type place struct {
		topic     string
		partition int32
	}
	left := map[place]int64{} // where reading is not at the end
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[place{o.Topic, o.Partition}] = o.Offset
		}
	})
	var out []*kgo.Record
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("not read to the end within %v: %v", readLimit, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if at := (place{r.Topic, r.Partition}); r.Offset+1 >= left[at] {
				delete(left, at)
			}
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
	}
	return out
}

// stuckLimit is how long a lag may stay the same: much longer than dead members and open transactions hold one back.
const stuckLimit = 90 * time.Second

// AwaitNoLag waits until the group has committed the ends of that many topics. However slow the machine, it waits on while the
// lag falls, and fails the test when it has not for stuckLimit.
func AwaitNoLag(t testing.TB, client *kgo.Client, group string, topics int) {
	t.Helper()
	admin := kadm.NewClient(client)
	least, fell := int64(-1), time.Now()
	for {
		lags, err := admin.Lag(context.Background(), group)
		of := lags[group]
		if err == nil {
			err = of.Error()
		}
		known, total := err == nil && len(of.Lag) == topics, of.Lag.Total()
		switch {
		case known && total == 0:
			return
		case known && (least < 0 || total < least):
			least, fell = total, time.Now()
		case time.Since(fell) > stuckLimit:
			t.Fatalf("group %s: its lag of %d records (-1: not known) has not fallen for %v; the last error is %v", group, least,
				stuckLimit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// AwaitNoTransaction waits until no transaction is open on the topics: one that a killed producer left holds back what others
// committed after it, until the broker aborts it.
func AwaitNoTransaction(t testing.TB, client *kgo.Client, topics ...string) {
	t.Helper()
	admin := kadm.NewClient(client)
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		// The committed ends first: an end that grows in between reads as an open transaction, never as none.
		committed, err := admin.ListCommittedOffsets(context.Background(), topics...)
		ends, err2 := admin.ListEndOffsets(context.Background(), topics...)
		err = errors.Join(err, err2, committed.Error(), ends.Error())
		open := 0
		ends.Each(func(o kadm.ListedOffset) {
			if c, ok := committed.Lookup(o.Topic, o.Partition); !ok || c.Offset < o.Offset {
				open++
			}
		})
		if err == nil && open == 0 {
			return
		}
		if time.Since(began) > stuckLimit {
			t.Fatalf("transactions are still open on %d partitions of %v after %v; the error is %v", open, topics, stuckLimit, err)
		}
	}
}
