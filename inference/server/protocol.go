package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// The HTTP side follows the Open Inference Protocol, version 2, REST
// (https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md). One input tensor "features"
// of shape [rows, inputs] and one output tensor "scores" of shape [rows, classes], both FP32.

const (
	serverName    = "prescale-inference"
	inputName     = "features"
	outputName    = "scores"
	maxBodyBytes  = 16 << 20
	maxInferRows  = 1 << 16
	maxScores     = 1 << 22 // of one answer: 256 rows of as many classes as a model may have, 50 MB as JSON
	bodyTimeout   = 30 * time.Second
	answerTimeout = 30 * time.Second
	// callsBytes is how much memory calls may take together, and roomWithin how long one waits for its share. The largest takes 128 MiB
	// for its body and 64 for its scores, and the pod has 512 (manifests/base/workloads).
	callsBytes    = 192 << 20
	roomWithin    = time.Second
	datatypeFloat = "FP32"
)

type tensor struct {
	Name     string          `json:"name"`
	Shape    []int           `json:"shape"`
	Datatype string          `json:"datatype"`
	Data     json.RawMessage `json:"data,omitempty"`
}

type inferRequest struct {
	ID      string   `json:"id"`
	Inputs  []tensor `json:"inputs"`
	Outputs []struct {
		Name string `json:"name"`
	} `json:"outputs"`
}

type inferResponse struct {
	ModelName    string         `json:"model_name"`
	ModelVersion string         `json:"model_version"`
	ID           string         `json:"id,omitempty"`
	Outputs      []outputTensor `json:"outputs"`
}

type outputTensor struct {
	Name     string    `json:"name"`
	Shape    []int     `json:"shape"`
	Datatype string    `json:"datatype"`
	Data     []float32 `json:"data"`
}

// Handler serves the protocol. It may be mounted beside /metrics.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]any{"name": serverName, "version": "2", "extensions": []string{}})
	})
	mux.HandleFunc("GET /v2/health/live", func(w http.ResponseWriter, _ *http.Request) {
		health(w, "live", s.Live(time.Now())) //nolint:forbidigo // a probe asks about this moment
	})
	mux.HandleFunc("GET /v2/health/ready", func(w http.ResponseWriter, _ *http.Request) { health(w, "ready", s.Ready()) })
	for _, path := range []string{"/v2/models/{name}", "/v2/models/{name}/versions/{version}"} {
		mux.HandleFunc("GET "+path, s.entryHandler(s.describe))
		mux.HandleFunc("GET "+path+"/ready", s.entryHandler(func(w http.ResponseWriter, _ *http.Request, e *registry.Entry) {
			reply(w, http.StatusOK, map[string]any{"name": e.Name, "ready": true})
		}))
		mux.HandleFunc("POST "+path+"/infer", s.entryHandler(s.infer))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal, pattern := mux.Handler(r); pattern == "" { // the protocol has errors in JSON, also for what is not there
			refusal.ServeHTTP(&refused{ResponseWriter: w, request: r}, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// refused writes what the mux answers to a path or method that it does not know as the protocol has it.
type refused struct {
	http.ResponseWriter
	request *http.Request
}

func (w *refused) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	if allowed := w.Header().Get("Allow"); allowed != "" {
		fail(w.ResponseWriter, status, "%s does not take %s, only %s", w.request.URL.Path, w.request.Method, allowed)
		return
	}
	fail(w.ResponseWriter, status, "there is no %s; see /v2 and /v2/models/{name}", w.request.URL.Path)
}

func (*refused) Write(text []byte) (int, error) { return len(text), nil }

func health(w http.ResponseWriter, what string, problem error) {
	if problem != nil {
		reply(w, http.StatusServiceUnavailable, map[string]any{what: false, "error": problem.Error()})
		return
	}
	reply(w, http.StatusOK, map[string]any{what: true})
}

// entryHandler finds the version that the path names, the champion when it names none. The entry stays the same for the
// whole of the call, whatever is swapped meanwhile.
func (s *Server) entryHandler(next func(http.ResponseWriter, *http.Request, *registry.Entry)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := s.config.Registry.Name
		if s.config.Entry != nil {
			name = s.config.Entry.Name
		}
		if got := r.PathValue("name"); got != name {
			fail(w, http.StatusNotFound, "there is no model %q here, only %q", got, name)
			return
		}
		entry := s.source.Champion()
		if text := r.PathValue("version"); text != "" {
			version, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				fail(w, http.StatusBadRequest, "version %q is not a number", text)
				return
			}
			if entry, err = s.source.Version(version); err != nil {
				fail(w, http.StatusNotFound, "%v", err)
				return
			}
		}
		if entry == nil {
			fail(w, http.StatusServiceUnavailable, "%v", s.source.Unserved())
			return
		}
		next(w, r, entry)
	}
}

