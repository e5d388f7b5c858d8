//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/hack/await"
	"github.com/prescale/prescale/hack/kafka"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// process is one running inference service.
type process struct {
	cmd    *exec.Cmd
	listen string
	log    *bytes.Buffer
}

// startProcess runs a replica that answers on a free port.
func startProcess(t *testing.T, brokers, instance string, more ...string) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	p := &process{listen: listen, log: &bytes.Buffer{}}
	p.cmd = service(t, append([]string{"--brokers", brokers, "--listen", listen, "--instance", instance, "--partitions", "6", "--batch-records", "64"}, more...)...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(); dump(t, instance, p.log) })
	return p
}

func dump(t *testing.T, name string, log *bytes.Buffer) {
	if t.Failed() {
		b := log.Bytes()
		t.Logf("%s:\n%s", name, b[max(0, len(b)-4000):])
	}
}

func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill() // SIGKILL
		_ = p.cmd.Wait()
	}
}

func (p *process) ready() bool {
	response, err := http.Get("http://" + p.listen + "/v2/health/ready")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// TestMain lets the test binary be the service itself, so that nothing need be built twice.
func TestMain(m *testing.M) {
	if os.Getenv("INFERENCE_TEST_RUN_SERVICE") != "" {
		main()
	}
	os.Exit(m.Run())
}

// service is a command that runs the service in a process of its own.
func service(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "INFERENCE_TEST_RUN_SERVICE=1")
	return cmd
}

func publish(t *testing.T, c *kgo.Client, version int64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(version), 1))
	w := model.NewWeights(model.Architecture{Inputs: 3, Hidden: []int{16, 16}, Classes: 2}, rng)
	last := w.Layers[len(w.Layers)-1]
	for i := range last.W {
		last.W[i] = float32(rng.NormFloat64())
	}
	err := c.ProduceSync(t.Context(),
		registry.VersionRecord(registry.Topic, registry.DefaultName, version, registry.File(w, registry.Lineage{Parent: version - 1})),
		registry.ChampionRecord(registry.Topic, registry.DefaultName, registry.Champion{Version: version, Previous: version - 1, At: time.Now()}),
	).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
}

