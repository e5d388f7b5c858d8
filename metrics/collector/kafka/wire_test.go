package kafka

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// gathered is what a decoding gave, in the order it came.
type gathered struct {
	groups, topics []string
	commits        [][3]int64
	codes          []int16
}

func (g *gathered) group(name []byte) bool { g.groups = append(g.groups, string(name)); return true }
func (g *gathered) topic(name []byte) bool { g.topics = append(g.topics, string(name)); return true }
func (g *gathered) groupDone(code int16)   { g.codes = append(g.codes, code) }
func (g *gathered) commit(partition int32, offset int64, code int16) {
	g.commits = append(g.commits, [3]int64{int64(partition), offset, int64(code)})
}

// randomOffsetFetch makes an answer, encoded by kmsg, and what decoding it must give.
func randomOffsetFetch(random *rand.Rand) ([]byte, *gathered) {
	response := kmsg.NewPtrOffsetFetchResponse()
	response.Version = offsetFetchVersion
	want := &gathered{}
	for range random.IntN(4) {
		group := kmsg.NewOffsetFetchResponseGroup()
		group.Group = string(make([]byte, random.IntN(300)))
		want.groups = append(want.groups, group.Group)
		for range random.IntN(4) {
			topic := kmsg.NewOffsetFetchResponseGroupTopic()
			topic.Topic = string(make([]byte, random.IntN(200)))
			want.topics = append(want.topics, topic.Topic)
			for range random.IntN(300) {
				p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				p.Partition, p.Offset, p.ErrorCode = random.Int32(), random.Int64()-10, int16(random.IntN(3))
				if random.IntN(2) == 0 {
					p.Metadata = kmsg.StringPtr(string(make([]byte, random.IntN(200))))
				}
				want.commits = append(want.commits, [3]int64{int64(p.Partition), p.Offset, int64(p.ErrorCode)})
				topic.Partitions = append(topic.Partitions, p)
			}
			group.Topics = append(group.Topics, topic)
		}
		group.ErrorCode = int16(random.IntN(30))
		want.codes = append(want.codes, group.ErrorCode)
		response.Groups = append(response.Groups, group)
	}
	return response.AppendTo(nil), want
}

// TestDecodersAgreeWithKmsg checks the decoders against kmsg's encoders.
func TestDecodersAgreeWithKmsg(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		body, want := randomOffsetFetch(random)
		got := &gathered{}
		if err := decodeOffsetFetch(body, got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !slices.Equal(got.groups, want.groups) || !slices.Equal(got.topics, want.topics) ||
			!slices.Equal(got.commits, want.commits) || !slices.Equal(got.codes, want.codes) {
			t.Fatalf("seed %d: the decoding differs", seed)
		}
		// Cut anywhere it is an error, never a shorter answer.
		if cut := random.IntN(len(body)); decodeOffsetFetch(body[:cut], &gathered{}) == nil {
			t.Fatalf("seed %d: cut at %d of %d: no error", seed, cut, len(body))
		}
	}
	response := kmsg.NewPtrListOffsetsResponse()
	response.Version = listOffsetsVersion
	topic := kmsg.NewListOffsetsResponseTopic()
	topic.Topic = "t"
	for p := range int32(3) {
		partition := kmsg.NewListOffsetsResponseTopicPartition()
		partition.Partition, partition.Offset, partition.ErrorCode = p, int64(p)*100, int16(p)
		topic.Partitions = append(topic.Partitions, partition)
	}
	response.Topics = append(response.Topics, topic)
	count := int32(0)
	err := decodeListOffsets(response.AppendTo(nil), func(topic []byte, partition int32, offset int64, code int16) {
		if string(topic) != "t" || partition != count || offset != int64(count)*100 || code != int16(count) {
			t.Errorf("partition %d: got %s/%d at %d, code %d", count, topic, partition, offset, code)
		}
		count++
	})
	if err != nil || count != 3 {
		t.Errorf("got %d partitions, %v", count, err)
	}
}

// TestEncodersAgreeWithKmsg reads what the encoders write with kmsg's decoders.
func TestEncodersAgreeWithKmsg(t *testing.T) {
	fetch := encodeOffsetFetch([]*group{newGroup("a"), newGroup("b")})
	var gotFetch kmsg.OffsetFetchRequest
	gotFetch.Version = offsetFetchVersion
	if err := gotFetch.ReadFrom(fetch.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if len(gotFetch.Groups) != 2 || gotFetch.Groups[1].Group != "b" || gotFetch.Groups[0].Topics != nil || gotFetch.RequireStable {
		t.Errorf("OffsetFetch: got %+v", gotFetch)
	}
	first, second := &topic{name: "first"}, &topic{name: "second"}
	for _, tt := range []*topic{first, second} {
		tt.grow(4, 16)
		copy(tt.leader, []int32{1, 2, 1, -1})
	}
	list := encodeListOffsets(1, []*topic{first, second}, earliestOffset, true, func(t *topic, p int) bool { return t == first || p == 2 })
	var gotList kmsg.ListOffsetsRequest
	gotList.Version = listOffsetsVersion
	if err := gotList.ReadFrom(list.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if len(gotList.Topics) != 2 || len(gotList.Topics[0].Partitions) != 2 || gotList.Topics[0].Partitions[1].Partition != 2 ||
		len(gotList.Topics[1].Partitions) != 1 || gotList.Topics[1].Partitions[0].Timestamp != earliestOffset ||
		gotList.IsolationLevel != 1 || gotList.ReplicaID != -1 {
		t.Errorf("ListOffsets: got %+v", gotList)
	}
	if encodeListOffsets(7, []*topic{first}, latestOffset, false, func(*topic, int) bool { return true }) != nil {
		t.Error("a broker that leads nothing was to be asked")
	}
}

// FuzzDecode feeds the decoders what a broken or hostile broker may send.
func FuzzDecode(f *testing.F) {
	body, _ := randomOffsetFetch(rand.New(rand.NewPCG(3, 3)))
	f.Add(body)
	f.Add([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		got := &gathered{}
		if decodeOffsetFetch(body, got) == nil && len(got.codes) != len(got.groups) {
			t.Errorf("%d groups, %d ends", len(got.groups), len(got.codes))
		}
		_ = decodeListOffsets(body, func([]byte, int32, int64, int16) {})
		if e := readBatches(body, 5, nil); e.known && e.latest < e.earliest {
			t.Errorf("a moment from %d to %d", e.earliest, e.latest)
		}
	})
}
