// Package kafka starts real Apache Kafka brokers (KRaft mode, no ZooKeeper) for tests, benchmarks and trying things by
// hand. Start gives a Cluster of one or more brokers on free loopback ports, which can be killed, paused and restarted
// one by one; ForTest does the same for a test and stops it at its end.
//
// The jars come from Maven Central, once, into the user's cache directory, together with a class-data archive that
// makes a broker answer in less than two seconds. It needs java 17 or later and, the first time, mvn.
//
// It deliberately knows nothing of Prescale, and keeps nothing: a stopped cluster's data is deleted.
package kafka
