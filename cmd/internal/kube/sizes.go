package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/prescale/prescale/cmd/internal/hpacheck"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
	"github.com/prescale/prescale/scaler/vertical"
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

const (
	// resizeAgain is how long a pod keeps a size, so that its effect is seen before the next.
	resizeAgain = 2 * time.Minute
	// resizesPerLook bounds the writes of one look over all policies; a policy has one of its pods resized at a time.
	resizesPerLook = 10
	// lookTimeout bounds what one look may ask of the cluster.
	lookTimeout = 20 * time.Second
)

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

type learnedKey struct{ policy, target, container string }

// learned is the usage of one container over all pods of a target.
type learned struct {
	*vertical.Usage
	// seen are the newest sample and the newest death for lack of memory of each pod.
	seen, killed map[string]time.Time
	// from is until when another process has learned; checkpoint is what status keeps, as of kept.
	from, kept time.Time
	checkpoint string
}

// keepEvery is the time between two checkpoints of what was learned: what is lost is little against bounds that narrow in days.
const keepEvery = 10 * time.Minute

// newLearned goes on from what the policy's status has of the container.
func (s *sizer) newLearned(key learnedKey) *learned {
	l := &learned{Usage: vertical.NewUsage(), seen: map[string]time.Time{}, killed: map[string]time.Time{}}
	obj, ok, err := s.Controller.policies.GetStore().GetByKey(key.policy)
	if err != nil || !ok {
		return l
	}
	p, err := fromUnstructured(obj.(*unstructured.Unstructured))
	if err != nil {
		return l
	}
	for _, c := range p.Status.Vertical {
		if c.Target != key.target || c.Container != key.container || c.Learned == "" {
			continue
		}
		usage, err := vertical.Restore(c.Learned)
		if err != nil {
			s.cfg.Logger.Warn("what was learned of a container's usage cannot be read; it is learned anew", "policy", key.policy, "container", key.container, "error", err)
			continue
		}
		l.Usage, l.from, l.checkpoint = usage, usage.Last(), c.Learned
	}
	return l
}

// keep returns the checkpoint that status is to have.
func (l *learned) keep(now time.Time) string {
	if now.Sub(l.kept) >= keepEvery {
		l.kept, l.checkpoint = now, l.Checkpoint()
	}
	return l.checkpoint
}

