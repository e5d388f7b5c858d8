package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/prescale/prescale/inference/model"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func weights(seed uint64) *model.Weights {
	return model.NewWeights(model.Architecture{Inputs: 2, Hidden: []int{3}, Classes: 2}, rand.New(rand.NewPCG(seed, 1)))
}

func file(version int64) []byte {
	return File(weights(uint64(version)), Lineage{Parent: version - 1, Description: fmt.Sprint("version ", version)})
}

// fakeKafka runs inside a synctest bubble.
func fakeKafka(t *testing.T) []kgo.Opt {
	t.Helper()
	_, opts := fakeCluster(t)
	return opts
}

func fakeCluster(t *testing.T) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	var network kfake.VirtualNetwork
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SeedTopics(2, Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster, []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(network.DialContext)}
}

func produce(t *testing.T, opts []kgo.Opt, records ...*kgo.Record) {
	t.Helper()
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// transact produces the records in a transaction.
func transact(t *testing.T, opts []kgo.Opt, records ...*kgo.Record) {
	t.Helper()
	c, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.TransactionalID("trainer"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// follow runs a follower until the test's end.
func follow(t *testing.T, opts []kgo.Opt) (f *Follower, swapped *[]int64, refused *[]error) {
	t.Helper()
	swapped, refused = &[]int64{}, &[]error{}
	f, err := NewFollower(DefaultConfig(), slog.New(slog.DiscardHandler), Events{
		Swapped: func(e *Entry) { *swapped = append(*swapped, e.Version) },
		Refused: func(err error) { *refused = append(*refused, err) },
	}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f, swapped, refused
}

func champion(version int64) *kgo.Record {
	return ChampionRecord(Topic, DefaultName, Champion{Version: version, At: time.UnixMilli(1)})
}

func version(v int64) *kgo.Record { return VersionRecord(Topic, DefaultName, v, file(v)) }

func TestFollowerServesTheChampion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := fakeKafka(t)
		// Each in a batch of its own, of which a fetch brings one, and the last in a transaction, whose end is a record too.
		for _, r := range []*kgo.Record{version(1), champion(1), version(2), champion(2)} {
			produce(t, opts, r)
		}
		transact(t, opts, version(3))
		f, swapped, refused := follow(t, append(opts, kgo.FetchMaxBytes(1), kgo.FetchMaxPartitionBytes(1)))
		settle := func() { time.Sleep(10 * time.Second); synctest.Wait() }
		settle()
		if e := f.Champion(); e == nil || e.Version != 2 || e.Lineage.Parent != 1 || e.Model.PlanError != nil {
			t.Fatalf("champion %+v", e)
		}
		if !reflect.DeepEqual(*swapped, []int64{2}) {
			t.Errorf("served %v on the way: a champion of the past among them", *swapped)
		}
		if got := f.Versions(); !reflect.DeepEqual(got, []int64{1, 2, 3}) {
			t.Errorf("versions %v", got)
		}
		produce(t, opts, champion(3))
		settle()
		produce(t, opts, champion(1)) // roll back
		settle()
		if !reflect.DeepEqual(*swapped, []int64{2, 3, 1}) {
			t.Errorf("served %v", *swapped)
		}
		produce(t, opts, champion(9)) // whose file comes later
		settle()
		if f.Champion().Version != 1 || len(*refused) != 1 {
			t.Errorf("champion %d, refused %v", f.Champion().Version, *refused)
		}
		produce(t, opts, version(9))
		settle()
		if f.Champion().Version != 9 {
			t.Errorf("champion %d, want 9", f.Champion().Version)
		}
		told := len(*swapped)
		produce(t, opts, version(10)) // which nobody has made champion
		settle()
		if len(*swapped) != told || len(*refused) != 1 {
			t.Errorf("another version: told of %v, refused %v", (*swapped)[told:], *refused)
		}
		produce(t, opts, RetireRecord(Topic, DefaultName, 2))
		settle()
		if _, err := f.Version(2); err == nil {
			t.Error("version 2 is still had where it was loaded, and nowhere else")
		}
		if got := f.Versions(); !reflect.DeepEqual(got, []int64{1, 3, 9, 10}) {
			t.Errorf("versions %v", got)
		}
	})
}

// TestWhyNothingServes: a replica that starts behind a champion that cannot be had says so, and not that none was named.
// TestTheChampionServesOnceTheLogIsRead, and not only once nothing more has come for a while.
func TestTheChampionServesOnceTheLogIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := fakeKafka(t)
		produce(t, opts, version(1), champion(1))
		f, _, _ := follow(t, opts)
		time.Sleep(time.Second)
		synctest.Wait()
		if f.Champion() == nil {
			t.Errorf("after a second: %v", f.Unserved())
		}
	})
}

