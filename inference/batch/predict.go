package batch

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// predictor turns one batch of request records into the records that answer them. It keeps its buffers between batches.
type predictor struct {
	predictions, deadLetters string // topics

	requests []event.Request
	sources  []*kgo.Record
	x, out   []float32
}

// answer returns a prediction or a dead letter for every record that is not a control record, all made at now with e.
func (p *predictor) answer(e *registry.Entry, records []*kgo.Record, now time.Time) (answers []*kgo.Record, dead int, err error) {
	a := e.Model.Architecture()
	p.requests, p.sources, p.x = p.requests[:0], p.sources[:0], p.x[:0]
	for _, r := range records {
		if r.Attrs.IsControl() {
			continue
		}
		request, err := event.DecodeRequest(r.Value)
		if err == nil && len(request.Features) != a.Inputs {
			err = fmt.Errorf("request: features: %d, but model %s version %d takes %d", len(request.Features), e.Name, e.Version, a.Inputs)
		}
		if err != nil {
			answers = append(answers, p.deadLetter(r, err))
			continue
		}
		p.requests, p.sources = append(p.requests, request), append(p.sources, r)
		p.x = append(p.x, request.Features...)
	}
	dead = len(answers)
	rows := len(p.requests)
	if need := rows * a.Classes; cap(p.out) < need {
		p.out = make([]float32, need)
	}
	p.out = p.out[:rows*a.Classes]
	if err := e.Model.Predict(p.x, rows, p.out); err != nil {
		return nil, 0, fmt.Errorf("model %s version %d: %w", e.Name, e.Version, err)
	}
	for i, request := range p.requests {
		scores := p.out[i*a.Classes : (i+1)*a.Classes]
		if !model.Finite(scores) { // JSON has no word for such a score: nobody could read the prediction
			answers = append(answers, p.deadLetter(p.sources[i],
				fmt.Errorf("request: features: too large for model %s version %d, whose scores are no numbers then", e.Name, e.Version)))
			dead++
			continue
		}
		answers = append(answers, p.prediction(e, request, scores, p.sources[i], now))
	}
	return answers, dead, nil
}

func (p *predictor) prediction(e *registry.Entry, request event.Request, scores []float32, source *kgo.Record, now time.Time) *kgo.Record {
	prediction := event.Prediction{
		ID: request.ID, RequestedAt: request.RequestedAt, PredictedAt: now,
		Model: e.Name, ModelVersion: e.Version,
		Features: request.Features, Scores: scores, Class: event.Argmax(scores),
	}
	r := &kgo.Record{
		Topic: p.predictions,
		Key:   []byte(request.ID),
		Value: prediction.Append(make([]byte, 0, 192+16*(len(request.Features)+len(scores)))),
		Headers: []kgo.RecordHeader{
			{Key: event.HeaderRequestedAt, Value: strconv.AppendInt(nil, request.RequestedAt.UnixMilli(), 10)},
			{Key: event.HeaderModelVersion, Value: strconv.AppendInt(nil, e.Version, 10)},
		},
	}
	room := sideBytes
	for _, h := range source.Headers {
		if h.Key != "traceparent" && h.Key != "tracestate" { // W3C Trace Context goes on to whoever reads the answer
			continue
		}
		if room -= len(h.Key) + len(h.Value) + headerBytes; room < 0 {
			break
		}
		r.Headers = append(r.Headers, h)
	}
	return r
}

// What goes on of a request's headers is bounded too: with the model's widest rows beside it a prediction stays under deadLetterBytes.
//
// A dead letter is what it is of and its headers besides, and a record that is as large as one may be would have one that no broker
// takes and that stops all behind it. So it is cut to deadLetterBytes, under the least that brokers and clients take by default
// (1,000,012 bytes a batch); headers and key above sideBytes are left out or cut first. A header takes headerBytes besides what is in it,
// for its lengths, and little more where it is large. The reason can quote what was sent.
const (
	deadLetterBytes = 900_000
	sideBytes       = 100_000
	headerBytes     = 2
	reasonBytes     = 1_000
)

func (p *predictor) deadLetter(source *kgo.Record, reason error) *kgo.Record {
	key, value, headers := source.Key, source.Value, source.Headers
	size := 0
	for _, h := range headers {
		size += len(h.Key) + len(h.Value) + headerBytes
	}
	all := size + len(key) + len(value)
	if size > sideBytes {
		size, headers = 0, nil
	}
	key = key[:min(len(key), sideBytes)]
	value = value[:min(len(value), deadLetterBytes-len(key)-size)]
	text := reason.Error()
	if len(text) > reasonBytes {
		text = strings.ToValidUTF8(text[:reasonBytes], "") + "…"
	}
	if len(value) < len(source.Value) || len(key) < len(source.Key) || len(headers) < len(source.Headers) {
		text += fmt.Sprintf("; of its %d bytes some are cut here", all)
	}
	headers = append(headers[:len(headers):len(headers)],
		kgo.RecordHeader{Key: event.HeaderError, Value: []byte(text)},
		kgo.RecordHeader{Key: event.HeaderTopic, Value: []byte(source.Topic)},
		kgo.RecordHeader{Key: event.HeaderPartition, Value: strconv.AppendInt(nil, int64(source.Partition), 10)},
		kgo.RecordHeader{Key: event.HeaderOffset, Value: strconv.AppendInt(nil, source.Offset, 10)},
	)
	return &kgo.Record{Topic: p.deadLetters, Key: key, Value: value, Headers: headers}
}
