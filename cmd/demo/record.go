package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prescale/prescale/cmd/internal/console"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/cmd/internal/trace"
)

// contestant is one side of the comparison.
type contestant struct {
	name  string
	fleet *fleet
	meter *meter
}

// recorder turns what happens into lines, the page and the summary. Only Run and, before and after it, start and finish
// touch its fields.
type recorder struct {
	demo  *demo
	clock trace.Clock
	page  *console.Server
	store *readmodel.Store
	sides []contestant
	sums  []*sideSum
	paid  []float64

	entries chan readmodel.Entry
	// latest holds the newest entry of each policy since the last line.
	latest map[string]readmodel.Entry
	until  time.Time

	accuracy *accuracy
	stream   *stream
	drifted  bool
	events   chan happening
}

// happening is something worth a line of its own.
type happening struct {
	at   time.Time
	kind string // "drift" or "model", as console.Mark has it
	// label says it on a plot, text in a line.
	label, text string
}

func newRecorder(d *demo, clock trace.Clock, page *console.Server, store *readmodel.Store, s *stream, sides []contestant) *recorder {
	r := &recorder{
		demo: d, clock: clock, page: page, store: store, sides: sides, paid: make([]float64, len(sides)),
		entries: make(chan readmodel.Entry, 256), latest: map[string]readmodel.Entry{}, until: clock.Start(),
		accuracy: newAccuracy(), stream: s, events: make(chan happening, 64),
	}
	for _, s := range sides {
		r.sums = append(r.sums, &sideSum{name: s.name})
	}
	return r
}

// seconds returns a time as seconds since the trace's start.
func (r *recorder) seconds(at time.Time) float64 { return at.Sub(r.clock.Start()).Seconds() }

func (r *recorder) start(page string) {
	c := r.demo.config
	r.demo.print.start(startLine{
		Kind: "start", Trace: r.demo.trace.Name, Requests: len(r.demo.trace.Arrivals), Speed: c.Speed, Seed: c.Seed,
		IntervalSeconds: c.Interval.Seconds(), ObjectiveSeconds: c.Objective.Seconds(), WarmUpSeconds: c.WarmUp.Seconds(),
		ServiceSeconds: c.Service.Seconds(), StartUpSeconds: c.StartUp.Seconds(), MaxReplicas: c.MaxReplicas, Partitions: c.Partitions,
		SpanSeconds: r.demo.span().Seconds(), Page: page,
	})
}

// Run records every decision until the context ends.
func (r *recorder) Run(ctx context.Context) error {
	defer r.store.Watch(r.entries)()
	for {
		select {
		case e := <-r.entries:
			r.page.Tick(e)
			r.latest[e.Policy] = e
			if len(r.latest) == len(r.sides) {
				r.tick()
			}
		case e := <-r.events:
			r.event(e)
		case <-ctx.Done():
			return nil
		}
	}
}

// swapped says that a new model version's first answer was seen.
func (r *recorder) swapped(at time.Time, version int64) {
	select {
	case r.events <- happening{at, "model", fmt.Sprintf("v%d", version), fmt.Sprintf("model version %d takes over", version)}:
	default: // Nobody reads any more: the run is at its end.
	}
}

func (r *recorder) event(e happening) {
	r.demo.print.event(eventLine{"event", r.seconds(e.at), e.text})
	r.page.Mark(console.Mark{At: console.Seconds(e.at), Kind: e.kind, Label: e.label, Text: e.text})
}

// tick writes one line: both policies have been decided.
func (r *recorder) tick() {
	ours := r.latest[namespace+"/"+ourPolicy]
	at := ours.At
	line := tickLine{Kind: "tick", FromSeconds: r.seconds(r.until), ToSeconds: r.seconds(at), Decision: ours.Decision,
		Problems: ours.Observation.Problems}
	for i, policy := range []string{ourPolicy, plainPolicy} {
		e := r.latest[namespace+"/"+policy]
		side := sideLine{
			Name: r.sides[i].name, ReadyReplicas: e.Observation.ReadyReplicas, StartingReplicas: e.Observation.StartingReplicas,
			LagRecords: e.Observation.LagRecords, LagSeconds: e.Observation.LagSeconds,
			ReplicaSeconds: r.spent(i, at), DelaySeconds: r.sides[i].meter.take(),
		}
		line.Sides = append(line.Sides, side)
		if counts(line.FromSeconds, r.demo.config) {
			r.sums[i].delays = append(r.sums[i].delays, side.DelaySeconds...)
			r.sums[i].replicaSeconds += side.ReplicaSeconds
		}
	}
	clear(r.latest)
	r.until = at
	if drift := r.clock.Start().Add(r.stream.driftAt); !r.drifted && !at.Before(drift) {
		r.drifted = true
		r.event(happening{drift, "drift", "drift", "the meaning of the requests drifts: what the model knows is wrong from here on"})
	}
	version, ratio := r.accuracy.state()
	line.Model = modelLine{version, ratio}
	r.page.Model(console.Model{At: console.Seconds(at), Version: strconv.FormatInt(version, 10), AccuracyRatio: ratio})
	r.demo.print.tick(line, console.TickOf(ours), min(1, r.seconds(at)/r.demo.span().Seconds()))
	r.page.Score(scoreOf(r.summary(), false))
}

// spent returns the replica-seconds of side i since the last call.
func (r *recorder) spent(i int, at time.Time) float64 {
	all := r.sides[i].fleet.replicaSeconds(at)
	spent := all - r.paid[i]
	r.paid[i] = all
	return spent
}

// counts reports whether a line that begins there is in the summary.
func counts(fromSeconds float64, c Config) bool { return fromSeconds >= c.WarmUp.Seconds() }

// drain waits until every request has been answered on both sides, but no longer than drainedWait.
func (r *recorder) drain(ctx context.Context) {
	limit := time.After(drainedWait)
	for {
		waiting := 0
		for _, s := range r.sides {
			_, n, _ := s.meter.counts()
			waiting += n
		}
		if waiting == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-limit:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// finish writes the end and the summary. Everything has stopped.
func (r *recorder) finish() {
	at := r.clock.At(time.Now())
	line := endLine{Kind: "end", FromSeconds: r.seconds(r.until), ToSeconds: r.seconds(at)}
	for i, s := range r.sides {
		_, _, twice := s.meter.counts()
		side := endSide{
			Name: s.name, ReplicaSeconds: r.spent(i, at), DelaySeconds: s.meter.take(), UnansweredSeconds: s.meter.unanswered(at),
			AnsweredTwice: twice,
		}
		line.Sides = append(line.Sides, side)
		sum := r.sums[i]
		if counts(line.FromSeconds, r.demo.config) {
			sum.delays = append(append(sum.delays, side.DelaySeconds...), side.UnansweredSeconds...)
			sum.replicaSeconds += side.ReplicaSeconds
		}
		sum.unanswered, sum.twice = len(side.UnansweredSeconds), twice
	}
	r.demo.print.end(line)
	s := r.summary()
	r.demo.print.summary(summaryLine{"summary", s})
	r.page.Score(scoreOf(s, true))
}

func (r *recorder) summary() Summary {
	c := r.demo.config
	s := Summary{ObjectiveSeconds: c.Objective.Seconds(), WarmUpSeconds: c.WarmUp.Seconds()}
	for _, sum := range r.sums {
		s.Sides = append(s.Sides, sum.side(c.Objective.Seconds()))
	}
	return s
}
