// Package stage runs a deterministic step between topics exactly once, with state that survives a crash.
//
// A Stage consumes topics as a member of a group and hands each batch to the Processor of its partition. What the processor
// gives back, records to write and changes to its state, goes into one Kafka transaction together with the group's offsets.
// State is a compacted topic with as many partitions as the input; its keys are the processor's own, and beside them the
// stage keeps the offsets that the state belongs to. So the output, the state and the position are always of the same moment:
// a process that dies anywhere leaves a transaction that never was, and the next owner of the partition goes on from the last
// one that was.
//
// A new owner reads the state to the end and compares the offsets in it with the group's, asked for in a way that waits for
// open transactions (KIP-447); only when they agree does it begin.
//
// Input topics must have the same number of partitions: the partitions of one number are processed together.
//
// The package leaves out what is computed: see feedback/join and feedback/train.
package stage
