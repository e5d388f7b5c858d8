// Package kafkatopic creates the topics that a binary needs, with the settings they need, and leaves existing ones alone.
package kafkatopic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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

// ensure creates the topics that do not exist; to those that do no right to create is needed. One that should be compacted and is
// not is an error, where the user may know: what it holds would be gone after the retention. It is safe to be called from many
// processes at once. Where the cluster cannot be reached, one error stands for all.
func ensure(ctx context.Context, client *kgo.Client, topics ...Topic) error {
	admin := kadm.NewClient(client)
	var names, compacted []string
	for _, t := range topics {
		names = append(names, t.Name)
		if t.Compact {
			compacted = append(compacted, t.Name)
		}
	}
	existing, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	compact := "compact"
	var errs []error
	for _, t := range topics {
		if existing.Has(t.Name) {
			continue
		}
		if detail := existing[t.Name]; !errors.Is(detail.Err, kerr.UnknownTopicOrPartition) {
			errs = append(errs, fmt.Errorf("look up topic %s: %w", t.Name, detail.Err))
			continue
		}
		configs := map[string]*string{}
		if t.Compact {
			configs["cleanup.policy"] = &compact
		}
		_, err := admin.CreateTopic(ctx, t.Partitions, -1, configs, t.Name)
		switch answer := (*kerr.Error)(nil); {
		case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
			errs = append(errs, fmt.Errorf("create topic %s: %w; create it with %s, or allow this user to", t.Name, err, t.settings()))
		case errors.As(err, &answer):
			errs = append(errs, fmt.Errorf("create topic %s: %w", t.Name, err))
		default:
			return errors.Join(append(errs, fmt.Errorf("create topic %s: %w", t.Name, err))...)
		}
	}
	return errors.Join(append(errs, verifyCompacted(ctx, admin, compacted)...)...)
}

func (t Topic) settings() string {
	s := fmt.Sprintf("%d partitions", t.Partitions)
	if t.Partitions == 1 {
		s = "1 partition"
	}
	if t.Compact {
		s += " and cleanup.policy=compact"
	}
	return s
}

// verifyCompacted says nothing of topics whose settings cannot be read: that takes a right of its own.
func verifyCompacted(ctx context.Context, admin *kadm.Client, names []string) (errs []error) {
	if len(names) == 0 {
		return nil
	}
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil
	}
	for _, topic := range described {
		for _, c := range topic.Configs {
			if topic.Err == nil && c.Key == "cleanup.policy" && !strings.Contains(c.MaybeValue(), "compact") {
				errs = append(errs, fmt.Errorf("topic %s: cleanup.policy is %q, so that what it holds is gone after its retention; "+
					"run kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact",
					topic.Name, c.MaybeValue(), topic.Name))
			}
		}
	}
	return errs
}

// EnsureUntilDone tries ensure again, with growing pauses, until it succeeds or ctx ends: a service stays up while its broker
// does not answer. Each failure goes to the log and to note, and note gets nil at the end.
func EnsureUntilDone(ctx context.Context, logger *slog.Logger, client *kgo.Client, note func(error), topics ...Topic) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := ensure(attempt, client, topics...)
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
