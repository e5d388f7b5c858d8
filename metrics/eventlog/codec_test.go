package eventlog

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/prescale/prescale/metrics/series"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// full has every field set, with the values that are easily lost: a known zero, -0, a missing value in a list.
func full() Tick {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	return Tick{
		Stamp: Stamp{Policy: "ai/inference", Seq: 300, At: at, Origin: 7, Spec: 0xfedcba9876543210, Term: 12, Writer: "pod-1"},
		Observation: series.Observation{
			Policy: "ai/inference", At: at.Add(-time.Second), Interval: 15 * time.Second,
			ArrivalRecords: series.Of(1500), ConsumedRecords: series.Of(0), ArrivalWork: series.Of(1.5), LagRecords: series.Of(3),
			LagSeconds: series.Of(0.25), LagSecondsError: series.Of(math.Copysign(0, -1)), ReadyReplicas: series.Of(2),
			StartingReplicas: series.Of(1), Partitions: series.Of(3),
			PartitionLagRecords:     []series.Value{series.Of(0), series.Missing, series.Of(3)},
			PartitionArrivalRecords: []series.Value{series.Of(0.5), series.Missing},
			BusyRatio:               series.Of(0.75), LatencySeconds: series.Of(1e-9),
			StartupSeconds: []float64{31.5}, ProvisionedStartupSeconds: []float64{90, 95}, Rebalancing: true,
			Pools: []series.PoolObservation{
				{Name: "a100", ReadyReplicas: series.Of(1), StartingReplicas: series.Of(0), ConsumedRecords: series.Of(9), BusyRatio: series.Of(1), StartupSeconds: []float64{3}},
				{Name: "spot"},
			},
			Problems: []string{"a", "b"},
			Counted:  series.Counted{At: at.Add(-2 * time.Second), Topics: 0x123456789abcdef0, EndRecords: 1 << 40},
		},
		Anchor: []byte{1, 2, 3}, Seed: []byte{4, 5}, Configuration: []byte(`{"a":1}`),
	}
}

func fullDecision() Decision {
	t := full()
	d := Decision{Stamp: t.Stamp, Observation: t.Observation, DesiredReplicas: -4, Reason: "Forecast", Payload: []byte(`{"a":1}`)}
	d.Observation.PartitionLagRecords, d.Observation.PartitionArrivalRecords = nil, nil
	d.Observation.Counted = series.Counted{}
	return d
}

func fullCheckpoint() Checkpoint {
	t := full()
	return Checkpoint{Stamp: t.Stamp, ReplayFrom: 1 << 40, State: []byte("state"), Counted: t.Observation.Counted}
}

// ofFirstRelease leaves out what records have had since.
func ofFirstRelease(t Tick, c Checkpoint) (Tick, Checkpoint) {
	t.Seed, t.Configuration, t.Observation.Counted, c.Counted = nil, nil, series.Counted{}, series.Counted{}
	return t, c
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	tick, decision, checkpoint := full(), fullDecision(), fullCheckpoint()
	if got, err := DecodeTick([]byte(tick.Policy), tick.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, tick) {
		t.Errorf("tick: %v\ngot  %+v\nwant %+v", err, got, tick)
	}
	if got, err := DecodeDecision([]byte(tick.Policy), decision.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, decision) {
		t.Errorf("decision: %v\ngot  %+v\nwant %+v", err, got, decision)
	}
	if got, err := DecodeCheckpoint([]byte(tick.Policy), checkpoint.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, checkpoint) {
		t.Errorf("checkpoint: %v\ngot  %+v\nwant %+v", err, got, checkpoint)
	}
}

