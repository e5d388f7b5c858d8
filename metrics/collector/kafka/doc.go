// Package kafka collects, over the Kafka protocol, how far behind consumer groups are: in records and in seconds, per
// partition and per policy, with arrival and consumption counts.
//
// A Collector asks one cluster through one client. Each tick it reads the commits first and the ends of the partitions
// afterwards, so that lag is never falsely negative, with one request a broker (and ten groups) rather than one a
// partition. Which groups exist, who is a member, which topics there are and where their logs start is asked on slower
// timers.
//
// Group types differ in the request that tells their position: classic, KIP-848 "consumer" and KIP-1071 "streams" groups
// have commits (OffsetFetch), KIP-932 "share" groups a share-partition start offset and a lag that the broker counts
// (DescribeShareGroupOffsets). Asking the wrong one mostly answers "nothing", with no error; so the type is read from
// ListGroups and an empty answer is never taken for a lag of zero.
//
// Records behind are offsets: of a compacted topic fewer records may be left than that, and the older the backlog the fewer.
//
// Seconds behind is the age of the oldest record not yet consumed. It is interpolated between samples of each
// partition's end offset; the samples that enclose the record bound the error. Where they do not (a backlog older than
// the samples) or the bound is wide, the record batch itself is fetched and its timestamp read. Where the samples contradict a
// timestamp, because a clock is wrong or producers stamp records with another time than that of sending, they are believed.
//
// # Rights
//
// The client's user needs Describe on the groups and topics that are watched; a broker does not list groups that the user
// may not describe. Read on the topics is for looking up single batches' timestamps: without it everything works but the
// age of a backlog that is older than the samples. Nothing else is needed. With the tools that come with Kafka, for a
// user "prescale":
//
//	kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:prescale --operation Describe --group '*'
//	kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:prescale --operation Describe --topic '*'
//	kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal User:prescale --operation Read --topic '*'
//
// A name instead of '*', or a prefix with --resource-pattern-type prefixed, narrows it. TestRights holds this to be true.
//
// It needs Kafka 3.0 or later. It deliberately does not consume records, commit, or write anything.
package kafka
