package join

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/feedback/stage"
	"github.com/prescale/prescale/inference/event"
)

// Config of a Processor.
type Config struct {
	Predictions, Outcomes, Examples string // topics

	// MaxAge is how long a prediction waits for its outcome, and an outcome for its prediction, in event time: measured
	// against the newest event of the partition. Default 24h. A prediction that waited longer counts as unlabelled.
	MaxAge time.Duration

	// MaxHeld bounds how many of each one partition holds, default 100,000; the oldest leave first. A held prediction with three features
	// takes about 500 bytes of memory, so that one instance with twelve partitions takes 600 MB, and must have room for it: one that has
	// not is killed, reads the same state again and is killed again. 100 requests a second to twelve partitions fill it in three hours.
	MaxHeld int
}

// DefaultConfig has the topics' default names.
func DefaultConfig() Config {
	return Config{Predictions: event.TopicPredictions, Outcomes: event.TopicOutcomes, Examples: TopicExamples, MaxAge: 24 * time.Hour,
		MaxHeld: 100_000}
}

// Validate tells everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	for _, field := range []struct{ key, value string }{{"predictions", c.Predictions}, {"outcomes", c.Outcomes},
		{"examples", c.Examples}} {
		if field.value == "" {
			errs = append(errs, fmt.Errorf("join: %s: missing", field.key))
		}
	}
	if c.MaxAge <= 0 {
		errs = append(errs, fmt.Errorf("join: maxAge: %v is not above 0", c.MaxAge))
	}
	if c.MaxHeld < 1 {
		errs = append(errs, fmt.Errorf("join: maxHeld: %d is below 1", c.MaxHeld))
	}
	return errors.Join(errs...)
}

// Counts of one partition since it was taken over, and what it holds now.
type Counts struct {
	Matched, Expired, Unknown, Undecodable int64 // pairs; predictions without outcome; outcomes without prediction; records
	Predictions, Outcomes                  int   // held
}

// Processor joins one partition. It implements stage.Processor.
type Processor struct {
	config    Config
	logger    *slog.Logger
	watermark time.Time // newest event of the partition, as far as that can be (bound)
	counts    Counts

	predictions, outcomes side
}

// New returns the processor of a partition. The config is valid.
func New(c Config, logger *slog.Logger) *Processor {
	return &Processor{config: c, logger: logger,
		predictions: side{prefix: "p/", held: map[string]item{}}, outcomes: side{prefix: "o/", held: map[string]item{}}}
}

// Counts returns the counts as they are.
func (p *Processor) Counts() Counts {
	c := p.counts
	c.Predictions, c.Outcomes = len(p.predictions.held), len(p.outcomes.held)
	return c
}

const watermarkKey = "watermark" // Unix milliseconds in decimal

// Restore implements stage.Processor.
func (p *Processor) Restore(state map[string][]byte) error {
	for key, value := range state {
		var at time.Time
		var s *side
		switch {
		case key == watermarkKey:
			ms, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				return fmt.Errorf("join: watermark %q: %w", value, err)
			}
			p.watermark = time.UnixMilli(ms).UTC()
			continue
		case strings.HasPrefix(key, p.predictions.prefix):
			prediction, err := event.DecodePrediction(value)
			if err != nil {
				return fmt.Errorf("join: held %s: %w", key, err)
			}
			s, at = &p.predictions, prediction.PredictedAt
		case strings.HasPrefix(key, p.outcomes.prefix):
			outcome, err := event.DecodeOutcome(value)
			if err != nil {
				return fmt.Errorf("join: held %s: %w", key, err)
			}
			s, at = &p.outcomes, outcome.ObservedAt
		default:
			return fmt.Errorf("join: state key %q is not of this version", key)
		}
		s.held[key[len(s.prefix):]] = item{value: bytes.Clone(value), at: at} // or it holds the whole batch that it was read in
	}
	p.predictions.sortQueue()
	p.outcomes.sortQueue()
	return nil
}

// Start implements stage.Processor; there is nothing to write first.
func (p *Processor) Start() (stage.Output, error) { return stage.Output{}, nil }

