package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler/sim"
)

// progress writes how far a long pass is, at each twentieth of it: over the line before on a terminal, else on lines of their own.
type progress struct {
	out   io.Writer
	unit  string
	total int
	long  bool
	over  bool

	mu    sync.Mutex
	count int
	shown int
}

// newProgress is of a pass over so many rows or the like; one that is not long shows nothing.
func newProgress(out io.Writer, unit string, total int, long bool) *progress {
	return &progress{out: out, unit: unit, total: total, long: long, over: command.IsTerminal(out), shown: -1}
}

// manyRows is from how many rows on a pass over them takes long enough to show.
const manyRows = 5000

// at shows that n are done, if that is news. It may be called concurrently, as may the others.
func (p *progress) at(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show(n)
}

func (p *progress) show(n int) {
	if share := 20 * n / max(1, p.total); p.long && share > p.shown {
		p.shown = share
		line := fmt.Sprintf("%s %d of %d (%d %%)", p.unit, n, p.total, 5*share)
		if p.over {
			fmt.Fprint(p.out, "\r"+line)
			return
		}
		fmt.Fprintln(p.out, line)
	}
}

// one shows that one more is done.
func (p *progress) one() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	p.show(p.count)
}

// done ends the line, also of a pass that was cut short.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.long = false
	if p.shown >= 0 && p.over {
		fmt.Fprintln(p.out)
	}
}

// progressBar shows what is being done on a terminal. Elsewhere it writes a line for each task of a pass that is long, and nothing of
// others. Its methods may be called concurrently.
type progressBar struct {
	out   io.Writer
	quiet bool
	long  bool

	mu    sync.Mutex
	task  string
	shown bool
}

func (b *progressBar) begin(task string) {
	b.mu.Lock()
	b.task = task
	if b.long && !b.quiet && !command.IsTerminal(b.out) {
		fmt.Fprintln(b.out, task)
	}
	b.mu.Unlock()
	b.share(0)
}

func (b *progressBar) share(x float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.quiet || !command.IsTerminal(b.out) {
		return
	}
	b.shown = true
	const width = 30
	full := int(x * width)
	fmt.Fprintf(b.out, "\r\x1b[K[%-*s] %3.0f %% %s", width, bars[:full], 100*x, b.task)
}

// manyTicks is from how many ticks of a history on each rule takes some seconds: a fortnight at 15 s is 80,640.
const manyTicks = 80_000

// isLong reports whether a scenario takes each rule some seconds.
func isLong(s *sim.Scenario) bool { return s.Trace.Duration() >= manyTicks*s.Tick }

const bars = "##############################"

// counted is the policy that decides as p does and tells now and then which share of the scenario's trace is done.
func counted(p sim.Policy, s *sim.Scenario, share func(float64)) sim.Policy {
	return &countedPolicy{Policy: p, share: share, ticks: int(s.Trace.Duration() / s.Tick)}
}

type countedPolicy struct {
	sim.Policy
	share       func(float64)
	tick, ticks int
}

// Decide implements sim.Policy.
func (c *countedPolicy) Decide(now time.Time, o *series.Observation) int {
	if c.tick++; c.tick%100 == 0 {
		c.share(float64(c.tick) / float64(c.ticks))
	}
	return c.Policy.Decide(now, o)
}

// done takes the bar away. None comes after it.
func (b *progressBar) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quiet = true
	if b.shown {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
