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
	latest map[string]arrival
	// gaps are the spans between ticks of a policy, by when the later one was.
	gaps []gap
}

type arrival struct {
	eventlog.Stamp
	came time.Time
}

type gap struct {
	policy   string
	from, to time.Time
}

func (j *journal) take(d eventlog.Decision) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if before, ok := j.latest[d.Policy]; ok {
		j.gaps = append(j.gaps, gap{d.Policy, before.At, d.At})
	}
	j.latest[d.Policy] = arrival{d.Stamp, time.Now()}
}

// ownedBy returns the policies whose last decision the writer made.
func (j *journal) ownedBy(writer string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var names []string
	for name, a := range j.latest {
		if a.Writer == writer {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// since returns when the last of the policies had a decision whose tick lies after t, and how many have none yet.
func (j *journal) since(t time.Time, policies []string) (last time.Time, missing int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range policies {
		a, ok := j.latest[p]
		if !ok || !a.At.After(t) {
			missing++
			continue
		}
		if a.came.After(last) {
			last = a.came
		}
	}
	return last, missing
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