func TestAnyObservationComesBackAsItWas(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) series.Value {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return series.Missing
		case 1:
			return series.OfInt(rapid.Int64Range(0, 1<<54).Draw(t, "count"))
		case 2:
			return series.Of(math.Copysign(0, -1))
		}
		return series.Of(rapid.Float64().Draw(t, "number"))
	})
	rapid.Check(t, func(t *rapid.T) {
		want := Tick{Stamp: Stamp{
			Policy: "a/b", Seq: rapid.Uint64Min(1).Draw(t, "seq"), At: time.Unix(0, rapid.Int64().Draw(t, "at")).UTC(),
			Term: rapid.Uint64().Draw(t, "term"), Origin: rapid.Uint64().Draw(t, "origin"),
		}}
		o := &want.Observation
		o.Policy, o.At = "a/b", want.At
		o.Interval = time.Duration(rapid.Int64().Draw(t, "interval"))
		for _, v := range valueFields(o) {
			*v = value.Draw(t, "value")
		}
		o.UnschedulableReplicas, o.ReplicaCPUCores = value.Draw(t, "unschedulable"), value.Draw(t, "cores")
		if rapid.Bool().Draw(t, "partitions") {
			o.PartitionLagRecords = rapid.SliceOf(value).Draw(t, "lag")
			o.PartitionArrivalRecords = rapid.SliceOf(value).Draw(t, "arrival")
		}
		if topics := rapid.Uint64().Draw(t, "topics"); topics != 0 {
			o.Counted = series.Counted{At: want.At, Topics: topics, EndRecords: rapid.Int64().Draw(t, "end")}
		}
		got, err := DecodeTick([]byte("a/b"), want.AppendTo(nil))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	})
}

// schema compiles record.proto.
func schema(t *testing.T, message string) protoreflect.MessageDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := c.Compile(t.Context(), "record.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Messages().ByName(protoreflect.Name(message))
}

// TestTheCodecFollowsTheSchema reads what the codec writes by record.proto: no field may be unknown to it, and what the
// protobuf library writes again must read the same.
func TestTheCodecFollowsTheSchema(t *testing.T) {
	tick, decision, checkpoint := full(), fullDecision(), fullCheckpoint()
	// The golden records are older than these.
	tick.Observation.UnschedulableReplicas, tick.Observation.ReplicaCPUCores = series.Of(1), series.Of(0.5)
	for _, tt := range []struct {
		message string
		data    []byte
		again   func([]byte) (any, error)
		want    any
	}{
		{"Tick", tick.AppendTo(nil), func(b []byte) (any, error) { return DecodeTick([]byte(tick.Policy), b) }, tick},
		{"Decision", decision.AppendTo(nil), func(b []byte) (any, error) { return DecodeDecision([]byte(tick.Policy), b) }, decision},
		{"Checkpoint", checkpoint.AppendTo(nil), func(b []byte) (any, error) { return DecodeCheckpoint([]byte(tick.Policy), b) }, checkpoint},
	} {
		descriptor := schema(t, tt.message)
		m := dynamicpb.NewMessage(descriptor)
		if err := proto.Unmarshal(tt.data, m); err != nil {
			t.Fatalf("%s: %v", tt.message, err)
		}
		allKnown(t, m)
		for i := range descriptor.Fields().Len() {
			if f := descriptor.Fields().Get(i); !m.Has(f) {
				t.Errorf("%s: field %s is not written", tt.message, f.Name())
			}
		}
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tt.again(data)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s through the protobuf library: %v\ngot  %+v\nwant %+v", tt.message, err, got, tt.want)
		}
	}
}

func allKnown(t *testing.T, m protoreflect.Message) {
	t.Helper()
	if len(m.GetUnknown()) > 0 {
		t.Errorf("%s: fields that the schema does not have: %x", m.Descriptor().Name(), m.GetUnknown())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				allKnown(t, v.List().Get(i).Message())
			}
		case f.Message() != nil:
			allKnown(t, v.Message())
		}
		return true
	})
}

