package join

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/prescale/prescale/inference/event"
)

// TopicExamples is the default name of the topic of examples. It has one partition: the trainer sees them in one order.
const TopicExamples = "inference.examples"

// exampleVersion is the schema version of an Example on the wire. Raise it when a field changes its meaning.
const exampleVersion = 1

// Example is a prediction and what was true.
type Example struct {
	Prediction event.Prediction
	Outcome    event.Outcome
}

// Delay is how long after the prediction the outcome was observed.
func (e Example) Delay() time.Duration { return e.Outcome.ObservedAt.Sub(e.Prediction.PredictedAt) }

type exampleJSON struct {
	V          int             `json:"v"`
	Prediction json.RawMessage `json:"prediction"`
	Outcome    json.RawMessage `json:"outcome"`
}

// Append appends the JSON form {"v":1,"prediction":{…},"outcome":{…}} to b and returns the longer slice.
func (e Example) Append(b []byte) []byte {
	b = fmt.Appendf(b, `{"v":%d,"prediction":`, exampleVersion)
	b = e.Prediction.Append(b)
	b = append(b, `,"outcome":`...)
	b = e.Outcome.Append(b)
	return append(b, '}')
}

// DecodeExample reads one Example, whose parts must be of the same id.
func DecodeExample(b []byte) (Example, error) {
	var j exampleJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return Example{}, fmt.Errorf("example: %w", err)
	}
	if j.V != exampleVersion {
		return Example{}, fmt.Errorf("example: v: %d; this program reads version %d", j.V, exampleVersion)
	}
	p, err := event.DecodePrediction(j.Prediction)
	if err != nil {
		return Example{}, fmt.Errorf("example: %w", err)
	}
	o, err := event.DecodeOutcome(j.Outcome)
	if err != nil {
		return Example{}, fmt.Errorf("example: %w", err)
	}
	if p.ID != o.ID {
		return Example{}, fmt.Errorf("example: prediction %q and outcome %q are of different requests", p.ID, o.ID)
	}
	return Example{Prediction: p, Outcome: o}, nil
}
