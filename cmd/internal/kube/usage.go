package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/prescale/prescale/scaler/v1alpha1"
	"github.com/prescale/prescale/scaler/vertical"
)

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
			s.cfg.Logger.Warn("what was learned of a container's usage cannot be read; it is learned anew", "policy", key.policy,
				"container", key.container, "error", err)
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

// podsOf returns the pods that the selector matches and the usage of those that metrics.k8s.io knows, by name.
func (s *sizer) podsOf(ctx context.Context, namespace string,
	selector labels.Selector) ([]corev1.Pod, map[string]metricsv1beta1.PodMetrics, error) {
	// Version 0: from the API server's memory.
	pods, err := s.cfg.Clients.Kubernetes.CoreV1().Pods(namespace).List(ctx,
		metav1.ListOptions{LabelSelector: selector.String(), ResourceVersion: "0"})
	if err != nil {
		return nil, nil, fmt.Errorf("list pods: %w", err)
	}
	list, err := s.cfg.Clients.Metrics.MetricsV1beta1().PodMetricses(namespace).List(ctx,
		metav1.ListOptions{LabelSelector: selector.String()})
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
func (s *sizer) learn(p *v1alpha1.ScalePolicy, target string, pods []corev1.Pod, usage map[string]metricsv1beta1.PodMetrics,
	now time.Time) {
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
				if status.Name != container.Name || died == nil || died.Reason != "OOMKilled" ||
					!died.FinishedAt.After(l.killed[pod.Name]) || !died.FinishedAt.After(l.from) {
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
			return m.Timestamp.Time, vertical.Size{CPUCores: c.Usage.Cpu().AsApproximateFloat64(),
				MemoryBytes: c.Usage.Memory().AsApproximateFloat64()}, true
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
