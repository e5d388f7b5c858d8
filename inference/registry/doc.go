// Package registry keeps model versions in one compacted Kafka topic and follows it.
//
//	key "default/7"  value: the model file of version 7 (safetensors, lineage in its metadata); a tombstone retires it
//	key "default"    value: {"v":1,"champion":7,"previous":5,"reason":"…","atMillis":…}
//
// A version never changes once written. Which version serves is the record under the bare name, so a promotion and a
// roll-back are one small record each, atomic with the rest of the transaction that writes it, and the topic's history tells
// why. The order in which the two kinds of record arrive does not matter: a champion whose file has not come yet is awaited.
//
// The main type is Follower. The package leaves out deciding which version is champion (feedback).
package registry
