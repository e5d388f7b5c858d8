package batch

import (
	"errors"
	"fmt"
	"time"

	"github.com/prescale/prescale/inference/event"
)

// Config says what a Loop reads, writes and how much at once.
type Config struct {
	Group       string // consumer group, default "inference"
	Requests    string // topic, default event.TopicRequests
	Predictions string // topic, default event.TopicPredictions
	DeadLetters string // topic, default event.TopicDeadLetters

	// Instance is what tells this replica from the others; the transactional id is made of group and instance. One that is
	// kept over a restart, such as the pod's name, lets the new process end the old one's open transaction at once; with a
	// new one the others wait up to TransactionTimeout for it. Two replicas with the same fence each other. Required.
	Instance string

	// BatchRecords is the most requests of one transaction, default 2048. More is more throughput when there is a backlog, and
	// a longer wait for the first of them: at 5 ms a transaction and 20 µs a request, 2048 take 46 ms and give 44,000 requests
	// a second.
	BatchRecords int

	// ServiceTime is the least time that one request takes, default 0. It stands for the work of an accelerator in the demo
	// and in load tests, where a real model of this size would take microseconds: 2ms makes a replica of 500 requests a
	// second.
	ServiceTime time.Duration

	// TransactionTimeout is how long an open transaction of a process that died holds back those who read behind it,
	// default 15s. A batch must take less, and a transaction that meets a rebalance waits for it to end, which a member that
	// died delays by up to SessionTimeout.
	TransactionTimeout time.Duration

	// SessionTimeout is how long a replica that died keeps its partitions, default 6s, the least that brokers allow unless
	// they are told otherwise. At most half the TransactionTimeout.
	SessionTimeout time.Duration
}

// DefaultConfig leaves only Instance to be set.
func DefaultConfig() Config {
	return Config{
		Group:              "inference",
		Requests:           event.TopicRequests,
		Predictions:        event.TopicPredictions,
		DeadLetters:        event.TopicDeadLetters,
		BatchRecords:       2048,
		TransactionTimeout: 15 * time.Second,
		SessionTimeout:     6 * time.Second,
	}
}

// Validate tells everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	for _, field := range []struct{ key, value string }{
		{"group", c.Group}, {"requests", c.Requests}, {"predictions", c.Predictions}, {"deadLetters", c.DeadLetters},
		{"instance", c.Instance},
	} {
		if field.value == "" {
			errs = append(errs, fmt.Errorf("batch: %s: missing", field.key))
		}
	}
	if c.Requests != "" && (c.Requests == c.Predictions || c.Requests == c.DeadLetters) {
		errs = append(errs, fmt.Errorf("batch: requests: %q is also written to", c.Requests))
	}
	if c.BatchRecords < 1 || c.BatchRecords > 1<<16 {
		errs = append(errs, fmt.Errorf("batch: batchRecords: %d is outside 1 to %d", c.BatchRecords, 1<<16))
	}
	if c.TransactionTimeout < time.Second {
		errs = append(errs, fmt.Errorf("batch: transactionTimeout: %v is below 1s", c.TransactionTimeout))
	}
	if c.SessionTimeout < time.Second || c.SessionTimeout > c.TransactionTimeout/2 {
		errs = append(errs, fmt.Errorf("batch: sessionTimeout: %v is outside 1s to half the transactionTimeout %v", c.SessionTimeout,
			c.TransactionTimeout))
	}
	if work := time.Duration(c.BatchRecords) * c.ServiceTime; c.ServiceTime < 0 || work > c.TransactionTimeout/2 {
		errs = append(errs, fmt.Errorf("batch: serviceTime: %v times batchRecords %d is %v, outside 0 to half the transactionTimeout %v",
			c.ServiceTime, c.BatchRecords, work, c.TransactionTimeout))
	}
	return errors.Join(errs...)
}
