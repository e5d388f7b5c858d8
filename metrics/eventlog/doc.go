// Package eventlog keeps what the control plane saw and decided in Kafka, and says who may write it.
//
// A policy belongs to a shard: a partition of three topics.
//
//	observations  every tick: what was observed, in order             kept for Config.Retention
//	checkpoints   state of the policy's decider after some tick      compacted
//	decisions     what was decided, with its reasons                 compacted once older than Config.Retention
//
// The write side is the Owner. Replicas of the daemon form a consumer group, and for each shard that the group gives it
// the Owner runs a ShardFunc with a Shard: the only writer of that shard. A tick is one Kafka transaction over all three
// topics. The transactional id belongs to the shard, so taking a shard over fences the writer before (its epoch is older)
// and ends its open transaction; what is in the log then is all there will ever be from it. The rest
// relies on three consequences:
//
//   - A shard's log is linear: a writer has read it to its end before it writes, and nobody else can have written since.
//     That holds whatever the group believes: the group says who should own a shard, the epoch says who does.
//   - A tick's sequence number is one more than the policy's last; a term, one more than the log's last, names each
//     take-over. A checker (Check) can therefore prove from the log alone that nothing was lost and nothing written twice.
//   - After any error of Append the outcome is unknown, so the writer lets go of the shard and takes it over again like
//     anybody else: there is one way to recover, and it is always in use.
//
// The read side is the Follower, which every replica runs: it reads committed decisions only and knows per shard whether
// it keeps up. Memory has the same shape as an Owner and keeps nothing.
//
// # Rights
//
// The client's user needs Read, Write and DescribeConfigs on the three topics, Create where they are not there yet, Read on the group
// of owners and Write with the shards' transactional ids. With the tools that come with Kafka, for a user "prescale" and
// the default Config.Prefix:
//
//	acl="kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:prescale"
//	for op in Create DescribeConfigs Read Write; do
//	  $acl --operation $op --topic prescale. --resource-pattern-type prefixed
//	done
//	$acl --operation Read --group prescale.owners
//	$acl --operation Write --transactional-id prescale.shard- --resource-pattern-type prefixed
//
// AlterConfigs on the group lets ProtocolAuto take the protocol of KIP-848 where brokers allow so short a session; without it the
// classic one is used, and with ProtocolConsumer sessions last as long as brokers like. Who only reads (History, Check, a Follower)
// needs Read on the topics. TestRights holds this to be true, and Inspect tells what is missing. The collector's rights are in its own
// package.
//
// The package stores states and decisions as opaque bytes: it knows nothing of forecasters and scalers. It collects and
// decides nothing.
package eventlog