func (s *Server) describe(w http.ResponseWriter, _ *http.Request, e *registry.Entry) {
	a := e.Model.Architecture()
	versions := []string{} // that can be asked for by their number
	for _, v := range s.source.Versions() {
		versions = append(versions, strconv.FormatInt(v, 10))
	}
	reply(w, http.StatusOK, map[string]any{
		"name": e.Name, "versions": versions, "platform": "gorgonia",
		"inputs":  []tensor{{Name: inputName, Datatype: datatypeFloat, Shape: []int{-1, a.Inputs}}},
		"outputs": []tensor{{Name: outputName, Datatype: datatypeFloat, Shape: []int{-1, a.Classes}}},
	})
}

func (s *Server) infer(w http.ResponseWriter, r *http.Request, e *registry.Entry) {
	started := time.Now() //nolint:forbidigo // the duration of a call
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		fail(w, http.StatusUnsupportedMediaType, "Content-Encoding: %q: send the body as it is", encoding)
		return
	}
	if r.Header.Get("Inference-Header-Content-Length") != "" { // the extension's, which many clients use unless they are told not to
		fail(w, http.StatusBadRequest,
			"Inference-Header-Content-Length: binary tensors are not read: send them as numbers in the JSON (binary_data=False)")
		return
	}
	room := callBytes(r.ContentLength, e.Model.Architecture())
	waiting, cancel := context.WithTimeout(r.Context(), roomWithin)
	err := s.calls.Acquire(waiting, room)
	cancel()
	if err != nil {
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable,
			"the calls that are being answered take all the memory there is for them: try again, or send fewer rows a call")
		return
	}
	defer s.calls.Release(room)
	admitted := time.Now() //nolint:forbidigo // connections have deadlines in real time
	// A client that sends its body or takes its answer drop by drop must not hold the room and the connection for ever. The server sets
	// the next deadlines itself.
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetWriteDeadline(admitted.Add(bodyTimeout + answerTimeout))
	_ = deadlines.SetReadDeadline(admitted.Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	switch large := (*http.MaxBytesError)(nil); {
	case errors.As(err, &large):
		fail(w, http.StatusRequestEntityTooLarge, "body: more than %d bytes: send fewer rows a call", large.Limit)
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		fail(w, http.StatusRequestTimeout, "body: not there after %v", bodyTimeout)
		return
	case err != nil:
		fail(w, http.StatusBadRequest, "body: %v", err)
		return
	}
	a := e.Model.Architecture()
	request, x, rows, err := decodeInfer(body, a)
	if err != nil {
		fail(w, http.StatusBadRequest, "%v", err)
		return
	}
	scores := make([]float32, rows*a.Classes)
	if err := e.Model.Predict(x, rows, scores); err != nil {
		fail(w, http.StatusInternalServerError, "%v", err)
		return
	}
	if !model.Finite(scores) {
		fail(w, http.StatusBadRequest, "inputs: %s: data: too large for model %s version %d, whose scores are no numbers then",
			inputName, e.Name, e.Version)
		return
	}
	reply(w, http.StatusOK, inferResponse{
		ModelName: e.Name, ModelVersion: strconv.FormatInt(e.Version, 10), ID: request.ID,
		Outputs: []outputTensor{{Name: outputName, Shape: []int{rows, a.Classes}, Datatype: datatypeFloat, Data: scores}},
	})
	s.metrics.latency.WithLabelValues("http").Observe(time.Since(started).Seconds())
}

// callBytes returns how much memory a call takes at most: its body, of which the length is -1 where it is not told, its numbers apart and
// its scores, as numbers and as JSON.
func callBytes(length int64, a model.Architecture) int64 {
	if length < 0 || length > maxBodyBytes {
		length = maxBodyBytes
	}
	rows := min(length/2/int64(a.Inputs), maxInferRows)
	return min(8*length+16*min(rows*int64(a.Classes), maxScores), callsBytes)
}

