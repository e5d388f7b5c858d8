package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// SetupError says that something in Kafka is not as the log needs it, and how to mend it.
type SetupError struct {
	// Subject is what is meant, as in "topic prescale.decisions".
	Subject, Problem, Mend string
}

func (e *SetupError) Error() string {
	return fmt.Sprintf("%s: %s; %s", e.Subject, e.Problem, e.Mend)
}

func aboutTopic(name, problem, mend string) *SetupError {
	return &SetupError{"topic " + name, problem, mend}
}

// topicSpec is what one topic must be like.
type topicSpec struct {
	name    string
	cleanup string
	// configs are the further settings that it is created with.
	configs map[string]string
	// atLeast are those among them, in milliseconds or bytes, that must not be lower later.
	atLeast []string
}

func (c Config) topics() []topicSpec {
	// Records may be as large as a batch, and segments small enough that the cleaner and retention get at them.
	common := map[string]string{"max.message.bytes": strconv.Itoa(2 * maxBatchBytes)}
	with := func(pairs ...string) map[string]string {
		m := maps.Clone(common)
		for i := 0; i+1 < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	return []topicSpec{
		{
			name: c.observations(), cleanup: "delete",
			configs: with("retention.ms", millis(c.Retention), "segment.ms", millis(segmentSpan)),
			atLeast: []string{"retention.ms", "max.message.bytes"},
		},
		{
			name: c.checkpoints(), cleanup: "compact",
			// Small segments and an eager cleaner: a take-over reads all that is not cleaned yet.
			configs: with("segment.bytes", strconv.Itoa(16<<20), "segment.ms", millis(checkpointSegmentSpan),
				"min.cleanable.dirty.ratio", "0.2", "max.compaction.lag.ms", millis(time.Hour)),
			atLeast: []string{"max.message.bytes"},
		},
		{
			name: c.decisions(), cleanup: "compact",
			// For as long as the observations live every decision stays beside them, for the replay to compare with.
			configs: with("min.compaction.lag.ms", millis(c.Retention+2*segmentSpan), "segment.ms", millis(segmentSpan)),
			atLeast: []string{"min.compaction.lag.ms", "max.message.bytes"},
		},
	}
}

// Retention and the cleaner work on whole segments, so observations outlive Config.Retention by up to segmentSpan and the
// broker's interval between its looks (5 minutes unless changed). checkpointSegmentSpan bounds what a take-over reads in vain.
const (
	segmentSpan           = 6 * time.Hour
	checkpointSegmentSpan = 10 * time.Minute
)

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// EnsureTopics creates the topics that are missing and verifies those that exist. A topic that is there with other settings
// is left as it is: that is a *SetupError (several are joined).
func EnsureTopics(ctx context.Context, client *kgo.Client, cfg Config) error {
	adm := kadm.NewClient(client)
	specs := cfg.topics()
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.name
	}
	existing, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("list the log's topics: %w", err)
	}
	for _, spec := range specs {
		if existing.Has(spec.name) {
			continue
		}
		if err := create(ctx, adm, cfg, spec, false); err != nil {
			return err
		}
	}
	// What was there before, or what another replica has just created, is read back, once the brokers have heard of it.
	for {
		existing, err = adm.ListTopics(ctx, names...)
		if err != nil {
			return fmt.Errorf("list the log's topics: %w", err)
		}
		if !slices.ContainsFunc(names, func(name string) bool { return !existing.Has(name) }) {
			break
		}
		if err := sleep(ctx, fetchBackoff); err != nil {
			return fmt.Errorf("wait for the log's topics: %w", err)
		}
	}
	described, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("read the settings of the log's topics: %w", err)
	}
	var errs []error
	for _, spec := range specs {
		detail := existing[spec.name]
		if detail.Err != nil {
			return fmt.Errorf("list topic %s: %w", spec.name, detail.Err)
		}
		errs = append(errs, verifyPartitions(spec, len(detail.Partitions), cfg.Shards))
		resource, err := described.On(spec.name, nil)
		if err == nil {
			err = resource.Err
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read the settings of topic %s: %w", spec.name, err))
			continue
		}
		errs = append(errs, verifySettings(spec, settingsOf(resource))...)
	}
	return errors.Join(errs...)
}