func newSizer(c *Controller) *sizer {
	return &sizer{Controller: c, results: map[string]sizing{}, learned: map[learnedKey]*learned{}, resized: map[types.UID]time.Time{}, looked: map[string]time.Time{}}
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

// candidate is a pod that should be resized.
type candidate struct {
	pod    *corev1.Pod
	resize resize
}

func (s *sizer) lookAt(ctx context.Context, p *v1alpha1.ScalePolicy, now time.Time) sizing {
	var found sizing
	var candidates []candidate
	var waiting []string
	for _, ref := range hpacheck.Targets(p) {
		selector, _, ok := s.workloads.scaled(p.Namespace, ref)
		if !ok {
			return sizing{reason: reasonNoUsage, message: fmt.Sprintf("%s %s is not there", ref.Kind, ref.Name)}
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

// inPlace resizes at most one of the candidates: the one that is held back most.
func (s *sizer) inPlace(ctx context.Context, p *v1alpha1.ScalePolicy, found sizing, candidates []candidate, waiting []string, now time.Time) sizing {
	hpas, err := s.hpas.HorizontalPodAutoscalers(p.Namespace).List(labels.Everything())
	if err != nil {
		found.ok, found.reason, found.message = false, reasonFailed, err.Error()
		return found
	}
	found.reason, found.message = reasonResizing, "running pods are given the recommended sizes, one at a time; "+found.message
	switch names := hpacheck.OnCPU(p, hpas); {
	case len(names) > 0:
		found.ok, found.reason = false, reasonCPUMetric
		found.message = fmt.Sprintf("nothing is resized: HPA %s scales on CPU, and both would act on what the other changes; remove that metric or use vertical: Recommend", strings.Join(names, ", "))
		return found
	case p.Spec.Paused || p.Spec.Mode == v1alpha1.Observe:
		found.message = "nothing is resized while the policy is paused or only observes"
		return found
	case len(waiting) > 0:
		found.ok, found.reason, found.message = false, reasonWaiting, strings.Join(waiting, "; ")
	}
	if len(candidates) == 0 || s.left == 0 {
		return found
	}
	s.left--
	chosen := slices.MaxFunc(candidates, func(a, b candidate) int {
		switch {
		case a.resize.press < b.resize.press:
			return -1
		case a.resize.press > b.resize.press:
			return 1
		}
		return strings.Compare(b.pod.Name, a.pod.Name)
	})
	// A refused one is not asked for again at once either.
	s.resized[chosen.pod.UID] = now
	patch, err := resizePatch(chosen.resize)
	if err == nil {
		_, err = s.cfg.Clients.Kubernetes.CoreV1().Pods(p.Namespace).Patch(ctx, chosen.pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "prescale"}, "resize")
	}
	what := fmt.Sprintf("pod %s, container %s: %s", chosen.pod.Name, chosen.resize.container, chosen.resize.text)
	switch {
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "pods/resize"):
		err = fmt.Errorf("resize %s: we may not patch pods/resize; add manifests/components/vertical: %w", what, err)
	case apierrors.IsNotFound(err):
		err = fmt.Errorf("resize %s: the pod is gone, or the cluster is older than Kubernetes 1.33: %w", what, err)
	case err != nil:
		err = fmt.Errorf("resize %s: %w", what, err)
	}
	if err != nil {
		s.recorder.Eventf(p, chosen.pod, corev1.EventTypeWarning, "ResizeFailed", "Resize", "%s", err)
		found.ok, found.reason, found.message = false, reasonFailed, err.Error()
		return found
	}
	s.cfg.Logger.Info("resized in place", "policy", p.PolicyName(), "pod", chosen.pod.Name, "change", chosen.resize.text)
	s.recorder.Eventf(p, chosen.pod, corev1.EventTypeNormal, "Resized", "Resize", "%s", what)
	return found
}

// podsOf returns the pods that the selector matches and the usage of those that metrics.k8s.io knows, by name.
func (s *sizer) podsOf(ctx context.Context, namespace string, selector labels.Selector) ([]corev1.Pod, map[string]metricsv1beta1.PodMetrics, error) {
	// Version 0: from the API server's memory.
	pods, err := s.cfg.Clients.Kubernetes.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String(), ResourceVersion: "0"})
	if err != nil {
		return nil, nil, fmt.Errorf("list pods: %w", err)
	}
	list, err := s.cfg.Clients.Metrics.MetricsV1beta1().PodMetricses(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, errors.New("the cluster has no metrics.k8s.io: install metrics-server")
	case apierrors.IsForbidden(err):
		return nil, nil, fmt.Errorf("we may not read metrics.k8s.io; add manifests/components/vertical: %w", err)
	case err != nil:
		return nil, nil, fmt.Errorf("read usage from metrics.k8s.io: %w", err)
	}
	usage := map[string]metricsv1beta1.PodMetrics{}
	for _, m := range list.Items {
		usage[m.Name] = m
	}
	return pods.Items, usage, nil
}

// learn takes every sample that is new, and every death for lack of memory.
func (s *sizer) learn(p *v1alpha1.ScalePolicy, target string, pods []corev1.Pod, usage map[string]metricsv1beta1.PodMetrics, now time.Time) {
	for i := range pods {
		pod := &pods[i]
		for j := range pod.Spec.Containers {
			container := &pod.Spec.Containers[j]
			key := learnedKey{p.PolicyName(), target, container.Name}
			l, ok := s.learned[key]
			if !ok {
				l = s.newLearned(key)
				s.learned[key] = l
			}
			if at, size, ok := used(usage[pod.Name], container.Name); ok && at.After(l.seen[pod.Name]) && at.After(l.from) {
				l.seen[pod.Name] = at
				l.Observe(at, pod.Name, size.CPUCores, size.MemoryBytes, container.Resources.Requests.Cpu().AsApproximateFloat64())
			}
			for _, status := range pod.Status.ContainerStatuses {
				died := status.LastTerminationState.Terminated
				if status.Name != container.Name || died == nil || died.Reason != "OOMKilled" || !died.FinishedAt.After(l.killed[pod.Name]) || !died.FinishedAt.After(l.from) {
					continue
				}
				l.killed[pod.Name] = died.FinishedAt.Time
				l.OutOfMemory(died.FinishedAt.Time, pod.Name, container.Resources.Limits.Memory().AsApproximateFloat64())
			}
		}
	}
	for key, l := range s.learned {
		if key.policy == p.PolicyName() && key.target == target {
			l.forget(pods, now)
		}
	}
}

func (l *learned) forget(pods []corev1.Pod, now time.Time) {
	l.Forget(now)
	for _, times := range []map[string]time.Time{l.seen, l.killed} {
		for name := range times {
			if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Name == name }) {
				delete(times, name)
			}
		}
	}
}

