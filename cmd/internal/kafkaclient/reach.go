package kafkaclient

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reach tells whether the brokers answer. Give it to every client of a process with kgo.WithHooks: clients try again in
// silence, so without it a process that has lost its cluster looks idle. The zero value has seen nothing yet. It is safe for
// concurrent use.
type Reach struct {
	mu       sync.Mutex
	answered time.Time // the last time that any broker answered
	problem  error     // what failed last since then
}

// reachAge is how long no broker may have answered before a failure counts: longer than a restart of one of several, whose
// requests fail while the others answer.
const reachAge = 10 * time.Second

// Problem returns what keeps the brokers from answering, as of now, and nil while they do or nothing has been asked.
func (r *Reach) Problem(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.answered.IsZero() && now.Sub(r.answered) <= reachAge {
		return nil
	}
	return r.problem
}

// OnBrokerConnect is a kgo.HookBrokerConnect.
func (r *Reach) OnBrokerConnect(broker kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	r.note(broker, err)
}

// OnBrokerE2E is a kgo.HookBrokerE2E.
func (r *Reach) OnBrokerE2E(broker kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) {
	r.note(broker, e2e.Err())
}

func (r *Reach) note(broker kgo.BrokerMetadata, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.answered, r.problem = time.Now(), nil
		return
	}
	r.problem = fmt.Errorf("broker %s does not answer: %w", net.JoinHostPort(broker.Host, strconv.Itoa(int(broker.Port))), err)
}
