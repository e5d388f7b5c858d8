package kube

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// startup is one completed start-up.
type startup struct {
	pool        string
	seen        time.Time
	took        time.Duration
	provisioned bool
}

// keepStartups is how many start-ups are kept for a policy that nobody asks about: another replica may own it.
const keepStartups = 256

func (w *Workloads) becameReady(pod *corev1.Pod, now time.Time, initial bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counted[pod.UID] {
		return
	}
	w.counted[pod.UID] = true
	if initial {
		return
	}
	at := now
	for _, c := range pod.Status.Conditions {
		// The kubelet's own time, where it is later than the pod's creation by its clock.
		if c.Type == corev1.PodReady && c.LastTransitionTime.After(pod.CreationTimestamp.Time) {
			at = c.LastTransitionTime.Time
		}
	}
	for _, t := range w.targets[pod.Namespace] {
		selector, _, ok := w.scaled(pod.Namespace, t.ref)
		if !ok || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		list := append(w.startups[t.policy], startup{
			pool: t.pool, seen: now, took: max(at.Sub(pod.CreationTimestamp.Time), 0), provisioned: w.neededNode(pod),
		})
		if len(list) > keepStartups {
			list = slices.Delete(list, 0, len(list)-keepStartups)
		}
		w.startups[t.policy] = list
	}
}

// neededNode reports whether the pod's node was made after the pod: then the pod waited for it.
func (w *Workloads) neededNode(pod *corev1.Pod) bool {
	node, err := w.nodes.Get(pod.Spec.NodeName)
	return err == nil && node.CreationTimestamp.After(pod.CreationTimestamp.Time)
}

func (w *Workloads) takeStartups(policy string) []startup {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.startups[policy]
	delete(w.startups, policy)
	return taken
}
