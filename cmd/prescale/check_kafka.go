package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/metrics/eventlog"
)

// finding is something on a Kafka cluster, or of a Prometheus server, that is not as the daemon needs it.
type finding struct {
	// Cluster or Server is the name that the configuration gives it.
	Cluster string `json:"cluster,omitempty"`
	Server  string `json:"server,omitempty"`
	// Subject is what is meant, such as "policy ai/inference", "policies ai/a, ai/b" or "topic prescale.decisions".
	Subject string `json:"subject"`
	// Message says what is wrong, Remedy what to do where the message does not say it.
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
	// Note says that nothing is wrong with it.
	Note bool `json:"note,omitempty"`
}

func (f finding) String() string {
	text := f.Subject + ": " + f.Message
	if f.Remedy != "" {
		text += "; " + f.Remedy
	}
	return text
}

// once returns the findings with those that are of several policies, such as those of one group, said once, where the first stands.
func once(found []finding) []finding {
	said := map[finding]int{} // without their subject
	merged := []finding{}
	for _, f := range found {
		policy, of := strings.CutPrefix(f.Subject, "policy ")
		key := f
		key.Subject = ""
		if at, ok := said[key]; ok && of {
			merged[at].Subject = "policies " + strings.TrimPrefix(strings.TrimPrefix(merged[at].Subject, "policies "), "policy ") +
				", " + policy
			continue
		}
		if of {
			said[key] = len(merged)
		}
		merged = append(merged, f)
	}
	return merged
}

// lookWithin bounds what is asked of one cluster.
const lookWithin = 20 * time.Second

// lookAtKafka asks each cluster of the configuration, as the daemon would, for what the policies need, and the one that keeps the
// event log for what that needs. It changes nothing. The findings are sorted by cluster.
func lookAtKafka(ctx context.Context, cfg config.Config, policies []pipeline.Policy) ([]finding, error) {
	opened, err := openClusters(cfg, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer opened.close()
	logConfig, logCluster := cfg.EventLogConfig()
	found := []finding{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Clusters)) {
		l := look{clusters: opened, cluster: name}
		for _, p := range policies {
			if p.Target.Cluster == name {
				l.policies = append(l.policies, p)
			}
		}
		within, cancel := context.WithTimeout(ctx, lookWithin)
		if l.collect(within) {
			l.read(within)
			if cfg.Log == config.LogKafka && name == logCluster {
				l.log(within, logConfig)
			}
		}
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		found = append(found, once(l.found)...)
	}
	return found, nil
}

// look is the look at one cluster.
type look struct {
	clusters *clusters
	cluster  string
	policies []pipeline.Policy
	found    []finding
}

func (l *look) add(subject, message, remedy string) {
	// What the collector says names the cluster first, which stands in a column of its own here.
	message = strings.TrimPrefix(message, "cluster "+l.cluster+": ")
	l.found = append(l.found, finding{Cluster: l.cluster, Subject: subject, Message: message, Remedy: remedy})
}

// collect collects once, and reports whether the cluster answers.
func (l *look) collect(ctx context.Context) bool {
	c, err := l.clusters.collector(l.cluster, lookWithin)
	if err != nil {
		l.add("brokers", err.Error(), "")
		return false
	}
	var targets []collector.Target
	for _, p := range l.policies {
		targets = append(targets, p.Target)
	}
	c.SetTargets(targets)
	results, err := c.Collect(ctx, time.Now())
	if err != nil {
		l.add("brokers", err.Error(), "")
		return false
	}
	for i, r := range results {
		subject := "policy " + targets[i].Policy
		if r.Err != nil {
			l.add(subject, r.Err.Error(), "")
			continue
		}
		for _, problem := range r.Observation.Problems {
			remedy := ""
			switch {
			case problem == r.Group.Absence:
				remedy = "start the group's consumers, or mend kafka.group"
			case slices.ContainsFunc(targets[i].Topics, func(topic string) bool { return problem == absence(topic) }):
				remedy = "create it, or mend kafka.topics"
			}
			l.add(subject, problem, remedy)
		}
	}
	return true
}

// absence is how the collector says that a topic is not there.
func absence(topic string) string { return "topic " + topic + " does not exist" }

// read asks whether the records may be read of the topics that the policies name: their batches tell the age of an old backlog, their
// headers the latency, their timestamps the history.
func (l *look) read(ctx context.Context) {
	why := map[string]string{}
	for _, p := range l.policies {
		for _, topic := range p.Target.Topics {
			why[topic] = cmp.Or(why[topic], "the age of a backlog that the daemon did not see begin")
		}
		for _, topic := range p.History.Topics {
			why[topic] = "the history of policy " + p.Name()
		}
		if h := p.Sources.Headers; h != nil {
			why[h.Topic] = "the latency of policy " + p.Name()
		}
	}
	adm := kadm.NewClient(l.clusters.client(l.cluster))
	for _, topic := range slices.Sorted(maps.Keys(why)) {
		subject := "topic " + topic
		details, err := adm.ListTopics(kadm.WithAuthorizedOps(ctx), topic)
		allowed := details[topic].AuthorizedOperations
		switch denied := (*kadm.AuthError)(nil); {
		case errors.As(err, &denied), err == nil && len(allowed) > 0 && !slices.Contains(allowed, kadm.OpRead):
			l.add(subject, "this user may not Read it, so "+why[topic]+" is not known",
				"run kafka-acls.sh --add --allow-principal User:NAME --operation Read --topic "+topic)
		case err == nil && !details.Has(topic), errors.Is(details[topic].Err, kerr.UnknownTopicOrPartition):
			if l.told(absence(topic)) {
				continue
			}
			l.add(subject, "it does not exist, so "+why[topic]+" is not known", "create it, or mend the name in the policy")
		case err != nil:
			l.add(subject, fmt.Sprintf("ask for it: %v", err), "")
		}
	}
}

// told reports whether there is a finding of that message.
func (l *look) told(message string) bool {
	return slices.ContainsFunc(l.found, func(f finding) bool { return f.Message == message })
}

// log looks at what the event log needs.
func (l *look) log(ctx context.Context, cfg eventlog.Config) {
	problems, err := eventlog.Inspect(ctx, l.clusters.client(l.cluster), cfg)
	if err != nil {
		l.add("event log", err.Error(), "")
	}
	for _, p := range problems {
		l.add(p.Subject, p.Problem, p.Mend)
	}
	if p := eventlog.WhyClassic(ctx, l.clusters.client(l.cluster), cfg); p != nil {
		l.add(p.Subject, p.Problem, p.Mend)
		l.found[len(l.found)-1].Note = true
	}
}
