//go:build integration

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prescale/prescale/metrics/eventlog"
)

// journal is what a follower of its own saw: every decision's stamp and when it came.
type journal struct {
	mu     sync.Mutex
	latest map[string]eventlog.Stamp
	// gaps are the spans between ticks of a policy, by when the later one was.
	gaps []gap
}

type gap struct {
	policy   string
	from, to time.Time
	// came is when the later one was seen.
	came time.Time
}

func (j *journal) take(d eventlog.Decision) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if before, ok := j.latest[d.Policy]; ok {
		j.gaps = append(j.gaps, gap{d.Policy, before.At, d.At, now})
	}
	j.latest[d.Policy] = d.Stamp
}

// ownedBy returns the policies whose last decision the writer made.
func (j *journal) ownedBy(writer string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var names []string
	for name, stamp := range j.latest {
		if stamp.Writer == writer {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// missing returns how many of the policies have had no decision yet whose tick lies after t.
func (j *journal) missing(t time.Time, policies []string) int { return len(j.undecided(t, policies)) }

// undecided returns the last decision of each of the policies that have had none yet whose tick lies after t.
func (j *journal) undecided(t time.Time, policies []string) map[string]eventlog.Stamp {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := map[string]eventlog.Stamp{}
	for _, p := range policies {
		if !j.latest[p].At.After(t) {
			last[p] = j.latest[p]
		}
	}
	return last
}

// allAfter returns when each of the policies had had a decision whose tick lies after t.
func (j *journal) allAfter(t time.Time, policies []string) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	first := map[string]time.Time{}
	for _, g := range j.gaps {
		if _, known := first[g.policy]; !known && g.to.After(t) {
			first[g.policy] = g.came
		}
	}
	var last time.Time
	for _, p := range policies {
		if first[p].After(last) {
			last = first[p]
		}
	}
	return last
}

// longestGap returns the longest span between two ticks of policies that ownedBy does not name, of those that overlap
// [from, to].
func (j *journal) longestGap(from, to time.Time, but []string) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	var longest time.Duration
	for _, g := range j.gaps {
		if g.to.After(from) && g.from.Before(to) && !slices.Contains(but, g.policy) {
			longest = max(longest, g.to.Sub(g.from))
		}
	}
	return longest
}

// poller asks every daemon for policies at random, all through, and looks at how old each answer is.
type poller struct {
	daemons  []*daemon
	policies int
	limit    time.Duration

	mu       sync.Mutex
	answers  int
	refusals int
	oldest   time.Duration
	problems []string
}

// run polls until ctx ends.
func (p *poller) run(ctx context.Context, seed uint64) {
	var wg sync.WaitGroup
	for i, d := range p.daemons {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for ctx.Err() == nil {
				p.ask(d, random.IntN(p.policies))
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	wg.Wait()
}

// The API's timestamps are whole seconds, cut off.
const timestampStep = time.Second

func (p *poller) ask(d *daemon, n int) {
	start := time.Now()
	values, status, err := d.query("prescale_desired_replicas", policyName(n))
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil: // Dead, stopped or just starting.
	case status != http.StatusOK:
		p.refusals++
	case len(values) != 1:
		p.problems = append(p.problems, fmt.Sprintf("%s: %d values and no error", policyName(n), len(values)))
	default:
		p.answers++
		// At the answer it was at least as old as at the question.
		age := start.Sub(values[0].Timestamp)
		p.oldest = max(p.oldest, age)
		if age > p.limit+timestampStep {
			p.problems = append(p.problems, fmt.Sprintf("%s: served a value %v old, the limit is %v", policyName(n), age, p.limit))
		}
	}
}