// TestKilledReplicasOnARealBroker: requests flow while replicas are killed with SIGKILL and started again, new versions become
// champion, and HTTP clients ask a replica that lives on. Every request must have exactly one prediction or dead letter, no
// call may fail, and no lag may be left.
func TestKilledReplicasOnARealBroker(t *testing.T) {
	cluster := kafka.ForTest(t, kafka.Options{})
	brokers := cluster.Bootstrap()[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	survivor := startProcess(t, brokers, "survivor")
	await.Until(t, 90*time.Second, "topics", func() bool {
		topics, err := kadm.NewClient(client).ListTopics(t.Context(), event.TopicRequests, event.TopicPredictions, event.TopicDeadLetters, registry.Topic)
		return err == nil && topics.Error() == nil
	})
	publish(t, client, 1)
	await.Until(t, 90*time.Second, "the survivor", survivor.ready)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var background sync.WaitGroup
	var sent, calls, failed atomic.Int64
	background.Go(func() { // requests, every tenth of which cannot be answered
		for ctx.Err() == nil {
			for range 20 {
				n := sent.Load()
				client.Produce(context.Background(), request(n), func(_ *kgo.Record, err error) {
					if err != nil {
						t.Errorf("produce request: %v", err)
					}
				})
				sent.Add(1)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	versions := map[string]bool{}
	background.Go(func() { // HTTP calls over every swap
		body := []byte(`{"inputs":[{"name":"features","shape":[2,3],"datatype":"FP32","data":[1,2,3,4,5,6]}]}`)
		for ctx.Err() == nil {
			version, err := infer(survivor.listen, body)
			if calls.Add(1); err != nil {
				failed.Add(1)
				t.Errorf("infer: %v", err)
				return
			}
			versions[version] = true
			time.Sleep(2 * time.Millisecond)
		}
	})
	victim := startProcess(t, brokers, "victim", "--transaction-timeout", "12s")
	const kills = 6
	for round := range kills {
		await.Until(t, 90*time.Second, "the victim", victim.ready)
		time.Sleep(time.Duration(200+150*round) * time.Millisecond) // at another point of its work each time
		victim.kill()
		publish(t, client, int64(round+2))
		// With its name the new process ends the old one's transaction; with another the transaction times out.
		victim = startProcess(t, brokers, []string{"victim", fmt.Sprintf("victim-%d", round)}[round%2], "--transaction-timeout", "12s")
	}
	await.Until(t, 90*time.Second, "the last version", func() bool {
		version, err := infer(survivor.listen, []byte(`{"inputs":[{"name":"features","shape":[1,3],"datatype":"FP32","data":[[1,2,3]]}]}`))
		return err == nil && version == fmt.Sprint(kills+1)
	})
	cancel()
	background.Wait()
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if failed.Load() != 0 || calls.Load() < 100 || len(versions) < 3 {
		t.Errorf("%d of %d calls failed, versions seen %v", failed.Load(), calls.Load(), versions)
	}
	kafka.AwaitNoLag(t, client, "inference", 1)
	kafka.AwaitNoTransaction(t, client, event.TopicPredictions, event.TopicDeadLetters)
	checkOnce(t, brokers, sent.Load())
	t.Logf("%d requests, %d kills, %d HTTP calls over %d versions", sent.Load(), kills, calls.Load(), len(versions))
}

func request(n int64) *kgo.Record {
	id := fmt.Sprintf("r-%d", n)
	value := event.Request{ID: id, RequestedAt: time.Now(), Features: []float32{float32(n % 7), 1, 2}}.Append(nil)
	if n%10 == 9 {
		value = value[:len(value)/2]
	}
	return &kgo.Record{Topic: event.TopicRequests, Key: []byte(id), Value: value}
}

// infer asks over HTTP and returns the version that answered.
func infer(listen string, body []byte) (string, error) {
	response, err := http.Post("http://"+listen+"/v2/models/default/infer", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return "", errors.Join(fmt.Errorf("status %d: %s", response.StatusCode, b), err)
	}
	var answer struct {
		Version string `json:"model_version"`
	}
	return answer.Version, json.Unmarshal(b, &answer)
}

// checkOnce reads both answer topics to their end and counts.
func checkOnce(t *testing.T, brokers string, n int64) {
	t.Helper()
	predictions, dead := map[string]int{}, map[string]int{}
	for _, r := range kafka.ReadCommitted(t, []string{event.TopicPredictions, event.TopicDeadLetters}, kgo.SeedBrokers(brokers)) {
		if r.Topic == event.TopicDeadLetters {
			dead[string(r.Key)]++
		} else {
			predictions[string(r.Key)]++
		}
	}
	wrong := 0
	for i := range n {
		id := fmt.Sprintf("r-%d", i)
		wantDead := 0
		if i%10 == 9 {
			wantDead = 1
		}
		if predictions[id] != 1-wantDead || dead[id] != wantDead {
			if wrong++; wrong <= 10 {
				t.Errorf("%s: %d predictions and %d dead letters", id, predictions[id], dead[id])
			}
		}
	}
	if wrong > 0 || int64(len(predictions)+len(dead)) != n {
		t.Errorf("%d of %d requests wrong, %d answered", wrong, n, len(predictions)+len(dead))
	}
}

// TestAModelFileCutShortIsRefused runs the binary with one: exit code 2 and a message with name and offset.
func TestAModelFileCutShortIsRefused(t *testing.T) {
	file := registry.File(model.NewWeights(model.Architecture{Inputs: 3, Classes: 2}, rand.New(rand.NewPCG(1, 1))), registry.Lineage{})
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := os.WriteFile(path, file[:len(file)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := service(t, "--model-file", path).CombinedOutput()
	var exit *exec.ExitError
	ok := errors.As(err, &exit)
	if want := fmt.Sprintf("%s: offset %d: cut short", path, len(file)-5); !ok || exit.ExitCode() != 2 || !bytes.Contains(out, []byte(want)) {
		t.Errorf("got %v: %s; want exit code 2 and %q", err, out, want)
	}
}
