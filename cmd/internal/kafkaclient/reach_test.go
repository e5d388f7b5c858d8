package kafkaclient

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestReachForgivesAShortFailureAndNamesALongOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Reach
		broker := kgo.BrokerMetadata{NodeID: 1, Host: "kafka-1", Port: 9092}
		refused := errors.New("connection refused")
		expect := func(step, want string) {
			t.Helper()
			got := r.Problem(time.Now())
			if (got == nil) != (want == "") || got != nil && got.Error() != want {
				t.Errorf("%s: got %v, want %q", step, got, want)
			}
		}
		const said = "broker kafka-1:9092 does not answer: connection refused"
		expect("nothing asked", "")
		r.OnBrokerConnect(broker, 0, nil, refused)
		expect("never reached", said)
		r.OnBrokerConnect(broker, 0, nil, nil)
		expect("reached", "")
		r.OnBrokerE2E(broker, 0, kgo.BrokerE2E{ReadErr: refused})
		expect("one failure", "")
		time.Sleep(reachAge + time.Second) // of the bubble's time
		expect("failing for long", said)
		r.OnBrokerE2E(broker, 0, kgo.BrokerE2E{})
		expect("reached again", "")
		time.Sleep(time.Hour)
		expect("idle for an hour", "")
	})
}

// TestReachIsACompleteHook holds the names of its methods against the client's: a hook that matches nothing is never called.
func TestReachIsACompleteHook(t *testing.T) {
	var r Reach
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"), kgo.WithHooks(&r), kgo.RetryTimeout(time.Nanosecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err == nil {
		t.Fatal("something answers on port 1")
	}
	if got := r.Problem(time.Now()); got == nil || !strings.Contains(got.Error(), "broker 127.0.0.1:1 does not answer") {
		t.Errorf("got %v, want the broker's address", got)
	}
}
