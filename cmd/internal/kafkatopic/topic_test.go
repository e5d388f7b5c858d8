package kafkatopic

import (
	"strings"
	"testing"

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
	if err := Ensure(t.Context(), client, Topic{Name: "there", Partitions: 12}); err != nil {
		t.Errorf("a topic that is there: %v", err)
	}
	err := Ensure(t.Context(), client, Topic{Name: "there", Partitions: 12}, Topic{Name: "state", Partitions: 1, Compact: true}, Topic{Name: "other", Partitions: 4})
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
		if err := Ensure(t.Context(), client, topics...); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil || len(listed["there"].Partitions) != 3 || len(listed["state"].Partitions) != 2 {
		t.Errorf("%v, %v", listed, err)
	}
	topics[0].Compact = true // whose records the cluster deletes
	if err := Ensure(t.Context(), client, topics...); err == nil || !strings.Contains(err.Error(), "--entity-name there --add-config cleanup.policy=compact") || strings.Contains(err.Error(), "state") {
		t.Errorf("a topic that is not compacted: %v", err)
	}
}
