package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/metrics/series"
)

// replica consumes until its context ends, calling ready once it can. It leaves its group before it returns.
type replica func(ctx context.Context, id int, ready func()) error

// fleet stands in for a Deployment and its ReplicaSet: it is told how many replicas there shall be, starts them with a
// delay and stops the youngest first. All times are the trace's. It is safe for concurrent use.
type fleet struct {
	name     string
	clock    trace.Clock
	startUp  time.Duration
	run      replica
	meter    *meter
	logger   *slog.Logger
	failures chan error

	mu       sync.Mutex
	random   *rand.Rand
	ctx      context.Context // of Run; nil before it and after it
	pods     []*pod
	nextID   int
	startups []float64
	// paid is the replica-seconds up to paidUntil, starting replicas included.
	paid      float64
	paidUntil time.Time
	group     sync.WaitGroup
}

type pod struct {
	id     int
	asked  time.Time
	ready  bool
	cancel context.CancelFunc
}

func newFleet(name string, clock trace.Clock, startUp time.Duration, random *rand.Rand, m *meter, run replica, logger *slog.Logger) *fleet {
	return &fleet{
		name: name, clock: clock, startUp: startUp, random: random, meter: m, run: run, logger: logger,
		failures: make(chan error, 1), paidUntil: clock.Start(),
	}
}

// Run starts `initial` replicas without delay, keeps what Scale asks for, and when the context ends stops them all and
// waits for them. It returns early with the error of a replica that failed.
func (f *fleet) Run(ctx context.Context, initial int) error {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.ctx = running
	now := f.clock.At(time.Now())
	for range initial {
		f.start(now, 0)
	}
	f.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
	case err = <-f.failures:
		err = fmt.Errorf("replica of %s: %w", f.name, err)
	}
	cancel()
	f.mu.Lock()
	f.pay(f.clock.At(time.Now()))
	f.ctx, f.pods = nil, nil
	f.mu.Unlock()
	f.group.Wait()
	return err
}

// Scale sets how many replicas there shall be.
func (f *fleet) Scale(now time.Time, wanted int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx == nil {
		return
	}
	f.pay(now)
	for len(f.pods) < wanted {
		f.start(now, f.startUp+time.Duration(f.random.Float64()*float64(f.startUp)/2))
	}
	for len(f.pods) > wanted {
		last := f.pods[len(f.pods)-1]
		last.cancel()
		f.pods = f.pods[:len(f.pods)-1]
	}
}

// start adds a pod. f.mu is held.
func (f *fleet) start(now time.Time, delay time.Duration) {
	ctx, cancel := context.WithCancel(f.ctx)
	p := &pod{id: f.nextID, asked: now, cancel: cancel}
	f.nextID++
	f.pods = append(f.pods, p)
	f.group.Go(func() {
		defer cancel()
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.clock.WallSpan(delay)):
		}
		err := f.run(ctx, p.id, func() { f.becameReady(p, delay > 0) })
		if err != nil && !errors.Is(err, context.Canceled) {
			select {
			case f.failures <- fmt.Errorf("%d: %w", p.id, err):
			default: // One failure ends the run; the first is told.
			}
		}
	})
}

func (f *fleet) becameReady(p *pod, counts bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.ready {
		return
	}
	p.ready = true
	if counts {
		f.startups = append(f.startups, f.clock.At(time.Now()).Sub(p.asked).Seconds())
	}
}

// pay counts the replica-seconds up to now. f.mu is held.
func (f *fleet) pay(now time.Time) {
	if span := now.Sub(f.paidUntil).Seconds(); span > 0 {
		f.paid += span * float64(len(f.pods))
		f.paidUntil = now
	}
}

// count returns how many replicas there are and how many of them are ready.
func (f *fleet) count() (all, ready int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pods), f.ready()
}

func (f *fleet) ready() int {
	n := 0
	for _, p := range f.pods {
		if p.ready {
			n++
		}
	}
	return n
}

// replicaSeconds returns what has been paid for up to now.
func (f *fleet) replicaSeconds(now time.Time) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pay(now)
	return f.paid
}

// Annotate tells the pipeline what Kubernetes' informers would: it is pipeline.Replicas for one policy.
func (f *fleet) Annotate(now time.Time, o *series.Observation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ready := f.ready()
	o.ReadyReplicas = series.OfInt(ready)
	o.StartingReplicas = series.OfInt(len(f.pods) - ready)
	o.StartupSeconds, f.startups = f.startups, nil
	o.BusyRatio = f.meter.busyRatio(now, ready)
}

// fleets tells the pipeline about each policy's replicas.
type fleets map[string]*fleet

func (f fleets) Annotate(now time.Time, o *series.Observation) {
	if fleet, ok := f[o.Policy]; ok {
		fleet.Annotate(now, o)
	}
}
