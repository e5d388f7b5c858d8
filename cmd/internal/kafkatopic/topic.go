// Package kafkatopic creates the topics that a binary needs, with the settings they need, and leaves existing ones alone.
package kafkatopic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

// Ensure creates the topics that do not exist. It is safe to be called from many processes at once. Where the cluster cannot
// be reached, the first topic's error stands for all.
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
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
			continue
		}
		errs = append(errs, fmt.Errorf("create topic %s: %w", t.Name, err))
		var answer *kerr.Error
		if !errors.As(err, &answer) {
			break
		}
	}
	return errors.Join(errs...)
}

// EnsureUntilDone tries Ensure again, with growing pauses, until it succeeds or ctx ends: a service stays up while its broker
// does not answer. Each failure goes to the log and to note, and note gets nil at the end.
func EnsureUntilDone(ctx context.Context, logger *slog.Logger, client *kgo.Client, note func(error), topics ...Topic) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := Ensure(attempt, client, topics...)
		cancel()
		if err == nil || ctx.Err() != nil {
			note(nil)
			return
		}
		note(err)
		logger.Warn("topics could not be created, trying again", "error", err, "pause", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}