// VerifyTopics asks once whether the log is there to be read, creates nothing and looks at no settings. A topic that is missing, or has
// another number of partitions than the configuration has shards, is a *SetupError (several are joined).
func VerifyTopics(ctx context.Context, client *kgo.Client, cfg Config) error {
	var names []string
	for _, spec := range cfg.topics() {
		names = append(names, spec.name)
	}
	existing, err := kadm.NewClient(client).ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("list the log's topics: %w", err)
	}
	var errs []error
	for _, spec := range cfg.topics() {
		switch detail, ok := existing[spec.name]; {
		case !ok || errors.Is(detail.Err, kerr.UnknownTopicOrPartition):
			errs = append(errs, aboutTopic(spec.name, "it does not exist",
				"a daemon whose log is in Kafka creates it: has one run with this configuration?"))
		case detail.Err != nil:
			errs = append(errs, fmt.Errorf("list topic %s: %w", spec.name, detail.Err))
		default:
			errs = append(errs, verifyPartitions(spec, len(detail.Partitions), cfg.Shards))
		}
	}
	return errors.Join(errs...)
}

// create makes a topic, or with tryOnly asks whether it could be made.
func create(ctx context.Context, adm *kadm.Client, cfg Config, spec topicSpec, tryOnly bool) error {
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("count the brokers: %w", err)
	}
	replication := cfg.replication(len(brokers))
	configs := map[string]*string{"cleanup.policy": &spec.cleanup}
	for k, v := range spec.configs {
		configs[k] = &v
	}
	if replication >= 3 {
		configs["min.insync.replicas"] = kadm.StringPtr("2")
	}
	ask := adm.CreateTopics
	if tryOnly {
		ask = adm.ValidateCreateTopics
	}
	responses, err := ask(ctx, int32(cfg.Shards), int16(replication), configs, spec.name)
	if err == nil {
		err = responses.Error()
	}
	switch {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return aboutTopic(spec.name, "it does not exist and may not be created: "+err.Error(),
			fmt.Sprintf("create it with %d partitions and %s, or allow this user to Create it", cfg.Shards, spec))
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("create topic %s with replication factor %d: %w: are brokers down?", spec.name, replication, err)
	default:
		return fmt.Errorf("create topic %s: %w", spec.name, err)
	}
}

// replication is the replication factor of topics that are created on a cluster of so many brokers.
func (c Config) replication(brokers int) int {
	if c.Replication > 0 {
		return c.Replication
	}
	return min(3, brokers)
}

// String lists the settings as kafka-topics.sh takes them.
func (s topicSpec) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cleanup.policy=%s", s.cleanup)
	for _, k := range slices.Sorted(maps.Keys(s.configs)) {
		fmt.Fprintf(&b, ",%s=%s", k, s.configs[k])
	}
	return b.String()
}

// alter returns the command that sets one setting.
func (s topicSpec) alter(key, value string) string {
	return fmt.Sprintf("run kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s=%s", s.name, key, value)
}

func verifyPartitions(spec topicSpec, got, want int) error {
	if got == want {
		return nil
	}
	return aboutTopic(spec.name, fmt.Sprintf("it has %d partitions, the configuration says %d shards", got, want),
		fmt.Sprintf("set eventLog.shards to %d, or choose another eventLog.prefix and start with an empty log: "+
			"policies cannot move between shards", got))
}

func settingsOf(resource kadm.ResourceConfig) map[string]string {
	settings := map[string]string{}
	for _, c := range resource.Configs {
		settings[c.Key] = c.MaybeValue()
	}
	return settings
}