// Process implements stage.Processor. The stage hands predictions over before outcomes.
func (p *Processor) Process(records []*kgo.Record) (stage.Output, error) {
	out := stage.Output{State: map[string][]byte{}}
	for _, r := range records {
		var err error
		if r.Topic == p.config.Predictions {
			err = p.prediction(r, &out)
		} else {
			err = p.outcome(r, &out)
		}
		if err != nil {
			p.counts.Undecodable++
			p.logger.Warn("join: passed over a record", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
		}
	}
	p.bound(records)
	p.counts.Expired += p.predictions.expire(p.watermark, p.config, out.State)
	p.counts.Unknown += p.outcomes.expire(p.watermark, p.config, out.State)
	if !p.watermark.IsZero() {
		out.State[watermarkKey] = strconv.AppendInt(nil, p.watermark.UnixMilli(), 10)
	}
	return out, nil
}

func (p *Processor) prediction(r *kgo.Record, out *stage.Output) error {
	prediction, err := event.DecodePrediction(r.Value)
	if err != nil {
		return err
	}
	prediction.PredictedAt = notAfter(prediction.PredictedAt, r)
	value := prediction.Append(nil)
	// Written here 1e9 becomes 1e+09, and < in a name \u003c, so that what fitted a record need not fit another, and one that no broker
	// takes would stop all behind it. An outcome beside it has 2,000 bytes at most.
	if len(value) > stage.RecordBytes {
		return fmt.Errorf("prediction: %d bytes once its numbers are written out, more than the %d that fit a record beside an outcome",
			len(value), stage.RecordBytes)
	}
	p.see(prediction.PredictedAt)
	if held, ok := p.outcomes.held[prediction.ID]; ok {
		outcome, err := event.DecodeOutcome(held.value)
		if err != nil {
			return err
		}
		p.outcomes.remove(prediction.ID, out.State)
		p.match(prediction, outcome, out)
		return nil
	}
	p.predictions.hold(prediction.ID, item{value: value, at: prediction.PredictedAt}, out.State)
	return nil
}

func (p *Processor) outcome(r *kgo.Record, out *stage.Output) error {
	outcome, err := event.DecodeOutcome(r.Value)
	if err != nil {
		return err
	}
	outcome.ObservedAt = notAfter(outcome.ObservedAt, r)
	p.see(outcome.ObservedAt)
	if held, ok := p.predictions.held[outcome.ID]; ok {
		prediction, err := event.DecodePrediction(held.value)
		if err != nil {
			return err
		}
		p.predictions.remove(outcome.ID, out.State)
		p.match(prediction, outcome, out)
		return nil
	}
	p.outcomes.hold(outcome.ID, item{value: outcome.Append(nil), at: outcome.ObservedAt}, out.State)
	return nil
}

// notAfter returns the time that an event gives itself, or that of its record where that is earlier: nothing is written before it has
// happened. One client whose clock is years ahead would else make everything too old that comes after; brokers refuse records that are
// ahead themselves (message.timestamp.after.max.ms).
func notAfter(at time.Time, r *kgo.Record) time.Time {
	if written := r.Timestamp; written.UnixMilli() > 0 && at.After(written) {
		return time.UnixMilli(written.UnixMilli()).UTC()
	}
	return at
}

// bound turns a watermark back that is further ahead of the records than anything is held: it comes of a clock that was wrong, and all
// would be too old for years.
func (p *Processor) bound(records []*kgo.Record) {
	var newest time.Time
	for _, r := range records {
		if r.Timestamp.UnixMilli() > 0 && r.Timestamp.After(newest) {
			newest = r.Timestamp
		}
	}
	if !newest.IsZero() && p.watermark.After(newest.Add(p.config.MaxAge)) {
		p.watermark = time.UnixMilli(newest.UnixMilli()).UTC()
	}
}

func (p *Processor) see(at time.Time) {
	if at.After(p.watermark) {
		p.watermark = at
	}
}

func (p *Processor) match(prediction event.Prediction, outcome event.Outcome, out *stage.Output) {
	p.counts.Matched++
	value := Example{Prediction: prediction, Outcome: outcome}.Append(make([]byte, 0, 512))
	out.Records = append(out.Records, &kgo.Record{Topic: p.config.Examples, Key: []byte(prediction.ID), Value: value})
}

// item is an event that waits for its counterpart.
type item struct {
	value []byte // without what nobody reads, so that a record of the state is no larger than the one it is of
	at    time.Time
}

// side is what is held of one kind, with a queue by time of the ids; one that is no longer held, or held anew, is passed over.
type side struct {
	prefix string // of its keys in the state
	held   map[string]item
	queue  []queued
}

type queued struct {
	id string
	at time.Time
}

// hold keeps an event; the first of an id stays.
func (s *side) hold(id string, it item, state map[string][]byte) {
	if _, ok := s.held[id]; ok {
		return
	}
	s.held[id] = it
	state[s.prefix+id] = it.value
	s.queue = append(s.queue, queued{id, it.at})
}

func (s *side) remove(id string, state map[string][]byte) {
	delete(s.held, id)
	state[s.prefix+id] = nil
}

// expire removes what is older than MaxAge and the oldest of what is too much. Events come nearly in order of time; one that
// is out of order leaves with those around it, and one that is ahead of the watermark by as much, of a clock that was wrong, at once:
// all behind it would wait for its time.
func (s *side) expire(watermark time.Time, c Config, state map[string][]byte) (removed int64) {
	oldest, newest := watermark.Add(-c.MaxAge), watermark.Add(c.MaxAge)
	for len(s.queue) > 0 {
		head := s.queue[0]
		if s.held[head.id].at.Equal(head.at) {
			if !head.at.Before(oldest) && !head.at.After(newest) && len(s.held) <= c.MaxHeld {
				break
			}
			s.remove(head.id, state)
			removed++
		}
		s.queue = s.queue[1:]
	}
	return removed
}

func (s *side) sortQueue() {
	for id, it := range s.held {
		s.queue = append(s.queue, queued{id, it.at})
	}
	slices.SortFunc(s.queue, func(x, y queued) int { return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.id, y.id)) })
}
