package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/prescale/prescale/cmd/internal/hpacheck"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

const (
	// resizeAgain is how long a pod keeps a size, so that its effect is seen before the next.
	resizeAgain = 2 * time.Minute
	// resizesPerLook bounds the writes of one look over all policies; a policy has one of its pods resized at a time.
	resizesPerLook = 10
)

// candidate is a pod that should be resized.
type candidate struct {
	pod    *corev1.Pod
	resize resize
}

// inPlace resizes at most one of the candidates: the one that is held back most.
func (s *sizer) inPlace(ctx context.Context, p *v1alpha1.ScalePolicy, found sizing, candidates []candidate, waiting []string,
	now time.Time) sizing {
	hpas, err := s.hpas.HorizontalPodAutoscalers(p.Namespace).List(labels.Everything())
	if err != nil {
		found.ok, found.reason, found.message = false, reasonFailed, err.Error()
		return found
	}
	found.reason, found.message = reasonResizing, "running pods are given the recommended sizes, one at a time; "+found.message
	switch names := hpacheck.OnCPU(p, hpas); {
	case len(names) > 0:
		found.ok, found.reason = false, reasonCPUMetric
		found.message = fmt.Sprintf("nothing is resized: HPA %s scales on CPU, and both would act on what the other changes; "+
			"remove that metric or use vertical: Recommend", strings.Join(names, ", "))
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
		_, err = s.cfg.Clients.Kubernetes.CoreV1().Pods(p.Namespace).Patch(ctx, chosen.pod.Name, types.StrategicMergePatchType, patch,
			metav1.PatchOptions{FieldManager: "prescale"}, "resize")
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
		s.recorder.Eventf(p, chosen.pod, corev1.EventTypeWarning, "ResizeFailed", "Resize", "%s", cut(err.Error(), mostNote))
		found.ok, found.reason, found.message = false, reasonFailed, err.Error()
		return found
	}
	s.cfg.Logger.Info("resized in place", "policy", p.PolicyName(), "pod", chosen.pod.Name, "change", chosen.resize.text)
	s.recorder.Eventf(p, chosen.pod, corev1.EventTypeNormal, "Resized", "Resize", "%s", what)
	return found
}

// candidates returns the pods that should be resized, and what keeps the kubelet from earlier resizes.
func (s *sizer) candidates(p *v1alpha1.ScalePolicy, target string, pods []corev1.Pod, usages map[string]metricsv1beta1.PodMetrics,
	now time.Time) (found []candidate, waiting []string) {
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