// used returns a container's usage and when it was measured.
func used(m metricsv1beta1.PodMetrics, container string) (time.Time, vertical.Size, bool) {
	for _, c := range m.Containers {
		if c.Name == container {
			return m.Timestamp.Time, vertical.Size{CPUCores: c.Usage.Cpu().AsApproximateFloat64(), MemoryBytes: c.Usage.Memory().AsApproximateFloat64()}, true
		}
	}
	return time.Time{}, vertical.Size{}, false
}

// recommended returns the sizes of the containers that pods of the target have now, in the pods' order.
func (s *sizer) recommended(p *v1alpha1.ScalePolicy, target string, pods []corev1.Pod, now time.Time) []v1alpha1.ContainerSize {
	var sizes []v1alpha1.ContainerSize
	if len(pods) == 0 {
		return nil
	}
	for _, container := range pods[0].Spec.Containers {
		l, ok := s.learned[learnedKey{p.PolicyName(), target, container.Name}]
		if !ok {
			continue
		}
		if rec, ok := l.Recommend(); ok {
			sizes = append(sizes, v1alpha1.ContainerSize{
				Target: target, Container: container.Name,
				Request: replicaSize(rec.Target), Lower: replicaSize(rec.Lower), Upper: replicaSize(rec.Upper), Learned: l.keep(now),
			})
		}
	}
	return sizes
}

// candidates returns the pods that should be resized, and what keeps the kubelet from earlier resizes.
func (s *sizer) candidates(p *v1alpha1.ScalePolicy, target string, pods []corev1.Pod, usages map[string]metricsv1beta1.PodMetrics, now time.Time) (found []candidate, waiting []string) {
	answer, err := s.cfg.Store.Get(p.PolicyName())
	hot := err == nil && slices.Contains(answer.Decision.Verdicts, scaler.VerdictHotPartition)
	size := answer.Decision.Size
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp != nil || !ready(pod) {
			continue
		}
		if why, ok := resizeUnderWay(pod); ok {
			if why != "" {
				waiting = append(waiting, why)
			}
			continue
		}
		if at, ok := s.resized[pod.UID]; ok && now.Sub(at) < resizeAgain {
			continue
		}
		for j := range pod.Spec.Containers {
			container := &pod.Spec.Containers[j]
			l, known := s.learned[learnedKey{p.PolicyName(), target, container.Name}]
			_, usage, measured := used(usages[pod.Name], container.Name)
			if !known || !measured {
				continue
			}
			rec, ok := l.Recommend()
			if !ok {
				continue
			}
			growth := 0.0
			if hot {
				growth = growthTo(pod, size)
			}
			if r, ok := resizeOf(p, container, rec, usage, growth); ok {
				found = append(found, candidate{pod, r})
				break // One container at a time.
			}
		}
	}
	return found, waiting
}

// growthTo returns by how much a pod that is held back should grow for a hot partition: to the size that was seen to carry it, in
// one step; by hotGrowth where none was, or where this one has it already.
func growthTo(pod *corev1.Pod, size scaler.SizeDecision) float64 {
	if now, ok := podCores(pod).Get(); ok && now < size.CPUCores && !size.HotPartition {
		return size.CPUCores / now
	}
	return hotGrowth
}

// podCores returns what a pod may use of a CPU: its containers' limits, or requests where they have none; missing where one has
// neither.
func podCores(pod *corev1.Pod) series.Value {
	sum := 0.0
	for i := range pod.Spec.Containers {
		r := &pod.Spec.Containers[i].Resources
		most, ok := r.Limits[corev1.ResourceCPU]
		if !ok {
			if most, ok = r.Requests[corev1.ResourceCPU]; !ok {
				return series.Missing
			}
		}
		sum += most.AsApproximateFloat64()
	}
	return series.Of(sum)
}

// sameCores returns the podCores that all ready pods share; missing where they differ, or where one is being resized.
func sameCores(pods []corev1.Pod) series.Value {
	var same series.Value
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp != nil || !ready(pod) {
			continue
		}
		cores := podCores(pod)
		if _, resizing := resizeUnderWay(pod); resizing || !cores.Known() || same.Known() && cores != same {
			return series.Missing
		}
		same = cores
	}
	return same
}

// resizeUnderWay reports whether the kubelet still has a resize to carry out, and what keeps it from that.
func resizeUnderWay(pod *corev1.Pod) (why string, ok bool) {
	for _, c := range pod.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case corev1.PodResizePending:
			return fmt.Sprintf("the node of pod %s cannot resize it (%s): %s", pod.Name, c.Reason, c.Message), true
		case corev1.PodResizeInProgress:
			ok = true
		}
	}
	return "", ok
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