// TestRecordsOfVersion1AreReadForEver reads the bytes that the first release wrote, and those of the present one.
func TestRecordsOfVersion1AreReadForEver(t *testing.T) {
	tick, decision, checkpoint := full(), fullDecision(), fullCheckpoint()
	if *update { // The first release's are as they are.
		for name, data := range map[string][]byte{"tick.v1.1": tick.AppendTo(nil), "checkpoint.v1.1": checkpoint.AppendTo(nil)} {
			if err := os.WriteFile(goldenFile(name), []byte(hex.EncodeToString(data)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	firstTick, firstCheckpoint := ofFirstRelease(tick, checkpoint)
	key := []byte(tick.Policy)
	readTick := func(b []byte) (any, error) { return DecodeTick(key, b) }
	readCheckpoint := func(b []byte) (any, error) { return DecodeCheckpoint(key, b) }
	for _, tt := range []struct {
		name string
		read func([]byte) (any, error)
		want any
	}{
		{"tick.v1", readTick, firstTick},
		{"tick.v1.1", readTick, tick},
		{"decision.v1", func(b []byte) (any, error) { return DecodeDecision(key, b) }, decision},
		{"checkpoint.v1", readCheckpoint, firstCheckpoint},
		{"checkpoint.v1.1", readCheckpoint, checkpoint},
	} {
		text, err := os.ReadFile(goldenFile(tt.name))
		if err != nil {
			t.Fatal(err)
		}
		golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tt.read(golden); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", tt.name, err, got, tt.want)
		}
	}
}

func goldenFile(name string) string { return filepath.Join("testdata", name+".hex") }

// TestRecordsOfALaterReleaseAreReadOrRefused adds what a later release might: a field that may be ignored, and a version
// that may not.
func TestRecordsOfALaterReleaseAreReadOrRefused(t *testing.T) {
	tick := full()
	data := tick.AppendTo(nil)
	extended := protowire.AppendString(protowire.AppendTag(bytes.Clone(data), 99, protowire.BytesType), "later")
	extended = protowire.AppendFixed32(protowire.AppendTag(extended, 100, protowire.Fixed32Type), 5)
	if got, err := DecodeTick([]byte(tick.Policy), extended); err != nil || !reflect.DeepEqual(got, tick) {
		t.Errorf("with new fields: %v, got %+v", err, got)
	}
	stamp := appendVarint(nil, 1, Version+1)
	stamp = appendVarint(stamp, 2, 1)
	var newer *NewerError
	if _, err := DecodeTick([]byte("a/b"), appendBytes(nil, 1, stamp)); !errors.As(err, &newer) || newer.Version != Version+1 {
		t.Errorf("a later version: got %v", err)
	}
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	tick := full()
	data := tick.AppendTo(nil)
	for name, bad := range map[string][]byte{
		"empty": nil, "cut short": data[:len(data)-1], "no stamp": appendBytes(nil, 3, "x"), "no sequence number": appendMessage(nil, 1, func(b []byte) []byte { return appendVarint(b, 1, 1) }),
		"a number for a message": appendVarint(nil, 1, 7),
	} {
		if _, err := DecodeTick([]byte("a/b"), bad); err == nil || !strings.Contains(err.Error(), `"a/b"`) {
			t.Errorf("%s: got %v, want an error that names the policy", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	tick, decision, checkpoint := full(), fullDecision(), fullCheckpoint()
	f.Add(tick.AppendTo(nil))
	f.Add(decision.AppendTo(nil))
	f.Add(checkpoint.AppendTo(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := DecodeTick([]byte("a/b"), data); err == nil {
			again, err := DecodeTick([]byte("a/b"), got.AppendTo(nil))
			if err != nil || !bytes.Equal(got.AppendTo(nil), again.AppendTo(nil)) {
				t.Errorf("does not come back: %v", err)
			}
		}
		_, _ = DecodeDecision([]byte("a/b"), data)
		_, _ = DecodeCheckpoint([]byte("a/b"), data)
	})
}

// TestShardsAreKafkasOwnPartitions compares with values of Kafka's own tests (UtilsTest.testMurmur2).
func TestShardsAreKafkasOwnPartitions(t *testing.T) {
	for text, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	} {
		if got := int32(murmur2([]byte(text))); got != want {
			t.Errorf("murmur2(%q): got %d, want %d", text, got, want)
		}
	}
}