// decodeInfer reads and checks an infer request for a model of the given architecture.
func decodeInfer(body []byte, a model.Architecture) (request inferRequest, x []float32, rows int, err error) {
	if err := event.Unmarshal(body, &request); err != nil {
		return request, nil, 0, fmt.Errorf("body: %w", err)
	}
	if len(request.Inputs) != 1 {
		return request, nil, 0, fmt.Errorf("inputs: %d tensors; give one, %q of shape [rows, %d]", len(request.Inputs), inputName, a.Inputs)
	}
	for _, o := range request.Outputs {
		if o.Name != outputName {
			return request, nil, 0, fmt.Errorf("outputs: there is no %q, only %q", o.Name, outputName)
		}
	}
	in := request.Inputs[0]
	switch {
	case in.Name != inputName:
		return request, nil, 0, fmt.Errorf("inputs: there is no %q, only %q", in.Name, inputName)
	case in.Datatype != datatypeFloat:
		return request, nil, 0, fmt.Errorf("inputs: %s: datatype %q, only %s is read", in.Name, in.Datatype, datatypeFloat)
	case len(in.Shape) != 2 || in.Shape[1] != a.Inputs || in.Shape[0] < 1 || in.Shape[0] > maxInferRows:
		return request, nil, 0, fmt.Errorf("inputs: %s: shape %v; the model takes [1 to %d, %d]", in.Name, in.Shape, maxInferRows, a.Inputs)
	}
	if rows = in.Shape[0]; rows*a.Classes > maxScores {
		return request, nil, 0, fmt.Errorf("inputs: %s: shape %v: %d scores, more than %d: send fewer rows a call", in.Name, in.Shape,
			rows*a.Classes, maxScores)
	}
	// A number takes two bytes at least: what is only claimed gets no room.
	x, err = flatten(in.Data, a.Inputs, make([]float32, 0, min(rows*a.Inputs, len(in.Data)/2)))
	if err != nil {
		return request, nil, 0, fmt.Errorf("inputs: %s: data: %w", in.Name, err)
	}
	if len(x) != rows*a.Inputs {
		return request, nil, 0, fmt.Errorf("inputs: %s: data: %d numbers, shape %v takes %d", in.Name, len(x), in.Shape, rows*a.Inputs)
	}
	return request, x, rows, nil
}

// flatten appends the numbers of a tensor's data to x in row-major order. The protocol has them as one list or as a list of rows, which
// must be as long as the shape says: numbers that were sent as columns would be taken for rows. A null is an error: encoding/json alone
// would read it as 0. The data is valid JSON.
func flatten(data json.RawMessage, columns int, x []float32) ([]float32, error) {
	depth, numbersAt := 0, 0 // lists that are open, and how many were open around the first number
	row := 0                 // where in x the open row begins
	for at := 0; at < len(data); {
		switch c := data[at]; c {
		case '[':
			depth++
			row = len(x)
			at++
			continue
		case ']':
			if depth == 2 && len(x)-row != columns {
				return nil, fmt.Errorf("row %d: %d numbers, the shape takes %d", row/columns, len(x)-row, columns)
			}
			depth--
			at++
			continue
		case ',', ' ', '\t', '\n', '\r':
			at++
			continue
		}
		end := at
		for end < len(data) && data[end] != ',' && data[end] != ']' && data[end] > ' ' {
			end++
		}
		f, err := strconv.ParseFloat(string(data[at:end]), 32)
		if err != nil {
			return nil, fmt.Errorf("element %d: %.32q is not a finite 32-bit number", len(x), data[at:end])
		}
		if len(x) == 0 {
			numbersAt = depth
		}
		if depth != numbersAt || depth < 1 || depth > 2 {
			return nil, fmt.Errorf("element %d: stands in %d lists: want one list of numbers, or a list of rows", len(x), depth)
		}
		x = append(x, float32(f))
		at = end
	}
	return x, nil
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone, or the body marshals
}

func fail(w http.ResponseWriter, status int, format string, args ...any) {
	reply(w, status, map[string]string{"error": fmt.Sprintf(format, args...)})
}
