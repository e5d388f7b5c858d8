package kafkatopic

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func cluster(t *testing.T) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "there"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return c, client
}

// TestWhatIsThereNeedsNoRightToCreate: brokers refuse to create a topic before they look whether it is there.
func TestWhatIsThereNeedsNoRightToCreate(t *testing.T) {
	c, client := cluster(t)
	c.ControlKey(int16(kmsg.CreateTopics), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		response := request.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, topic := range request.(*kmsg.CreateTopicsRequest).Topics {
			refused := kmsg.NewCreateTopicsResponseTopic()
			refused.Topic, refused.ErrorCode = topic.Topic, kerr.TopicAuthorizationFailed.Code
			response.Topics = append(response.Topics, refused)
		}
		return response, nil, true
	})
	if err := ensure(t.Context(), client, Topic{Name: "there", Partitions: 12}); err != nil {
		t.Errorf("a topic that is there: %v", err)
	}
	err := ensure(t.Context(), client, Topic{Name: "there", Partitions: 12}, Topic{Name: "state", Partitions: 1, Compact: true}, Topic{Name: "other", Partitions: 4})
	for _, want := range []string{"create topic state", "create it with 1 partition and cleanup.policy=compact", "create it with 4 partitions,"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("not told %q: %v", want, err)
		}
	}
}

func TestTopicsAreCreatedAsTheyMustBe(t *testing.T) {
	_, client := cluster(t)
	topics := []Topic{{Name: "there", Partitions: 12}, {Name: "state", Partitions: 2, Compact: true}}
	for range 2 {
		if err := ensure(t.Context(), client, topics...); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil || len(listed["there"].Partitions) != 3 || len(listed["state"].Partitions) != 2 {
		t.Errorf("%v, %v", listed, err)
	}
	topics[0].Compact = true // whose records the cluster deletes
	if err := ensure(t.Context(), client, topics...); err == nil || !strings.Contains(err.Error(), "--entity-name there --add-config cleanup.policy=compact") || strings.Contains(err.Error(), "state") {
		t.Errorf("a topic that is not compacted: %v", err)
	}
}

// TestAServiceWaitsForItsBroker: nobody listens for a minute, and then the topic is made at the next try.
func TestAServiceWaitsForItsBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begin := time.Now()
		client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.Dialer(func(ctx context.Context, protocol, address string) (net.Conn, error) {
			if time.Since(begin) < time.Minute {
				return nil, errors.New("nobody listens")
			}
			return network.DialContext(ctx, protocol, address)
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		var told []error
		EnsureUntilDone(t.Context(), slog.New(slog.DiscardHandler), client, func(err error) { told = append(told, err) }, Topic{Name: "state", Partitions: 2})
		last := len(told) - 1
		if took := time.Since(begin); took < time.Minute || took > 2*time.Minute || told[last] != nil {
			t.Errorf("done after %v, told %v: want it within the pause and the try after the first minute, and nil at last", took, told)
		}
		if last < 3 || slices.ContainsFunc(told[:last], func(err error) bool { return err == nil || !strings.Contains(err.Error(), "nobody listens") }) {
			t.Errorf("told %v: want the cause of each failure", told)
		}
		listed, err := kadm.NewClient(client).ListTopics(t.Context())
		if err != nil || len(listed["state"].Partitions) != 2 {
			t.Errorf("%v, %v", listed, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		EnsureUntilDone(ctx, slog.New(slog.DiscardHandler), client, func(err error) {
			if err != nil {
				t.Errorf("after the end: told %v", err)
			}
		}, Topic{Name: "other", Partitions: 2})
	})
}