func verifySettings(spec topicSpec, settings map[string]string) []error {
	var errs []error
	if got := settings["cleanup.policy"]; got != spec.cleanup {
		errs = append(errs, aboutTopic(spec.name, fmt.Sprintf("cleanup.policy is %q, it must be %q", got, spec.cleanup),
			spec.alter("cleanup.policy", spec.cleanup)))
	}
	for _, key := range spec.atLeast {
		want, err := strconv.ParseInt(spec.configs[key], 10, 64)
		if err != nil {
			panic(fmt.Sprintf("eventlog: setting %s of %s: %v", key, spec.name, err))
		}
		got, err := strconv.ParseInt(settings[key], 10, 64)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("read the settings of topic %s: %s is %q", spec.name, key, settings[key]))
		case got < want && (key != "retention.ms" || got != -1):
			errs = append(errs, aboutTopic(spec.name, fmt.Sprintf("%s is %d, it must be at least %d", key, got, want),
				spec.alter(key, spec.configs[key])))
		}
	}
	return errs
}

// chooseProtocol settles what ProtocolAuto leaves open. The protocol of KIP-848 has its session timeout on the broker: it
// is set for the group where the broker allows it, and where it does not (its minimum is 45s unless changed) the classic
// protocol hands a dead owner's shards over sooner.
func chooseProtocol(ctx context.Context, client *kgo.Client, cfg Config, log *slog.Logger) Protocol {
	if cfg.Protocol == ProtocolClassic {
		return ProtocolClassic
	}
	// Brokers that come and go must not make this replica choose otherwise than the others.
	asking, cancel := context.WithTimeout(ctx, protocolPatience)
	defer cancel()
	_, err := retry(asking, func() (struct{}, error) { return struct{}{}, setGroupTimeouts(asking, client, cfg, false) })
	switch {
	case err == nil:
		return ProtocolConsumer
	case cfg.Protocol == ProtocolConsumer:
		log.Warn("the group keeps the broker's session timeout", "group", cfg.group(), "error", err)
		return ProtocolConsumer
	default:
		log.Info("the group uses the classic protocol", "group", cfg.group(), "because", err, "remedy",
			"none is needed"+forConsumerProtocol(cfg, err))
		return ProtocolClassic
	}
}

// allowSessions lets brokers take a session as short as an owner's.
const allowSessions = "set group.consumer.min.session.timeout.ms and group.consumer.min.heartbeat.interval.ms on the brokers"

// forConsumerProtocol says what would let the group have ProtocolConsumer, where anything would.
func forConsumerProtocol(cfg Config, err error) string {
	switch {
	case errors.Is(err, kerr.InvalidConfig):
		return "; for that of KIP-848 " + allowSessions
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return "; for that of KIP-848 " + allowAlterGroup(cfg)
	default:
		return ""
	}
}

func allowAlterGroup(cfg Config) string {
	return "run kafka-acls.sh --add --allow-principal User:NAME --operation AlterConfigs --group " + cfg.group()
}

// protocolPatience bounds how long the brokers are asked before the classic protocol is taken, which all of them have.
const protocolPatience = 30 * time.Second

// setGroupTimeouts tells the broker the session timeout and heartbeat of a group of KIP-848, or only asks whether it may.
func setGroupTimeouts(ctx context.Context, client *kgo.Client, cfg Config, ask bool) error {
	versions, err := kadm.NewClient(client).ApiVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask for the brokers' versions: %w", err)
	}
	for _, v := range versions {
		if v.Err != nil {
			continue // It is away: the others speak for it.
		}
		const consumerGroupHeartbeat = 68
		if _, highest, ok := v.KeyVersions(consumerGroupHeartbeat); !ok || highest < 0 {
			return fmt.Errorf("broker %d does not have the group protocol of KIP-848: %w", v.NodeID, kerr.UnsupportedVersion)
		}
	}
	return alterGroup(ctx, client, cfg.group(), map[string]string{
		"consumer.session.timeout.ms":    strconv.FormatInt(cfg.SessionTimeout.Milliseconds(), 10),
		"consumer.heartbeat.interval.ms": strconv.FormatInt(cfg.Heartbeat.Milliseconds(), 10),
	}, ask)
}