// TestAClusterThatIsAwayIsWaitedFor from the start on, as is a topic that does not exist, and neither holds up the end.
func TestAClusterThatIsAwayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reach kfake.VirtualNetwork
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(reach.Listen))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		opts := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(reach.DialContext)}
		var back atomic.Bool
		through := append(slices.Clip(opts), kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			if !back.Load() {
				return nil, errors.New("away")
			}
			return reach.DialContext(ctx, network, address)
		}))
		f, _, refused := follow(t, through)
		time.Sleep(10 * time.Minute)
		back.Store(true)
		time.Sleep(10 * time.Minute)
		client, err := kgo.NewClient(opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if created, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, -1, nil, Topic); err != nil || created.Err != nil {
			t.Fatal(err, created.Err)
		}
		produce(t, opts, version(1), champion(1))
		time.Sleep(time.Minute)
		synctest.Wait()
		if f.Champion() == nil || len(*refused) > 0 {
			t.Errorf("a minute after: %v, refused %v", f.Unserved(), *refused)
		}
		for _, r := range []*kgo.Record{version(2), champion(2)} {
			produce(t, opts, r)
		}
		back.Store(false)
		_, swapped, _ := follow(t, append(slices.Clip(through), kgo.FetchMaxBytes(1), kgo.FetchMaxPartitionBytes(1)))
		time.Sleep(10 * time.Minute)
		back.Store(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !reflect.DeepEqual(*swapped, []int64{2}) {
			t.Errorf("served %v: a champion of the past among them, or none", *swapped)
		}
		back.Store(false)
		follow(t, through) // and the end
		time.Sleep(time.Minute)
	})
}

func TestWhyNothingServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := fakeKafka(t)
		produce(t, opts, version(1))
		f, _, _ := follow(t, opts)
		for _, want := range []string{"no champion in the registry yet", "there is no version 9 in the registry"} {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if err := f.Unserved(); f.Champion() != nil || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
			produce(t, opts, champion(9))
		}
	})
}

func TestADamagedRecordIsRefusedAndWhatServesStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := fakeKafka(t)
		produce(t, opts, version(1), champion(1))
		f, _, refused := follow(t, opts)
		time.Sleep(10 * time.Second)
		short := file(2)
		produce(t, opts, VersionRecord(Topic, DefaultName, 2, short[:len(short)-3]), champion(2),
			&kgo.Record{Topic: Topic, Key: []byte("default/x"), Value: []byte("?")},
			&kgo.Record{Topic: Topic, Key: []byte("Bad Name/1"), Value: []byte("?")},
			&kgo.Record{Topic: Topic, Key: []byte("default"), Value: []byte(`{"v":1,"champion":0}`)},
			&kgo.Record{Topic: Topic, Key: []byte("default")},
			&kgo.Record{Topic: Topic, Key: []byte("other/1"), Value: []byte("another model's")})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if f.Champion().Version != 1 {
			t.Errorf("champion %d", f.Champion().Version)
		}
		all := errors.Join(*refused...).Error()
		for _, want := range []string{
			fmt.Sprintf("default/2: offset %d: cut short", len(short)-3), "there is no version 2", `"x" is not a version number`,
			`"Bad Name": 'B' is not one of`, "champion: 0 is not a version", "champion record was deleted",
		} {
			if !strings.Contains(all, want) {
				t.Errorf("not told: %q in\n%s", want, all)
			}
		}
		if strings.Contains(all, "other") {
			t.Errorf("another model's record was refused: %s", all)
		}
	})
}

func TestReadGivesWhatTheRegistryHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := fakeKafka(t)
		e, last, err := Read(t.Context(), DefaultConfig(), slog.New(slog.DiscardHandler), opts...)
		if e != nil || last != 0 || err != nil {
			t.Errorf("empty registry: %v, %d, %v", e, last, err)
		}
		produce(t, opts, version(1), version(4), champion(1))
		e, last, err = Read(t.Context(), DefaultConfig(), slog.New(slog.DiscardHandler), opts...)
		if err != nil || e == nil || e.Version != 1 || last != 4 {
			t.Errorf("%+v, %d, %v", e, last, err)
		}
	})
}

// TestReadTellsOfAChampionThatCannotBeHad: with none, a trainer that begins would put an untrained model in its place.
func TestReadTellsOfAChampionThatCannotBeHad(t *testing.T) {
	for want, r := range map[string]*kgo.Record{
		"there is no version 9":           champion(9),
		"v: 2; this program reads":        {Topic: Topic, Key: []byte(DefaultName), Value: []byte(`{"v":2,"champion":1}`)},
		"":                                {Topic: Topic, Key: []byte("other"), Value: []byte(`{"v":2,"champion":1}`)},
		"champion record: invalid charac": {Topic: Topic, Key: []byte(DefaultName), Value: []byte("?")},
	} {
		synctest.Test(t, func(t *testing.T) {
			opts := fakeKafka(t)
			produce(t, opts, version(1), r)
			_, last, err := Read(t.Context(), DefaultConfig(), slog.New(slog.DiscardHandler), opts...)
			if want == "" && (err != nil || last != 1) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("last version %d, %v; want %q", last, err, want)
			}
		})
	}
}

// TestALeaderThatIsAwayIsWaitedFor: that it brings nothing for a while does not mean that there is nothing. Where nothing is left before
// the end, reading comes to one all the same.
func TestALeaderThatIsAwayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, opts := fakeCluster(t)
		produce(t, opts, version(1), champion(1))
		started := time.Now()
		cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			if time.Since(started) < catchUpIdle+2*time.Second {
				return nil, errors.New("away"), true
			}
			return nil, nil, false
		})
		read := func() (*Entry, int64) {
			e, last, err := Read(t.Context(), DefaultConfig(), slog.New(slog.DiscardHandler), opts...)
			if err != nil {
				t.Error(err)
			}
			return e, last
		}
		if e, last := read(); e == nil || last != 1 {
			t.Errorf("champion %+v, last version %d", e, last)
		}
		c, err := kgo.NewClient(opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ends, err := kadm.NewClient(c).ListEndOffsets(t.Context(), Topic)
		if err == nil {
			_, err = kadm.NewClient(c).DeleteRecords(t.Context(), ends.Offsets())
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, last := read(); e != nil || last != 0 {
			t.Errorf("of nothing: champion %+v, last version %d", e, last)
		}
	})
}

// TestAnEndThatIsNotToldIsNoEmptyLog: else a trainer would begin with the first version anew.
func TestAnEndThatIsNotToldIsNoEmptyLog(t *testing.T) {
	cluster, opts := fakeCluster(t)
	produce(t, opts, version(1), champion(1))
	cluster.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range request.(*kmsg.ListOffsetsRequest).Topics {
			told := kmsg.NewListOffsetsResponseTopic()
			told.Topic = topic.Topic
			for _, p := range topic.Partitions {
				one := kmsg.NewListOffsetsResponseTopicPartition()
				one.Partition, one.ErrorCode = p.Partition, kerr.UnknownServerError.Code
				told.Partitions = append(told.Partitions, one)
			}
			response.Topics = append(response.Topics, told)
		}
		return response, nil, true
	})
	_, last, err := Read(t.Context(), DefaultConfig(), slog.New(slog.DiscardHandler), opts...)
	if !errors.Is(err, kerr.UnknownServerError) {
		t.Errorf("last version %d, %v; want the leader's error", last, err)
	}
}

func TestOnlyAFewVersionsStayLoaded(t *testing.T) {
	s := newStore("default")
	for v := range int64(8) {
		if err := s.apply(versionKey("default", v+1), file(v+1)); err != nil {
			t.Fatal(err)
		}
	}
	for v := range int64(8) {
		e, err := s.version(v + 1)
		if err != nil || e.Version != v+1 {
			t.Fatalf("version %d: %+v, %v", v+1, e, err)
		}
	}
	first, _ := s.version(8)
	again, _ := s.version(8)
	if first != again || len(s.loaded) != keepLoaded {
		t.Errorf("%d loaded; the same entry again: %v", len(s.loaded), first == again)
	}
}

