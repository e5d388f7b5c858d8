package kafka

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/series"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// once answers the next request of a kind with a function's answer, and then leaves the kind alone.
func once(cluster *kfake.Cluster, key kmsg.Key, answer func(kmsg.Request) kmsg.Response) {
	cluster.ControlKey(key.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		return answer(request), nil, true
	})
}

func offsetFetchError(code int16) func(kmsg.Request) kmsg.Response {
	return func(request kmsg.Request) kmsg.Response {
		response := request.ResponseKind().(*kmsg.OffsetFetchResponse)
		for _, g := range request.(*kmsg.OffsetFetchRequest).Groups {
			group := kmsg.NewOffsetFetchResponseGroup()
			group.Group, group.ErrorCode = g.Group, code
			response.Groups = append(response.Groups, group)
		}
		return response
	}
}

func listOffsetsError(code int16) func(kmsg.Request) kmsg.Response {
	return func(request kmsg.Request) kmsg.Response {
		response := request.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range request.(*kmsg.ListOffsetsRequest).Topics {
			topic := kmsg.NewListOffsetsResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				partition := kmsg.NewListOffsetsResponseTopicPartition()
				partition.Partition, partition.ErrorCode, partition.Offset = p.Partition, code, -1
				topic.Partitions = append(topic.Partitions, partition)
			}
			response.Topics = append(response.Topics, topic)
		}
		return response
	}
}

// TestErrorsThatAreRetried has a broker answer once that it is not the one to ask: the same tick asks anew and is right.
func TestErrorsThatAreRetried(t *testing.T) {
	for _, tt := range []struct {
		name   string
		key    kmsg.Key
		answer func(kmsg.Request) kmsg.Response
	}{
		{"not the coordinator", kmsg.OffsetFetch, offsetFetchError(kerr.NotCoordinator.Code)},
		{"coordinator not available", kmsg.OffsetFetch, offsetFetchError(kerr.CoordinatorNotAvailable.Code)},
		{"coordinator loading", kmsg.OffsetFetch, offsetFetchError(kerr.CoordinatorLoadInProgress.Code)},
		{"not the leader", kmsg.ListOffsets, listOffsetsError(kerr.NotLeaderForPartition.Code)},
		{"unknown partition", kmsg.ListOffsets, listOffsetsError(kerr.UnknownTopicOrPartition.Code)},
		{"leader not available", kmsg.ListOffsets, listOffsetsError(kerr.LeaderNotAvailable.Code)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, 1, map[string]int32{"a": 1})
			f.produce("a", 0, 30)
			f.commit("g", "a", 0, 10)
			f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
			f.tick(0)
			once(f.cluster, tt.key, tt.answer)
			got := f.tick(5 * time.Second)[0]
			wantValue(t, "lag", got.Observation.LagRecords, series.Of(20))
			wantValue(t, "arrivals", got.Observation.ArrivalRecords, series.Of(0))
		})
	}
}

// TestWhatStaysWrongIsMissing has errors last over the retry: values are missing with a reason, and what arrived
// meanwhile is in the count of the next tick, whose interval covers it.
func TestWhatStaysWrongIsMissing(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1})
	f.produce("a", 0, 30)
	f.commit("g", "a", 0, 10)
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	f.tick(0)
	f.produce("a", 0, 5)
	var healed atomic.Bool
	f.cluster.ControlKey(kmsg.ListOffsets.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if healed.Load() {
			return nil, nil, false
		}
		f.cluster.KeepControl()
		return listOffsetsError(kerr.NotLeaderForPartition.Code)(request), nil, true
	})
	broken := f.tick(5 * time.Second)[0].Observation
	wantValue(t, "lag", broken.LagRecords, series.Missing)
	wantValue(t, "seconds", broken.LagSeconds, series.Missing)
	wantValue(t, "arrivals", broken.ArrivalRecords, series.Missing)
	wantValue(t, "consumed", broken.ConsumedRecords, series.Of(0))
	if text := strings.Join(broken.Problems, ";"); !strings.Contains(text, "NOT_LEADER_FOR_PARTITION") {
		t.Errorf("problems: got %q", text)
	}

	healed.Store(true)
	f.produce("a", 0, 2)
	again := f.tick(5 * time.Second)[0].Observation
	wantValue(t, "lag", again.LagRecords, series.Of(27))
	wantValue(t, "arrivals", again.ArrivalRecords, series.Of(7))
	if again.Interval != 10*time.Second {
		t.Errorf("interval: got %v, want 10s", again.Interval)
	}
}

// TestGroupIsForbidden: a group that may not be read has no lag, and says which right is missing.
func TestGroupIsForbidden(t *testing.T) {
	f := newFixture(t, 1, map[string]int32{"a": 1})
	f.produce("a", 0, 30)
	f.commit("g", "a", 0, 10)
	f.cluster.ControlKey(kmsg.OffsetFetch.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		return offsetFetchError(kerr.GroupAuthorizationFailed.Code)(request), nil, true
	})
	f.collector.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	got := f.tick(0)[0]
	wantValue(t, "lag", got.Observation.LagRecords, series.Missing)
	if text := strings.Join(got.Observation.Problems, ";"); !strings.Contains(text, "needs Describe on group g") {
		t.Errorf("problems: got %q", text)
	}
}

// TestNoCluster: an error that names the cluster, the address and the reason, for the tick and for each target.
func TestNoCluster(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	config := DefaultConfig()
	config.Cluster, config.RequestTimeout = "main", 2*time.Second
	c, err := New(config, client, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.SetTargets([]collector.Target{{Policy: "ns/p", Cluster: "main", Group: "g", Topics: []string{"a"}}})
	results, err := c.Collect(t.Context(), time.Now())
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"cluster main", "127.0.0.1:1", "refused", "nothing listens there"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want it to say %q", err, part)
		}
	}
	if len(results) != 1 || results[0].Err == nil || results[0].Observation.LagRecords.Known() {
		t.Errorf("result: got %+v", results)
	}
}

// TestAListenerThatSaysNothing is what a plaintext client meets at a port for TLS. The Kafka client by itself waits for 10 s.
func TestAListenerThatSaysNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // connections wait in its queue
	client, err := kgo.NewClient(kgo.SeedBrokers(listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	config := DefaultConfig()
	config.RequestTimeout = 100 * time.Millisecond
	c, err := New(config, client, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The second request finds the first still waiting for its connection.
	for range 2 {
		began := time.Now()
		_, err = c.Collect(t.Context(), began)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v, of which a request may take %v", took, config.RequestTimeout)
		}
		for _, part := range []string{"no answer within 100ms", listener.Addr().String(), "check the port, tls and sasl"} {
			if !strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("got %v, want it to say %q", err, part)
			}
		}
		if kind := errorKind(err); kind != "timeout" {
			t.Errorf("kind of %v: got %q, want timeout", err, kind)
		}
	}
}

func TestConfigNamesEveryProblem(t *testing.T) {
	err := Config{Samples: 3, ExactChecks: -1}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, key := range []string{"cluster:", "requestTimeout:", "groupInterval:", "metadataInterval:", "startInterval:",
		"sampleAge:", "exactAbove:", "groupsPerRequest:", "samples:", "exactChecks:"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not named in %q", key, err)
		}
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
