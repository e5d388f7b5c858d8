package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

func entry(t *testing.T, version int64) *registry.Entry {
	t.Helper()
	m, err := model.Load("m", registry.File(weights(uint64(version)), registry.Lineage{}))
	if err != nil {
		t.Fatal(err)
	}
	return &registry.Entry{Name: "default", Version: version, Model: m}
}

// swapping is a source whose champion changes.
type swapping struct {
	champion atomic.Pointer[registry.Entry]
}

func (s *swapping) Champion() *registry.Entry { return s.champion.Load() }
func (s *swapping) Version(v int64) (*registry.Entry, error) {
	if e := s.champion.Load(); e != nil && e.Version == v {
		return e, nil
	}
	return nil, fmt.Errorf("there is no version %d", v)
}

func (s *swapping) Versions() []int64 { return []int64{1, s.champion.Load().Version} }
func (s *swapping) Unserved() error {
	return errors.New("no champion: version 9 is not in the registry")
}

func serving(t *testing.T, e *registry.Entry) (*Server, *swapping) {
	t.Helper()
	c := DefaultConfig()
	c.Batch.Instance = "a"
	s, err := New(c, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	source := &swapping{}
	if e != nil {
		source.champion.Store(e)
	}
	s.source = source
	return s, source
}

func call(s *Server, method, path, body string) (int, string) {
	r := httptest.NewRecorder()
	s.Handler().ServeHTTP(r, httptest.NewRequest(method, path, strings.NewReader(body)))
	return r.Code, strings.TrimSpace(r.Body.String())
}

func TestProtocol(t *testing.T) {
	s, _ := serving(t, entry(t, 3))
	const row = `{"id":"q","inputs":[{"name":"features","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string // in the answer
	}{
		{"GET", "/v2", "", 200, `"name":"prescale-inference"`},
		{"GET", "/v2/health/live", "", 200, `{"live":true}`},
		{"GET", "/v2/health/ready", "", 503, "has not started"},
		{"GET", "/v2/models/default", "", 200, `"versions":["1","3"]`},
		{"GET", "/v2/models/default/versions/3/ready", "", 200, `"ready":true`},
		{"GET", "/v2/models/default/versions/4/ready", "", 404, "no version 4"},
		{"GET", "/v2/models/default/versions/x", "", 400, `"x\" is not a number`},
		{"GET", "/v2/models/other", "", 404, `no model`},
		{"GET", "/v2/models/default/infer", "", 405, `{"error":"/v2/models/default/infer does not take GET, only POST"}`},
		{"GET", "/v2/repository/index", "", 404, `{"error":"there is no /v2/repository/index;`},
		{"HEAD", "/v2/health/live", "", 200, ""},
		{"POST", "/v2/models/default/infer", strings.Repeat(" ", maxBodyBytes+1), 413, "send fewer rows a call"},
		{"POST", "/v2/models/default/infer", row, 200, `"model_version":"3","id":"q","outputs":[{"name":"scores","shape":[1,2],"datatype":"FP32"`},
		{"POST", "/v2/models/default/versions/3/infer", strings.Replace(row, "[1,2,3]", "[[1, 2, 3]]", 1), 200, `"scores"`},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3],\"datatype\":\"FP32\",\"data\":[1,2,3]", "[2,3],\"datatype\":\"FP32\",\"data\":[[1,2,3],[4,5,6]]", 1), 200, `"shape":[2,2]`},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3],\"datatype\":\"FP32\",\"data\":[1,2,3]", "[2,3],\"datatype\":\"FP32\",\"data\":[[1,2],[3,4],[5,6]]", 1), 400, "row 0: 2 numbers, the shape takes 3"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3],\"datatype\":\"FP32\",\"data\":[1,2,3]", "[2,3],\"datatype\":\"FP32\",\"data\":[1,2,3,4,5,6]", 1), 200, `"shape":[2,2]`},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "}]}", `}],"outputs":[{"name":"scores"}],"parameters":{"x":1}}`, 1), 200, `"scores"`},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3]", "[3]", 1), 400, "the model takes"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3]", "[1,3,1]", 1), 400, "the model takes"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3]", "[65537,3]", 1), 400, "shape [65537 3]; the model takes [1 to 65536, 3]"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,2,3]", "[[1,2,3],4]", 1), 400, "element 3: stands in 1 list"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,2,3]", "[[[1,2,3]]]", 1), 400, "element 0: stands in 3 lists"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,2,3]", "1", 1), 400, "element 0: stands in 0 lists"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, `"q"`, "7", 1), 400, "body: id: got JSON's number: want a string"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3]", "[1.5,3]", 1), 400, "body: inputs.shape: got JSON's number 1.5: want a whole number"},
		{"POST", "/v2/models/default/infer", "{", 400, "body:"},
		{"POST", "/v2/models/default/infer", "{}", 400, "0 tensors; give one"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "features", "x", 1), 400, `no \"x\"`},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "FP32", "INT8", 1), 400, "only FP32"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3]", "[2,3]", 1), 400, "3 numbers, shape [2 3] takes 6"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3]", "[1,4]", 1), 400, "the model takes"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,3]", "[-1,3]", 1), 400, "the model takes"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,2,3]", "[1,null,3]", 1), 400, `element 1`},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,2,3]", "[1,1e99,3]", 1), 400, `element 1`},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "[1,2,3]", "[3e38,-3e38,3e38]", 1), 400, "too large for model default version 3"},
		{"POST", "/v2/models/default/infer", strings.Replace(row, "}]}", `}],"outputs":[{"name":"y"}]}`, 1), 400, `no \"y\"`},
	} {
		status, body := call(s, tt.method, tt.path, tt.body)
		if status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s %.60s: got %d %s, want %d %s", tt.method, tt.path, tt.body, status, body, tt.status, tt.want)
		}
	}
}

