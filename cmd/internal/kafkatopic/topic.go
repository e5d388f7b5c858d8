// Package kafkatopic creates the topics that a binary needs, with the settings they need, and leaves existing ones alone.
package kafkatopic

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topic is what to create. The replication factor is the cluster's default.
type Topic struct {
	Name       string
	Partitions int32
	Compact    bool // keep the newest record of each key for ever, instead of every record for the cluster's retention
}

// Ensure creates the topics that do not exist. It is safe to be called from many processes at once.
func Ensure(ctx context.Context, client *kgo.Client, topics ...Topic) error {
	admin := kadm.NewClient(client)
	compact := "compact"
	var errs []error
	for _, t := range topics {
		configs := map[string]*string{}
		if t.Compact {
			configs["cleanup.policy"] = &compact
		}
		_, err := admin.CreateTopic(ctx, t.Partitions, -1, configs, t.Name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			errs = append(errs, fmt.Errorf("create topic %s: %w", t.Name, err))
		}
	}
	return errors.Join(errs...)
}
