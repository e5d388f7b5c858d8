package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// version is the schema version that Encode writes and the only one that Decode accepts. Raise it when a field changes its
// meaning or is removed; adding a field does not need it.
const version = 1

// maxIDBytes bounds a request's id, which is repeated in every topic and in the state of the feedback join.
const maxIDBytes = 256

// Default topic names.
const (
	TopicRequests    = "inference.requests"
	TopicPredictions = "inference.predictions"
	TopicOutcomes    = "inference.outcomes"
	TopicDeadLetters = "inference.dead-letters"
)

// Headers of a predictions record.
const (
	// HeaderRequestedAt is the instant of the request, Unix milliseconds in decimal ASCII. The record's own timestamp less
	// this is the end-to-end latency, readable without decoding the value.
	HeaderRequestedAt = "requested-at-ms"
	// HeaderModelVersion is the version that predicted, in decimal ASCII.
	HeaderModelVersion = "model-version"
)

// Headers of a dead letter, whose key and value are those of the record that could not be decoded, cut where they are large.
const (
	HeaderError     = "error"            // what is wrong with the record
	HeaderTopic     = "source-topic"     // where it came from
	HeaderPartition = "source-partition" // decimal ASCII
	HeaderOffset    = "source-offset"    // decimal ASCII
)

// Request asks for one prediction.
type Request struct {
	ID          string
	RequestedAt time.Time // when the client asked; millisecond resolution on the wire
	Features    []float32 // in the order that the model was trained with
}

// Prediction answers one Request.
type Prediction struct {
	ID           string
	RequestedAt  time.Time
	PredictedAt  time.Time
	Model        string    // registry name
	ModelVersion int64     // version that made Scores
	Features     []float32 // those of the Request
	Scores       []float32 // probability of each class
	Class        int       // index of the greatest score, the lowest on a tie
}

// Outcome tells the true class of a request, minutes to days later.
type Outcome struct {
	ID         string
	ObservedAt time.Time
	Class      int
}

// FieldError says which field of an event is wrong and how.
type FieldError struct {
	Event, Field, Reason string
}

func (e *FieldError) Error() string { return e.Event + ": " + e.Field + ": " + e.Reason }

// wire is the union of the three JSON objects. Pointers tell a missing field from a zero.
type wire struct {
	V           *int    `json:"v"`
	ID          *string `json:"id"`
	RequestedAt *int64  `json:"requestedAtMillis"`
	PredictedAt *int64  `json:"predictedAtMillis"`
	ObservedAt  *int64  `json:"observedAtMillis"`
	Model       *string `json:"model"`
	Version     *int64  `json:"version"`
	Class       *int    `json:"class"`

	Features json.RawMessage `json:"features"`
	Scores   json.RawMessage `json:"scores"`
}

// DecodeRequest reads one Request. The result shares no memory with b.
func DecodeRequest(b []byte) (Request, error) {
	d := decode("request", b)
	r := Request{
		ID:          d.id(),
		RequestedAt: d.instant("requestedAtMillis", d.wire.RequestedAt),
		Features:    d.vector("features", d.wire.Features),
	}
	return r, d.err()
}

// DecodePrediction reads one Prediction. The result shares no memory with b.
func DecodePrediction(b []byte) (Prediction, error) {
	d := decode("prediction", b)
	p := Prediction{
		ID:          d.id(),
		RequestedAt: d.instant("requestedAtMillis", d.wire.RequestedAt),
		PredictedAt: d.instant("predictedAtMillis", d.wire.PredictedAt),
		Features:    d.vector("features", d.wire.Features),
		Scores:      d.vector("scores", d.wire.Scores),
		Class:       d.class(),
	}
	if d.wire.Model == nil || *d.wire.Model == "" {
		d.bad("model", "missing")
	} else {
		p.Model = *d.wire.Model
	}
	if d.wire.Version == nil || *d.wire.Version < 1 {
		d.bad("version", "missing or below 1")
	} else {
		p.ModelVersion = *d.wire.Version
	}
	if p.Class >= len(p.Scores) && len(p.Scores) > 0 {
		d.bad("class", fmt.Sprintf("%d, but there are %d scores", p.Class, len(p.Scores)))
	}
	return p, d.err()
}

