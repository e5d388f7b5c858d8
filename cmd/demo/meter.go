package main

import (
	"slices"
	"sync"
	"time"

	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/metrics/series"
)

// meter measures one consumer group from outside: how long each request waited until its answer was committed, and how busy
// the replicas were. Times are the trace's. It is safe for concurrent use.
type meter struct {
	clock trace.Clock

	mu sync.Mutex
	// waiting holds when each request that has no answer yet arrived.
	waiting map[int]time.Time
	// answered holds the delays since the last take.
	answered []float64
	sent     int
	twice    int

	busy      float64
	busySince time.Time
}

func newMeter(clock trace.Clock) *meter {
	return &meter{clock: clock, waiting: map[int]time.Time{}, busySince: clock.Start()}
}

// arrive says that request i was due at `at`.
func (m *meter) arrive(i int, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent++
	m.waiting[i] = at
}

// answer says that the answer to request i was committed at now. A second answer is counted and otherwise ignored.
func (m *meter) answer(i int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.waiting[i]
	if !ok {
		m.twice++
		return
	}
	delete(m.waiting, i)
	m.answered = append(m.answered, now.Sub(at).Seconds())
}

// take returns the delays in seconds of the answers since the last call.
func (m *meter) take() []float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.answered
	m.answered = nil
	return taken
}

// unanswered returns how long the requests without an answer have waited by now, longest first.
func (m *meter) unanswered(now time.Time) []float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var waits []float64
	for _, at := range m.waiting {
		waits = append(waits, now.Sub(at).Seconds())
	}
	slices.Sort(waits)
	slices.Reverse(waits)
	return waits
}

// counts returns how many requests came, how many are without answer and how many answers came for one that had one.
func (m *meter) counts() (sent, waiting, twice int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent, len(m.waiting), m.twice
}

// work says that a replica was busy for a span of the wall's time.
func (m *meter) work(wall time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy += wall.Seconds() * m.clock.Speed()
}

// busyRatio returns the mean share of time since the last call that `ready` replicas worked; missing without replicas.
func (m *meter) busyRatio(now time.Time, ready int) series.Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	span := now.Sub(m.busySince).Seconds()
	busy := m.busy
	m.busy, m.busySince = 0, now
	if ready == 0 || span <= 0 {
		return series.Missing
	}
	// A batch that began before the last call is counted when it ends, so that the ratio may pass 1.
	return series.Of(min(1, busy/(span*float64(ready))))
}
