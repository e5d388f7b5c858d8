package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Inspect asks once whether the client's user may do all that an Owner does, and whether the topics are kept as they should be. It
// changes nothing and disturbs no Owner; topics that are missing and may be created are no problem. It returns every problem; the
// error says that Kafka could not be asked for more of them.
func Inspect(ctx context.Context, client *kgo.Client, cfg Config) ([]*SetupError, error) {
	adm := kadm.NewClient(client)
	specs := cfg.topics()
	topics, brokers, err := topicsWithRights(ctx, client, specs)
	if err != nil {
		return nil, fmt.Errorf("list the log's topics: %w", err)
	}
	var problems []*SetupError
	for _, spec := range specs {
		found, err := inspectTopic(ctx, adm, cfg, spec, topics[spec.name], brokers)
		problems = append(problems, found...)
		if err != nil {
			return problems, err
		}
	}
	for _, may := range []func(context.Context, *kgo.Client, Config) (*SetupError, error){mayJoin, maySetTimeouts, mayWrite} {
		problem, err := may(ctx, client, cfg)
		if err != nil {
			return problems, err
		}
		if problem != nil {
			problems = append(problems, problem)
		}
	}
	return problems, nil
}

// topicsWithRights returns what the brokers tell of each topic, with the operations that are allowed, and how many brokers there are.
func topicsWithRights(ctx context.Context, client *kgo.Client, specs []topicSpec) (map[string]kmsg.MetadataResponseTopic, int, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, spec := range specs {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(spec.name)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, 0, err
	}
	topics := map[string]kmsg.MetadataResponseTopic{}
	for _, t := range resp.Topics {
		topics[*t.Topic] = t
	}
	return topics, len(resp.Brokers), nil
}

// topicRights returns the operations on its topics that an Owner needs. Read has Describe with it.
func topicRights() []kadm.ACLOperation {
	return []kadm.ACLOperation{kadm.OpRead, kadm.OpWrite, kadm.OpDescribeConfigs}
}

func inspectTopic(ctx context.Context, adm *kadm.Client, cfg Config, spec topicSpec, topic kmsg.MetadataResponseTopic,
	brokers int) ([]*SetupError, error) {
	switch err := kerr.ErrorForCode(topic.ErrorCode); {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		err := create(ctx, adm, cfg, spec, true)
		var problem *SetupError
		if errors.As(err, &problem) {
			return []*SetupError{problem}, nil
		}
		return nil, err
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return []*SetupError{aboutTopic(spec.name, "this user may not Describe it", spec.allow(topicRights()...))}, nil
	case err != nil:
		return nil, fmt.Errorf("list topic %s: %w", spec.name, err)
	}
	problems := inspectLeaders(spec, topic.Partitions)
	// A broker that leaves the operations out has the least of integers there.
	allowed := kadm.DecodeACLOperations(topic.AuthorizedOperations)
	missing := slices.DeleteFunc(topicRights(), func(op kadm.ACLOperation) bool { return slices.Contains(allowed, op) })
	if len(allowed) > 0 && len(missing) > 0 {
		problems = append(problems, aboutTopic(spec.name, "this user may not "+operations(missing, " or "), spec.allow(missing...)))
	}
	var wrong *SetupError
	if errors.As(verifyPartitions(spec, len(topic.Partitions), cfg.Shards), &wrong) {
		problems = append(problems, wrong)
	}
	if slices.Contains(missing, kadm.OpDescribeConfigs) && len(allowed) > 0 {
		return problems, nil
	}
	described, err := adm.DescribeTopicConfigs(ctx, spec.name)
	if err == nil && described[0].Err != nil {
		err = described[0].Err
	}
	if err != nil {
		return problems, fmt.Errorf("read the settings of topic %s: %w", spec.name, err)
	}
	settings := settingsOf(described[0])
	for _, err := range verifySettings(spec, settings) {
		if !errors.As(err, &wrong) {
			return problems, err
		}
		problems = append(problems, wrong)
	}
	if size := settings["retention.bytes"]; spec.cleanup == "delete" && size != "-1" {
		problems = append(problems, aboutTopic(spec.name,
			fmt.Sprintf("retention.bytes is %s, so that records may go before they are %v old", size, cfg.Retention),
			spec.alter("retention.bytes", "-1")))
	}
	return append(problems, inspectReplication(spec, topic.Partitions, settings["min.insync.replicas"], cfg.replication(brokers))...), nil
}

// inspectLeaders says which partitions nobody can write to now.
func inspectLeaders(spec topicSpec, partitions []kmsg.MetadataResponseTopicPartition) []*SetupError {
	var without []int32
	for _, p := range partitions {
		if p.Leader < 0 {
			without = append(without, p.Partition)
		}
	}
	if len(without) == 0 {
		return nil
	}
	slices.Sort(without)
	return []*SetupError{aboutTopic(spec.name, fmt.Sprintf("partitions %v of %d have no leader: nothing is decided for their policies",
		without, len(partitions)),
		"start their brokers, or mend the log directories that these have lost: "+
			"kafka-log-dirs.sh --describe and the brokers' logs tell which")}
}