// DecodeOutcome reads one Outcome. The result shares no memory with b.
func DecodeOutcome(b []byte) (Outcome, error) {
	d := decode("outcome", b)
	o := Outcome{
		ID:         d.id(),
		ObservedAt: d.instant("observedAtMillis", d.wire.ObservedAt),
		Class:      d.class(),
	}
	return o, d.err()
}

// Append appends the JSON form of r to b and returns the longer slice.
func (r Request) Append(b []byte) []byte {
	b = appendHead(b, r.ID)
	b = appendInt(b, "requestedAtMillis", r.RequestedAt.UnixMilli())
	b = appendVector(b, "features", r.Features)
	return append(b, '}')
}

// Append appends the JSON form of p to b and returns the longer slice.
func (p Prediction) Append(b []byte) []byte {
	b = appendHead(b, p.ID)
	b = appendInt(b, "requestedAtMillis", p.RequestedAt.UnixMilli())
	b = appendInt(b, "predictedAtMillis", p.PredictedAt.UnixMilli())
	b = append(b, `,"model":`...)
	b = appendString(b, p.Model)
	b = appendInt(b, "version", p.ModelVersion)
	b = appendVector(b, "features", p.Features)
	b = appendVector(b, "scores", p.Scores)
	b = appendInt(b, "class", int64(p.Class))
	return append(b, '}')
}

// Append appends the JSON form of o to b and returns the longer slice.
func (o Outcome) Append(b []byte) []byte {
	b = appendHead(b, o.ID)
	b = appendInt(b, "observedAtMillis", o.ObservedAt.UnixMilli())
	b = appendInt(b, "class", int64(o.Class))
	return append(b, '}')
}

// Argmax returns the index of the greatest score, the lowest on a tie, and -1 when there is none.
func Argmax(scores []float32) int {
	best := -1
	for i, s := range scores {
		if best < 0 || s > scores[best] {
			best = i
		}
	}
	return best
}

// decoder gathers everything that is wrong with one event.
type decoder struct {
	event string
	wire  wire
	errs  []error
}

func decode(event string, b []byte) *decoder {
	d := &decoder{event: event}
	if err := Unmarshal(b, &d.wire); err != nil {
		d.errs = []error{fmt.Errorf("%s: not a JSON object of this schema: %w", event, err)}
		return d
	}
	switch {
	case d.wire.V == nil:
		d.bad("v", "missing; this program reads version "+strconv.Itoa(version))
	case *d.wire.V != version:
		d.bad("v", fmt.Sprintf("%d; this program reads version %d", *d.wire.V, version))
	}
	return d
}

func (d *decoder) bad(field, reason string) {
	d.errs = append(d.errs, &FieldError{Event: d.event, Field: field, Reason: reason})
}

// err joins the faults. After a fault of syntax or version the fields say nothing, so only the first is told.
func (d *decoder) err() error {
	if len(d.errs) == 0 {
		return nil
	}
	var field *FieldError
	if first := d.errs[0]; !errors.As(first, &field) || field.Field == "v" {
		return first
	}
	return errors.Join(d.errs...)
}

func (d *decoder) id() string {
	switch {
	case d.wire.ID == nil || *d.wire.ID == "":
		d.bad("id", "missing")
		return ""
	case len(*d.wire.ID) > maxIDBytes:
		d.bad("id", fmt.Sprintf("%d bytes, more than %d", len(*d.wire.ID), maxIDBytes))
	}
	return *d.wire.ID
}

func (d *decoder) instant(field string, ms *int64) time.Time {
	switch {
	case ms == nil:
		d.bad(field, "missing")
		return time.Time{}
	case *ms <= 0 || *ms >= maxMillis:
		d.bad(field, fmt.Sprintf("%d is no Unix time in milliseconds", *ms))
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

// maxMillis is the year 9999: a greater number is a time in another unit.
const maxMillis = 253402300800000

func (d *decoder) class() int {
	switch {
	case d.wire.Class == nil:
		d.bad("class", "missing")
		return 0
	case *d.wire.Class < 0:
		d.bad("class", fmt.Sprintf("%d is below 0", *d.wire.Class))
		return 0
	}
	return *d.wire.Class
}

func (d *decoder) vector(field string, b json.RawMessage) []float32 {
	v, err := parseVector(b)
	switch {
	case err != nil:
		d.bad(field, err.Error())
	case len(v) == 0:
		d.bad(field, "missing or empty")
	}
	return v
}
