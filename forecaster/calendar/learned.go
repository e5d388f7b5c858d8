package calendar

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/forecaster"
)

// learned is what the past occurrences of one event taught of its factor. An occurrence's ratio is what came in its first steps,
// as many as the longest forecast has, over the medians that were forecast of them, without the event, when it began: its
// beginning is what must be foreseen, and within it the model below adapts. The factor is the median of the latest ratios, drawn
// towards where learning began while they are few.
//
// While an occurrence is on, its own ratio so far takes over within a step or two, so that the first one too is followed and
// leaves little of itself in the usual level.
type learned struct {
	Name string `json:"name"`
	// Ratios are those of the latest occurrences, the oldest first.
	Ratios []float64 `json:"ratios,omitempty"`
	// Until is when the present occurrence ends, in Unix nanoseconds; 0 where there is none. From is the time of the sample
	// before it and Usual what was forecast then of the steps that follow; none where the model below was not warm.
	Until int64     `json:"until,omitempty"`
	From  int64     `json:"from,omitempty"`
	Usual []float64 `json:"usual,omitempty"`
	// Came and Expected are sums over Steps of them.
	Came     float64 `json:"came,omitempty"`
	Expected float64 `json:"expected,omitempty"`
	Steps    int     `json:"steps,omitempty"`
	// Last is the time of the newest sample: the model below drops what is no later, and so does this.
	Last int64 `json:"last,omitempty"`
}

const (
	// keptRatios is how many occurrences count: eight weeks of a weekly sale.
	keptRatios = 8
	// drawn is how many occurrences the beginning weighs: after one of five times the usual, from 1 on, 3.7 times are forecast.
	drawn = 0.5
	// trust is how many steps of an occurrence the factor known before it weighs: four fifths of what the first step shows is
	// believed at once. A sale that fails to come must not pass for a usual level that fell.
	trust = 0.25
)

// factor returns the factor in force, which learning began from `first`.
func (l *learned) factor(first float64) float64 {
	f := first
	if n := len(l.Ratios); n > 0 {
		var room [keptRatios]float64
		sorted := append(room[:0], l.Ratios...)
		slices.Sort(sorted)
		median := (sorted[(n-1)/2] + sorted[n/2]) / 2
		f += float64(n) / (float64(n) + drawn) * (median - first)
	}
	if l.Steps > 0 && l.Expected > 0 {
		before := trust * l.Expected / float64(l.Steps)
		f = (l.Came + f*before) / (l.Expected + before)
	}
	return bounded(f)
}

func bounded(f float64) float64 { return min(max(f, forecaster.MinFactor), forecaster.MaxFactor) }

// end closes the present occurrence, where there is one.
func (l *learned) end() {
	if l.Expected > 0 {
		if len(l.Ratios) == keptRatios {
			l.Ratios = slices.Delete(l.Ratios, 0, 1)
		}
		l.Ratios = append(l.Ratios, bounded(l.Came/l.Expected))
	}
	l.Until, l.From, l.Usual, l.Came, l.Expected, l.Steps = 0, 0, l.Usual[:0], 0, 0, 0
}

// count takes a sample that lies within the occurrence and in no other event.
func (l *learned) count(at time.Time, value float64, step time.Duration) {
	k := int((at.UnixNano() - l.From + int64(step)/2) / int64(step))
	if k < 1 || k > len(l.Usual) {
		return
	}
	l.Came = min(l.Came+value, math.MaxFloat64) // which a checkpoint can hold
	l.Expected += l.Usual[k-1]
	l.Steps++
}