// inspectReplication says what the death of one broker would do. None of it keeps an Owner from starting.
func inspectReplication(spec topicSpec, partitions []kmsg.MetadataResponseTopicPartition, minInSync string, want int) []*SetupError {
	replicas := want
	for _, p := range partitions {
		replicas = min(replicas, len(p.Replicas))
	}
	if replicas < want {
		return []*SetupError{aboutTopic(spec.name, fmt.Sprintf(
			"the replication factor is %d, %d are wanted: without its broker a shard stands still or is lost", replicas, want),
			"raise it with kafka-reassign-partitions.sh, or set eventLog.replication")}
	}
	inSync, err := strconv.Atoi(minInSync)
	switch {
	case err != nil:
		return nil // The settings' own check has said what is there.
	case inSync > 1 && inSync >= replicas:
		return []*SetupError{aboutTopic(spec.name, fmt.Sprintf(
			"min.insync.replicas is %d of %d: nothing can be written while one broker is away", inSync, replicas),
			spec.alter("min.insync.replicas", strconv.Itoa(max(1, replicas-1))))}
	case inSync < 2 && replicas >= 3:
		return []*SetupError{aboutTopic(spec.name, fmt.Sprintf(
			"min.insync.replicas is %d of %d: a tick that was written may be lost with one broker", inSync, replicas),
			spec.alter("min.insync.replicas", "2"))}
	}
	return nil
}

// mayJoin asks whether the user may be a member of the owners' group, by a heartbeat of a member that there is not.
func mayJoin(ctx context.Context, client *kgo.Client, cfg Config) (*SetupError, error) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.Generation, req.MemberID = cfg.group(), -1, "prescale-inspects"
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if errors.Is(err, kerr.GroupAuthorizationFailed) {
		return &SetupError{"group " + cfg.group(), "this user may not Read it",
			"run kafka-acls.sh --add --allow-principal User:NAME --operation Read --group " + cfg.group()}, nil
	}
	return nil, unlessAnswer("ask for group "+cfg.group(), err)
}

// maySetTimeouts asks whether the group of ProtocolConsumer would get the session timeout that was asked for. It works without, with
// the brokers' own timeout; ProtocolAuto takes the classic protocol then, which needs no such right.
func maySetTimeouts(ctx context.Context, client *kgo.Client, cfg Config) (*SetupError, error) {
	if cfg.Protocol != ProtocolConsumer {
		return nil, nil
	}
	err := setGroupTimeouts(ctx, client, cfg, true)
	subject, kept := "group "+cfg.group(),
		"so it keeps the brokers' session timeout (45s unless changed) and a dead owner is noticed that late"
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return &SetupError{subject, "this user may not AlterConfigs of it, " + kept,
			allowAlterGroup(cfg)}, nil
	case errors.Is(err, kerr.InvalidConfig):
		return &SetupError{subject, fmt.Sprintf("the brokers do not let it have a session timeout of %v, %s (%v)",
			cfg.SessionTimeout, kept, err),
			allowSessions + ", or leave eventLog.protocol at auto"}, nil
	case errors.Is(err, kerr.UnsupportedVersion):
		return &SetupError{subject, err.Error(), "leave eventLog.protocol at auto"}, nil
	}
	return nil, unlessAnswer("ask for the timeouts of "+subject, err)
}

// WhyClassic says why the group of ProtocolAuto would take the classic protocol now, and what would let it have that of KIP-848; nil
// where it would have that one, or the protocol is configured. It is nothing that must be mended.
func WhyClassic(ctx context.Context, client *kgo.Client, cfg Config) *SetupError {
	if cfg.Protocol != ProtocolAuto {
		return nil
	}
	err := setGroupTimeouts(ctx, client, cfg, true)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return &SetupError{"group " + cfg.group(), fmt.Sprintf("it uses the classic protocol: %v", err),
		"no remedy is needed" + forConsumerProtocol(cfg, err)}
}

// mayWrite asks whether the user may write as the shards do, by ending transactions of a producer that there is not: a broker looks at
// the right first and then refuses, whatever the shard's true producer is about.
func mayWrite(ctx context.Context, client *kgo.Client, cfg Config) (*SetupError, error) {
	for shard := range int32(cfg.Shards) {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch = cfg.transactionalID(shard), -1, -1
		resp, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
			return &SetupError{"transactional id " + req.TransactionalID, "this user may not Write with it",
				fmt.Sprintf("run kafka-acls.sh --add --allow-principal User:NAME --operation Write --transactional-id %s.shard- "+
					"--resource-pattern-type prefixed", cfg.Prefix)}, nil
		}
		if err := unlessAnswer("ask the leader of a partition of __transaction_state for transactional id "+req.TransactionalID,
			err); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// unlessAnswer returns err with the act, and nil where it is a broker's answer: it was asked what it must refuse.
func unlessAnswer(act string, err error) error {
	var answer *kerr.Error
	if err == nil || errors.As(err, &answer) {
		return nil
	}
	return fmt.Errorf("%s: %w", act, err)
}

// allow returns the command that gives a user the operations on the topic.
func (s topicSpec) allow(ops ...kadm.ACLOperation) string {
	return fmt.Sprintf("run kafka-acls.sh --add --allow-principal User:NAME %s --topic %s",
		"--operation "+operations(ops, " --operation "), s.name)
}

// operations names them as kafka-acls.sh does, such as DescribeConfigs.
func operations(ops []kadm.ACLOperation, between string) string {
	names := map[kadm.ACLOperation]string{kadm.OpRead: "Read", kadm.OpWrite: "Write", kadm.OpDescribeConfigs: "DescribeConfigs"}
	var words []string
	for _, op := range ops {
		words = append(words, names[op])
	}
	return strings.Join(words, between)
}
