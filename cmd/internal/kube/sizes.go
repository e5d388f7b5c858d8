package kube

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/prescale/prescale/cmd/internal/hpacheck"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// The reasons of the Vertical condition.
const (
	reasonRecommending = "Recommending"
	reasonResizing     = "InPlace"
	// reasonWaiting: the kubelet has not carried out a resize yet, because its node has no room.
	reasonWaiting = "Waiting"
	// reasonNoUsage: metrics.k8s.io has nothing about the pods.
	reasonNoUsage = "NoUsage"
	// reasonCPUMetric: an HPA scales on CPU, which a resize would move.
	reasonCPUMetric = "CPUMetric"
	reasonFailed    = "Failed"
)

// lookTimeout bounds what one look may ask of the cluster.
const lookTimeout = 20 * time.Second

// sizing is what is known of the sizes of a policy's containers.
type sizing struct {
	containers      []v1alpha1.ContainerSize
	ok              bool
	reason, message string
	// cores is what each ready pod may use of a CPU; missing where they differ.
	cores series.Value
}

// sizer learns what the pods of policies with a vertical mode use, from metrics.k8s.io, recommends sizes and, where the policy
// says InPlace, gives them to running pods through pods/resize. What it learned is in the policy's status, from where a process
// that knows nothing of a container yet goes on.
type sizer struct {
	*Controller

	mu       sync.Mutex
	policies []*v1alpha1.ScalePolicy
	results  map[string]sizing

	// Owned by look.
	learned map[learnedKey]*learned
	resized map[types.UID]time.Time
	looked  map[string]time.Time // when each policy had its turn
	left    int                  // writes that this look may still do
}

func newSizer(c *Controller) *sizer {
	return &sizer{Controller: c, results: map[string]sizing{}, learned: map[learnedKey]*learned{}, resized: map[types.UID]time.Time{},
		looked: map[string]time.Time{}}
}

// sized reports whether the policy wants to know what its containers should have.
func sized(p *v1alpha1.ScalePolicy) bool {
	return p.Spec.Vertical == v1alpha1.VerticalRecommend || p.Spec.Vertical == v1alpha1.VerticalInPlace
}

// setPolicies replaces what is looked at.
func (s *sizer) setPolicies(policies []*v1alpha1.ScalePolicy) {
	var kept []*v1alpha1.ScalePolicy
	for _, p := range policies {
		if sized(p) {
			p = p.DeepCopy()
			p.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(v1alpha1.Kind))
			kept = append(kept, p)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies = kept
}

// of returns what the last look found for a policy; false before the first.
func (s *sizer) of(policy string) (sizing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.results[policy]
	return found, ok
}

// cores returns what each ready pod of the policy may use of a CPU; missing where they differ or where nobody has looked.
func (s *sizer) cores(policy string) series.Value {
	found, _ := s.of(policy)
	return found.cores
}

// run looks at every tick until ctx is cancelled.
func (s *sizer) run(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.SizesEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.look(ctx, now)
		}
	}
}

// look learns from the pods of every policy that is this replica's, and resizes. Where its time ends before, those that had no turn
// stay as they were and are the first the next time.
func (s *sizer) look(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	s.mu.Lock()
	policies, before := slices.Clone(s.policies), s.results
	s.mu.Unlock()
	slices.SortStableFunc(policies, func(a, b *v1alpha1.ScalePolicy) int {
		return s.looked[a.PolicyName()].Compare(s.looked[b.PolicyName()])
	})
	s.left = resizesPerLook
	results, looked := map[string]sizing{}, map[string]time.Time{}
	for _, p := range policies {
		name := p.PolicyName()
		if s.cfg.Owns != nil && !s.cfg.Owns(name) {
			continue
		}
		looked[name] = s.looked[name]
		if ctx.Err() == nil {
			results[name], looked[name] = s.lookAt(ctx, p, now), now
		} else if found, ok := before[name]; ok {
			results[name] = found
		}
	}
	s.looked = looked
	for key := range s.learned {
		if _, ok := looked[key.policy]; !ok {
			delete(s.learned, key) // Another replica's now; what is known here would be old when it comes back.
		}
	}
	for uid, at := range s.resized {
		if now.Sub(at) > resizeAgain {
			delete(s.resized, uid)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = results
}

func (s *sizer) lookAt(ctx context.Context, p *v1alpha1.ScalePolicy, now time.Time) sizing {
	var found sizing
	var candidates []candidate
	var waiting []string
	for _, ref := range hpacheck.Targets(p) {
		selector, _, ok := s.workloads.scaled(p.Namespace, ref)
		if !ok {
			return sizing{reason: reasonNoUsage, message: unscaled(ref)}
		}
		pods, usage, err := s.podsOf(ctx, p.Namespace, selector)
		if err != nil {
			return sizing{reason: reasonNoUsage, message: err.Error()}
		}
		if len(p.Spec.Pools) == 0 {
			found.cores = sameCores(pods)
		}
		target := targetName(ref)
		s.learn(p, target, pods, usage, now)
		found.containers = append(found.containers, s.recommended(p, target, pods, now)...)
		some, wait := s.candidates(p, target, pods, usage, now)
		candidates, waiting = append(candidates, some...), append(waiting, wait...)
	}
	if len(found.containers) == 0 {
		found.reason, found.message = reasonNoUsage, "metrics.k8s.io has no usage of the target's pods yet"
		return found
	}
	found.ok, found.reason = true, reasonRecommending
	found.message = "status.vertical shows what the containers should request"
	if answer, err := s.cfg.Store.Get(p.PolicyName()); err == nil && answer.Decision.Size.Name != "" {
		found.message += "; " + answer.Decision.Size.Text()
	}
	if p.Spec.Vertical != v1alpha1.VerticalInPlace {
		return found
	}
	return s.inPlace(ctx, p, found, candidates, waiting, now)
}

// sizesOf returns the sizes for the status: what the last look found, and what stands there of targets that it found nothing of: one
// without pods, or all of them while nothing tells the usage. A process that begins then learns from nothing else.
func sizesOf(f facts) []v1alpha1.ContainerSize {
	sizes := slices.Clone(f.sizing.containers)
	for _, old := range f.policy.Status.Vertical {
		found := slices.ContainsFunc(f.sizing.containers, func(c v1alpha1.ContainerSize) bool { return c.Target == old.Target })
		wanted := slices.ContainsFunc(hpacheck.Targets(f.policy), func(t v1alpha1.TargetRef) bool { return targetName(t) == old.Target })
		if !found && wanted {
			sizes = append(sizes, old)
		}
	}
	return sizes
}

// targetName is what a status calls a target.
func targetName(t v1alpha1.TargetRef) string { return t.Kind + "/" + t.Name }

// sizingStatus puts a sizing in the status's terms.
func sizingStatus(status *v1alpha1.ScalePolicyStatus, f facts, set func(kind string, ok bool, reason, message string)) {
	status.Vertical = sizesOf(f)
	if !f.sizingOK {
		return
	}
	set(v1alpha1.ConditionVertical, f.sizing.ok, f.sizing.reason, f.sizing.message)
}