// TestABodyThatDoesNotComeIsNotWaitedFor, and one that is packed is not taken for one that is broken.
func TestABodyThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	s, _ := serving(t, entry(t, 3))
	for _, tt := range []struct {
		header, value, body string
		status              int
		want                string
	}{
		{"Content-Encoding", "gzip", "\x1f\x8b", http.StatusUnsupportedMediaType, "send the body as it is"},
		{"Inference-Header-Content-Length", "2", "{}\x00\x00\x80\x3f", http.StatusBadRequest, "binary tensors are not read: send them as numbers in the JSON"},
		{"Content-Encoding", "identity", "{}", http.StatusBadRequest, "0 tensors"},
	} {
		r := httptest.NewRequest("POST", "/v2/models/default/infer", strings.NewReader(tt.body))
		r.Header.Set(tt.header, tt.value)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %s: %d %s", tt.header, tt.value, w.Code, w.Body)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		client, stop := piped(s)
		defer stop()
		go fmt.Fprint(client, "POST /v2/models/default/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		began := time.Now()
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil || answer.StatusCode != http.StatusRequestTimeout || time.Since(began) != bodyTimeout {
			t.Errorf("after %v: %v, %v", time.Since(began), answer, err)
		}
	})
}

// TestAnAnswerThatIsNotTakenHoldsNoRoom: a client that sends its call and does not read is left, and one that comes again on its connection
// after a while is answered.
func TestAnAnswerThatIsNotTakenHoldsNoRoom(t *testing.T) {
	s, _ := serving(t, entry(t, 3))
	synctest.Test(t, func(t *testing.T) {
		client, stop := piped(s)
		defer stop()
		const rows = 1000
		body := fmt.Sprintf(`{"inputs":[{"name":"features","shape":[%d,3],"datatype":"FP32","data":[%s1]}]}`, rows, strings.Repeat("1,", 3*rows-1))
		reader := bufio.NewReader(client)
		for range 2 {
			go fmt.Fprintf(client, "POST /v2/models/default/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			answer, err := http.ReadResponse(reader, nil)
			if err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("got %v, %v", answer, err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			time.Sleep(2 * (bodyTimeout + answerTimeout))
			go fmt.Fprint(client, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
			if answer, err := http.ReadResponse(reader, nil); err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("a probe on the same connection: got %v, %v", answer, err)
			} else {
				_, _ = io.Copy(io.Discard, answer.Body)
			}
		}
		go fmt.Fprintf(client, "POST /v2/models/default/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		time.Sleep(bodyTimeout + answerTimeout - time.Second)
		if s.calls.TryAcquire(callsBytes) {
			t.Error("an answer that is being taken holds no room")
		}
		time.Sleep(2 * time.Second)
		if !s.calls.TryAcquire(callsBytes) {
			t.Errorf("an answer that nobody took in %v holds its room", bodyTimeout+answerTimeout)
		}
	})
}

// TestAModelFileIsServedWithoutARegistry, under its own name.
func TestAModelFileIsServedWithoutARegistry(t *testing.T) {
	c := DefaultConfig()
	c.Batch.Instance, c.Registry.Topic = "a", ""
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "registry: topic: missing") {
		t.Errorf("without a registry's topic and without a model: got %v", err)
	}
	c.Entry = entry(t, 7)
	c.Entry.Name = "mine"
	metrics := prometheus.NewRegistry()
	s, err := New(c, slog.New(slog.DiscardHandler), metrics)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := call(s, "GET", "/v2/models/mine", ""); status != http.StatusOK || !strings.Contains(body, `"versions":["7"]`) {
		t.Errorf("its own name: %d %s", status, body)
	}
	if status, body := call(s, "GET", "/v2/models/default", ""); status != http.StatusNotFound || !strings.Contains(body, `there is no model \"default\" here, only \"mine\"`) {
		t.Errorf("another: %d %s", status, body)
	}
	if status, _ := call(s, "POST", "/v2/models/mine/infer", `{"inputs":[{"name":"features","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`); status != http.StatusOK {
		t.Errorf("a call: %d", status)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	if got["prescale_inference_model_version"] != 7 || got["prescale_inference_request_duration_seconds"] != 1 {
		t.Errorf("metrics: %v", got)
	}
}

// piped serves s on a pipe, whose other end it returns, until stop.
func piped(s *Server) (client net.Conn, stop func()) {
	client, server := net.Pipe()
	web := &http.Server{Handler: s.Handler()}
	go func() { _ = web.Serve(&one{conn: server, closed: make(chan struct{})}) }()
	return client, func() {
		client.Close()
		web.Close()
	}
}

// one is a listener of one connection.
type one struct {
	conn   net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *one) Accept() (conn net.Conn, err error) {
	l.once.Do(func() { conn = l.conn })
	if conn == nil {
		<-l.closed
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *one) Close() error   { close(l.closed); return nil }
func (l *one) Addr() net.Addr { return l.conn.LocalAddr() }

func TestWithoutAChampionTheProtocolSaysNotReady(t *testing.T) {
	s, _ := serving(t, nil)
	for _, path := range []string{"/v2/health/ready", "/v2/models/default", "/v2/models/default/ready"} {
		if status, body := call(s, "GET", path, ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "version 9 is not in the registry") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestNoCallFailsOverSwaps calls from four goroutines while the champion changes, and checks each answer against the version
// that it names.
func TestNoCallFailsOverSwaps(t *testing.T) {
	entries := map[string]*registry.Entry{}
	for v := range int64(5) {
		entries[fmt.Sprint(v+1)] = entry(t, v+1)
	}
	s, source := serving(t, entries["1"])
	handler := s.Handler()
	body := []byte(`{"inputs":[{"name":"features","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`)
	var seen sync.Map
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 300 {
				r := httptest.NewRecorder()
				handler.ServeHTTP(r, httptest.NewRequest("POST", "/v2/models/default/infer", bytes.NewReader(body)))
				var answer struct {
					Version string `json:"model_version"`
					Outputs []struct{ Data []float32 }
				}
				if err := json.Unmarshal(r.Body.Bytes(), &answer); err != nil || r.Code != http.StatusOK {
					t.Errorf("%d %s", r.Code, r.Body)
					return
				}
				want := make([]float32, 2)
				if err := entries[answer.Version].Model.Predict([]float32{1, 2, 3}, 1, want); err != nil || answer.Outputs[0].Data[0] != want[0] {
					t.Errorf("version %s: got %v, want %v, %v", answer.Version, answer.Outputs[0].Data, want, err)
				}
				seen.Store(answer.Version, true)
			}
		})
	}
	for i := range 200 {
		source.champion.Store(entries[fmt.Sprint(i%5+1)])
		time.Sleep(100 * time.Microsecond)
	}
	group.Wait()
}

// TestCallsHaveRoomTogether: many small calls fit beside one of the largest, which waits for another of its kind and is told to come again.
func TestCallsHaveRoomTogether(t *testing.T) {
	s, _ := serving(t, entry(t, 3))
	a := s.Champion().Model.Architecture()
	if small := 200 * callBytes(1000, a); callBytes(maxBodyBytes, a)+small > callsBytes || 2*callBytes(-1, a) <= callsBytes {
		t.Errorf("the largest call takes %d bytes, two hundred small ones %d, of %d", callBytes(-1, a), small, callsBytes)
	}
	if most := callBytes(maxBodyBytes, model.Architecture{Inputs: 1, Classes: 1 << 14}); most > callsBytes {
		t.Errorf("the largest call there can be takes %d bytes of %d and would never be answered", most, callsBytes)
	}
	post := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v2/models/default/infer", strings.NewReader(`{`)))
		return w
	}
	synctest.Test(t, func(t *testing.T) {
		if !s.calls.TryAcquire(callsBytes) {
			t.Fatal("calls that ended hold room")
		}
		began := time.Now()
		w := post()
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || time.Since(began) != roomWithin {
			t.Errorf("without room: %d %v after %v: %s", w.Code, w.Header(), time.Since(began), w.Body)
		}
		time.AfterFunc(roomWithin/2, func() { s.calls.Release(callsBytes) })
		if w := post(); w.Code != http.StatusBadRequest {
			t.Errorf("with room after half the time: %d %s, want the body to be read", w.Code, w.Body)
		}
		if !s.calls.TryAcquire(callsBytes) {
			t.Error("a call that was refused holds room")
		}
	})
}

// TestAClaimTakesNoMemory: a small call that claims the largest shape is refused by its data, before there is room for all of it.
func TestAClaimTakesNoMemory(t *testing.T) {
	const inputs = 4096
	body := fmt.Appendf(nil, `{"inputs":[{"name":"features","shape":[%d,%d],"datatype":"FP32","data":[1,2,3]}]}`, maxInferRows, inputs)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, _, err := decodeInfer(body, model.Architecture{Inputs: inputs, Classes: 2})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "3 numbers") {
		t.Errorf("got %v, want it to say that there are 3 numbers", err)
	}
	many := fmt.Appendf(nil, `{"inputs":[{"name":"features","shape":[%d,1],"datatype":"FP32","data":[1]}]}`, maxInferRows)
	if _, _, _, err := decodeInfer(many, model.Architecture{Inputs: 1, Classes: 1 << 14}); err == nil || !strings.Contains(err.Error(), "send fewer rows") {
		t.Errorf("a call for a thousand million scores: %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("a call of %d bytes took %d bytes of memory", len(body), took)
	}
}
