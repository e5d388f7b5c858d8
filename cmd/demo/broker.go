package main

import (
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/registry"
)

// startKafka starts a broker inside the process, on a free loopback port, with the workloads' topics.
func startKafka(partitions int) (*kfake.Cluster, error) {
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.WithLogger(kfake.BasicLogger(io.Discard, kfake.LogLevelError)),
		kfake.SeedTopics(int32(partitions), event.TopicRequests),
		kfake.SeedTopics(4, event.TopicPredictions, event.TopicOutcomes, event.TopicDeadLetters),
		kfake.SeedTopics(1, registry.Topic),
		// A group learns of a new member with a member's next heartbeat. Kafka's 5 s would be 100 s of the trace.
		kfake.BrokerConfigs(map[string]string{"group.consumer.heartbeat.interval.ms": "100"}),
	)
	if err != nil {
		return nil, fmt.Errorf("start the in-process Kafka: %w", err)
	}
	return cluster, nil
}

// clientOpts returns what every client of the in-process Kafka is made with.
func clientOpts(cluster *kfake.Cluster, id string) []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ClientID(id)}
}