func TestNamesAndKeysThatCannotBeAreRefused(t *testing.T) {
	long := strings.Repeat("x", 128)
	for key, want := range map[string]string{
		"default": "", "a-b_c.9": "", long: "", "default/1": "", "default/9223372036854775807": "", "z/1": "", "0/1": "",
		"": "give 1 to 128 characters", long + "x": "give 1 to 128 characters", "Default": "'D' is not one of a-z", "a b": "' ' is not one of", "{": "is not one of", "a:": "is not one of",
		"default/": `"" is not a version number from 1 on`, "default/0": `"0" is not a version`, "default/-1": `"-1" is not a version`,
		"default/01": `"01" is not a version`, "default/x": `"x" is not a version`, "default/9223372036854775808": "is not a version", "default/1/2": `"1/2" is not a version`,
	} {
		_, _, err := parseKey([]byte(key))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", key, err, want)
		}
	}
	err := Config{}.Validate()
	for _, want := range []string{"registry: topic: missing", "registry: name: model name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an empty config: got %v, want %q", err, want)
		}
	}
	for text, want := range map[string]string{"{": "metadata prescale.lineage: unexpected end", `{"v":2}`: "v: 2; this program reads version 1"} {
		if _, err := ParseLineage(map[string]string{metaLineage: text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("lineage %s: got %v, want %q", text, err, want)
		}
	}
}

func TestVersionsAreInOrder(t *testing.T) {
	s := newStore(DefaultName)
	var want []int64
	for v := int64(20); v > 0; v-- {
		if err := s.apply(versionKey(DefaultName, v), file(v)); err != nil {
			t.Fatal(err)
		}
		want = append(want, 21-v)
	}
	if got := s.versions(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAStaticSourceHasItsOneVersion(t *testing.T) {
	e := &Entry{Name: DefaultName, Version: 7}
	s := Static{Entry: e}
	if got, err := s.Version(7); err != nil || got != e {
		t.Errorf("its own: got %v, %v", got, err)
	}
	if _, err := s.Version(8); err == nil || err.Error() != "model default: there is no version 8, only 7" {
		t.Errorf("another: got %v", err)
	}
}

func TestLineageReadsBackAsWritten(t *testing.T) {
	l := Lineage{Parent: 3, CreatedAt: time.UnixMilli(1767225600123).UTC(), Examples: 4000, Position: "inference.examples/0@17",
		LossNats: 0.25, Accuracy: 0.875, Evaluated: 300, Description: "why"}
	f := File(weights(1), l)
	if !bytes.Equal(f, File(weights(1), l)) {
		t.Error("equal arguments give different files")
	}
	m, err := model.Load("m", f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseLineage(m.Metadata); err != nil || got != l {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseLineage(map[string]string{metaLineage: `{"v":2}`}); err == nil {
		t.Error("another version: no error")
	}
	if got, err := ParseLineage(nil); err != nil || got != (Lineage{}) {
		t.Errorf("without: %+v, %v", got, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a loss that is no number was written")
		}
	}()
	File(weights(1), Lineage{LossNats: math.NaN()})
}

func FuzzApply(f *testing.F) {
	f.Add([]byte("default/1"), file(1))
	f.Add([]byte("default"), []byte(`{"v":1,"champion":1,"previous":0,"reason":"","atMillis":1}`))
	f.Fuzz(func(_ *testing.T, key, value []byte) {
		s := newStore("default")
		_ = s.apply(key, value)
	})
}

// TestAChampionThatServesSlowlyIsWarnedOf: and of one that does not nothing is said of an error.
func TestAChampionThatServesSlowlyIsWarnedOf(t *testing.T) {
	for _, slow := range []error{nil, errors.New("the plan differs by 0.5")} {
		var out bytes.Buffer
		logChampion(slog.New(slog.NewTextHandler(&out, nil)), &Entry{Name: DefaultName, Version: 2, Model: &model.Model{PlanError: slow}})
		got := out.String()
		if warned := strings.Contains(got, "level=WARN") && strings.Contains(got, "0.5"); warned != (slow != nil) || strings.Contains(got, "nil") || !strings.Contains(got, "version=2") {
			t.Errorf("with the error %v it says\n%s", slow, got)
		}
	}
}