// learn lets every learned event take the sample that ends at `at`, before the model below does.
func (m *Model) learn(at time.Time, value float64) {
	begin := at.Add(-m.step)
	for i := range m.events {
		e := &m.events[i]
		l := e.learned
		if l == nil || at.UnixNano() <= l.Last {
			continue
		}
		l.Last = at.UnixNano()
		on, until := e.span.On(begin)
		whole := on && !until.Before(at)
		if !on && until.Before(at) {
			on, until = e.span.On(until) // it begins within the step
		}
		if l.Until != 0 && (!on || until.UnixNano() != l.Until) {
			l.end()
		}
		if on && l.Until == 0 {
			l.Until = until.UnixNano()
			m.freeze(l)
		}
		if whole && value >= 0 && !math.IsInf(value, 1) && m.alone(i, begin, at) {
			l.count(at, value, m.step)
		}
		e.factor = l.factor(e.first)
	}
}

// freeze notes what is forecast without the event.
func (m *Model) freeze(l *learned) {
	m.usual.Forecast(&m.ahead, len(m.factors))
	l.From, l.Usual = m.ahead.At.UnixNano(), l.Usual[:0]
	if !m.ahead.Warm {
		return
	}
	median := 0
	for i, level := range m.ahead.Levels {
		if level <= 0.5 {
			median = i
		}
	}
	for k := range m.ahead.Steps {
		l.Usual = append(l.Usual, m.ahead.Quantile(k+1, median))
	}
}

// alone reports whether no event but number i is on in any part of the step.
func (m *Model) alone(i int, begin, end time.Time) bool {
	for j := range m.events {
		if j == i {
			continue
		}
		if on, until := m.events[j].span.On(begin); on || until.Before(end) {
			return false
		}
	}
	return true
}

// A checkpoint with something learned is the magic, a version, the length of the learned as JSON, that, and the checkpoint of the
// model below; one without is the latter alone. Bump the version when a field of learned changes its meaning or goes.
const (
	magic          = "PCAL"
	learnedVersion = 1
)

// AppendCheckpoint implements forecaster.Model.
func (m *Model) AppendCheckpoint(b []byte) []byte {
	var all []*learned
	for i := range m.events {
		if l := m.events[i].learned; l != nil && (len(l.Ratios) > 0 || l.Until != 0) {
			all = append(all, l)
		}
	}
	if len(all) > 0 {
		text, err := json.Marshal(all)
		if err != nil {
			// They are finite numbers: sums of values and forecasts within bounds.
			panic("calendar: what was learned cannot be written: " + err.Error())
		}
		b = append(append(b, magic...), learnedVersion)
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return m.usual.AppendCheckpoint(b)
}

// Restore implements forecaster.Model. What was learned of events that are not here any more is dropped.
func (m *Model) Restore(checkpoint []byte) error {
	all, rest, err := split(checkpoint)
	if err != nil {
		return fmt.Errorf("restore what was learned of events: %w", err)
	}
	if err := m.usual.Restore(rest); err != nil {
		return err
	}
	for i := range m.events {
		e := &m.events[i]
		if e.learned == nil {
			continue
		}
		*e.learned = learned{Name: e.learned.Name}
		for _, l := range all {
			if l.Name == e.learned.Name {
				*e.learned = l
			}
		}
		e.factor = e.learned.factor(e.first)
	}
	return nil
}

var errLearned = errors.New("not what was written")

// split takes what was learned off a checkpoint.
func split(checkpoint []byte) (all []learned, rest []byte, err error) {
	rest = checkpoint
	if len(rest) <= len(magic) || string(rest[:len(magic)]) != magic {
		return nil, rest, nil
	}
	if version := rest[len(magic)]; version != learnedVersion {
		return nil, nil, fmt.Errorf("version %d: want %d", version, learnedVersion)
	}
	rest = rest[len(magic)+1:]
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return nil, nil, errLearned
	}
	text, rest := rest[n:n+int(size)], rest[n+int(size):]
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, nil, err
	}
	for _, l := range all {
		if len(l.Ratios) > keptRatios || len(l.Usual) > forecaster.MaxHorizonSteps || l.Steps < 0 || l.Expected < 0 || l.Came < 0 {
			return nil, nil, errLearned
		}
		for _, r := range l.Ratios {
			if r != bounded(r) {
				return nil, nil, errLearned
			}
		}
	}
	return all, rest, nil
}
