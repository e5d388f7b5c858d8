package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The requests that carry a number for every partition are encoded and decoded here rather than by kmsg, which makes a
// structure of each partition: the answers go straight from the wire into the collector's arrays.

// rawRequest is a request whose body was encoded beforehand for one version, so that a request that was given up on can
// still be written by the client while the collector has gone on. It implements kmsg.Request.
type rawRequest struct {
	key, version int16
	body         []byte
}

func (r *rawRequest) Key() int16                 { return r.key }
func (r *rawRequest) MaxVersion() int16          { return r.version }
func (r *rawRequest) GetVersion() int16          { return r.version }
func (r *rawRequest) IsFlexible() bool           { return true }
func (r *rawRequest) AppendTo(dst []byte) []byte { return append(dst, r.body...) }
func (r *rawRequest) ReadFrom([]byte) error      { return errors.New("a raw request is not read") }
func (r *rawRequest) ResponseKind() kmsg.Response {
	return &rawResponse{key: r.key, version: r.version}
}

// SetVersion does nothing: the version was fixed when the body was encoded, and the collector has checked that the
// brokers speak it.
func (r *rawRequest) SetVersion(int16) {}

// rawResponse keeps the body as it came, for the collector to decode.
type rawResponse struct {
	key, version int16
	body         []byte
}

func (r *rawResponse) Key() int16                 { return r.key }
func (r *rawResponse) MaxVersion() int16          { return r.version }
func (r *rawResponse) GetVersion() int16          { return r.version }
func (r *rawResponse) SetVersion(int16)           {}
func (r *rawResponse) IsFlexible() bool           { return true }
func (r *rawResponse) AppendTo(dst []byte) []byte { return append(dst, r.body...) }
func (r *rawResponse) RequestKind() kmsg.Request  { return &rawRequest{key: r.key, version: r.version} }

func (r *rawResponse) ReadFrom(body []byte) error {
	r.body = body
	return nil
}

// reader reads the flexible encoding (KIP-482). After the first mistake every read gives zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.bad, r.b = true, nil }

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// length reads a compact length: one more than the count, 0 for null. A count that the rest cannot hold, at one byte an
// element, is a mistake.
func (r *reader) length() int {
	v := r.uvarint()
	if v == 0 {
		return 0
	}
	if v-1 > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(v - 1)
}

// text reads a compact string, null as empty. It is a part of the body, not a copy.
func (r *reader) text() []byte { return r.take(r.length()) }

func (r *reader) tags() {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		r.uvarint()
		size := r.uvarint()
		if size > uint64(len(r.b)) {
			r.fail()
			return
		}
		r.take(int(size))
	}
}

// done returns an error unless all of the body was read without a mistake.
func (r *reader) done(what string) error {
	if r.bad {
		return fmt.Errorf("decode %s: the answer is cut short or malformed", what)
	}
	if len(r.b) > 0 {
		return fmt.Errorf("decode %s: %d bytes are left over", what, len(r.b))
	}
	return nil
}

func appendLength(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)+1) }

func appendText(b []byte, s string) []byte { return append(appendLength(b, len(s)), s...) }

const (
	listOffsetsKey     = 2
	listOffsetsVersion = 7 // flexible since 6; Kafka 3.0
	offsetFetchKey     = 9
	offsetFetchVersion = 8 // several groups a request; Kafka 3.0

	// The timestamps by which ListOffsets asks for an end and a start.
	latestOffset   int64 = -1
	earliestOffset int64 = -2
)

// encodeOffsetFetch asks for all commits of the groups.
func encodeOffsetFetch(groups []*group) *rawRequest {
	b := appendLength(nil, len(groups))
	for _, g := range groups {
		b = appendText(b, g.name)
		b = append(b, 0) // topics: null, which is all
		b = append(b, 0) // tags
	}
	b = append(b, 0) // require stable: no, since pending transactional commits are not positions yet
	b = append(b, 0)
	return &rawRequest{key: offsetFetchKey, version: offsetFetchVersion, body: b}
}

