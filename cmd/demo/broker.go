package main

import (
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/feedback"
	"github.com/prescale/prescale/feedback/join"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/registry"
)

// startKafka starts a broker inside the process, on a free loopback port, with the workloads' topics.
func startKafka(partitions int) (*kfake.Cluster, error) {
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.WithLogger(kfake.BasicLogger(io.Discard, kfake.LogLevelError)),
		kfake.SeedTopics(int32(partitions), event.TopicRequests),
		kfake.SeedTopics(4, event.TopicPredictions, event.TopicOutcomes, event.TopicDeadLetters, feedback.DefaultConfig().JoinStateTopic),
		kfake.SeedTopics(1, registry.Topic, join.TopicExamples, feedback.DefaultConfig().TrainStateTopic),
	)
	if err != nil {
		return nil, fmt.Errorf("start the in-process Kafka: %w", err)
	}
	return cluster, nil
}

// memberOpts returns what members of the two consumer groups are made with besides. A member learns of a rebalance with its next
// heartbeat: Kafka's 3 s would be a minute of the trace.
func memberOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.HeartbeatInterval(100 * time.Millisecond),
		kgo.FetchMaxWait(100 * time.Millisecond),
	}
}

// clientOpts returns what every client of the in-process Kafka is made with.
func clientOpts(cluster *kfake.Cluster, id string) []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ClientID(id), kgo.MetadataMinAge(100 * time.Millisecond)}
}