// commits receives what an OffsetFetch answers.
type commits interface {
	// group begins a group's answer; false skips it.
	group(name []byte) bool
	// topic begins a topic of it; false skips the topic.
	topic(name []byte) bool
	// commit is one partition's; offset is -1 where the group has none.
	commit(partition int32, offset int64, code int16)
	// groupDone ends the group's answer with its error code.
	groupDone(code int16)
}

// decodeOffsetFetch reads a version 8 answer.
func decodeOffsetFetch(body []byte, to commits) error {
	r := reader{b: body}
	r.int32() // throttle
	for groups := r.length(); groups > 0 && !r.bad; groups-- {
		wanted := to.group(r.text())
		for topics := r.length(); topics > 0 && !r.bad; topics-- {
			name := r.text()
			keep := wanted && to.topic(name)
			for partitions := r.length(); partitions > 0 && !r.bad; partitions-- {
				// Nearly every partition has no metadata and no tags, and so the same twenty bytes: index, offset, leader
				// epoch, an empty or null string, error code, no tags.
				if b := r.b; len(b) >= 20 && b[16] <= 1 && b[19] == 0 {
					r.b = b[20:]
					if keep {
						to.commit(int32(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint64(b[4:])),
							int16(binary.BigEndian.Uint16(b[17:])))
					}
					continue
				}
				index := r.int32()
				offset := r.int64()
				r.take(4) // leader epoch
				r.text()  // metadata
				code := r.int16()
				r.tags()
				if keep && !r.bad {
					to.commit(index, offset, code)
				}
			}
			r.tags()
		}
		code := r.int16()
		r.tags()
		if wanted && !r.bad {
			to.groupDone(code)
		}
	}
	r.tags()
	return r.done("OffsetFetch")
}

// encodeListOffsets asks node for an offset of each partition that it leads and that want picks: the end, the start, or
// the first with a timestamp at or after a time in milliseconds. committed asks for the last stable offset as the end.
// It returns nil when there is nothing to ask.
func encodeListOffsets(node int32, topics []*topic, at int64, committed bool, want func(t *topic, p int) bool) *rawRequest {
	type span struct {
		topic *topic
		count int
	}
	var spans []span
	size := 16
	for _, t := range topics {
		count := 0
		for p, leader := range t.leader {
			if leader == node && want(t, p) {
				count++
			}
		}
		if count > 0 {
			spans = append(spans, span{t, count})
			size += len(t.name) + 10 + 17*count
		}
	}
	if len(spans) == 0 {
		return nil
	}
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint32(b, 0xffffffff) // replica: a consumer
	isolation := byte(0)
	if committed {
		isolation = 1
	}
	b = append(b, isolation)
	b = appendLength(b, len(spans))
	for _, s := range spans {
		b = appendText(b, s.topic.name)
		b = appendLength(b, s.count)
		for p, leader := range s.topic.leader {
			if leader != node || !want(s.topic, p) {
				continue
			}
			b = binary.BigEndian.AppendUint32(b, uint32(p))
			b = binary.BigEndian.AppendUint32(b, 0xffffffff) // leader epoch: not checked
			b = binary.BigEndian.AppendUint64(b, uint64(at))
			b = append(b, 0)
		}
		b = append(b, 0)
	}
	b = append(b, 0)
	return &rawRequest{key: listOffsetsKey, version: listOffsetsVersion, body: b}
}

// decodeListOffsets reads a version 7 answer and gives each partition to the function.
func decodeListOffsets(body []byte, to func(topic []byte, partition int32, offset int64, code int16)) error {
	r := reader{b: body}
	r.int32() // throttle
	for topics := r.length(); topics > 0 && !r.bad; topics-- {
		name := r.text()
		for partitions := r.length(); partitions > 0 && !r.bad; partitions-- {
			index := r.int32()
			code := r.int16()
			r.take(8) // timestamp
			offset := r.int64()
			r.take(4) // leader epoch
			r.tags()
			if !r.bad {
				to(name, index, offset, code)
			}
		}
		r.tags()
	}
	r.tags()
	return r.done("ListOffsets")
}
