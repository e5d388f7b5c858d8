package kube

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// TestReplicasThatAQuotaRefusesAreUnschedulable: there is no pod that could say why it does not start, but the Deployment does.
func TestReplicasThatAQuotaRefusesAreUnschedulable(t *testing.T) {
	const words = `pods "web-gpu-7c-" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2`
	deployment := func(pool string, replicas int32, conditions ...appsv1.DeploymentCondition) *appsv1.Deployment {
		return &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "web-" + pool, Namespace: "ai"},
			Spec:       appsv1.DeploymentSpec{Replicas: pointer(replicas), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"pool": pool}}},
			Status:     appsv1.DeploymentStatus{Conditions: conditions},
		}
	}
	condition := func(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason string) appsv1.DeploymentCondition {
		return appsv1.DeploymentCondition{Type: kind, Status: status, Reason: reason, Message: words, LastTransitionTime: metav1.NewTime(start)}
	}
	in := func(p *corev1.Pod, pool string) *corev1.Pod { p.Labels = map[string]string{"pool": pool}; return p }
	evicted := in(pod("g3", start, "n"), "gpu") // the quota counts it no more, and neither does its ReplicaSet
	evicted.Status.Phase = corev1.PodFailed
	for _, tt := range []struct {
		name      string
		condition appsv1.DeploymentCondition
		after     time.Duration
		want      string // ready, starting and unschedulable, of all and of the pool
		refused   bool
	}{
		{"at once", condition(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue, "FailedCreate"), 29 * time.Second, "1 4 0; 1 4 0", true},
		{"after half a minute", condition(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue, "FailedCreate"), 30 * time.Second, "1 4 3; 1 4 3", true},
		{"over", condition(appsv1.DeploymentReplicaFailure, corev1.ConditionFalse, "FailedCreate"), time.Hour, "1 4 0; 1 4 0", false},
		{"too many", condition(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue, "FailedDelete"), time.Hour, "1 4 0; 1 4 0", false},
		{"slow", condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, "ProgressDeadlineExceeded"), time.Hour, "1 4 0; 1 4 0", false},
	} {
		r := newRig(t, []runtime.Object{
			deployment("gpu", 5, tt.condition), deployment("cpu", 0), evicted,
			withCondition(in(pod("g1", start, "n"), "gpu"), corev1.PodReady, corev1.ConditionTrue, "", start), in(pod("g2", start, "n"), "gpu"),
		}, policyObject(t, "a", time.Hour, goodSpec+", pools: [{name: gpu, max: 8, scaleTargetRef: {kind: Deployment, name: web-gpu}}, {name: cpu, max: 4, scaleTargetRef: {kind: Deployment, name: web-cpu}}]"))
		r.step(t, 0)
		o := series.Observation{Policy: "ai/a", At: start.Add(tt.after)}
		r.workloads.Annotate(o.At, &o)
		got := fmt.Sprint(o.ReadyReplicas, o.StartingReplicas, o.UnschedulableReplicas, "; ", o.Pools[0].ReadyReplicas, o.Pools[0].StartingReplicas, o.Pools[0].UnschedulableReplicas)
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		why := "Deployment web-gpu: 3 of 5 replicas are not made: " + words
		if told := len(o.Problems) == 1 && o.Problems[0] == why; told != tt.refused || !tt.refused && len(o.Problems) > 0 {
			t.Errorf("%s: problems %q", tt.name, o.Problems)
		}
		r.cfg.Store.Publish(readmodel.Entry{
			Policy: "ai/a", At: r.now, Interval: 15 * time.Second, Usable: true,
			Decision: scaler.Decision{Policy: "ai/a", DesiredReplicas: 5, Verdicts: []scaler.Verdict{scaler.VerdictUnschedulable}},
		})
		r.step(t, 10*time.Second)
		s := r.status(t, "a")
		if ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); ready == nil || strings.HasSuffix(ready.Message, why) != tt.refused || ready.Status != metav1.ConditionTrue {
			t.Errorf("%s: condition %+v", tt.name, ready)
		}
		if pending := s.PendingReplicas; tt.refused != (pending != nil && *pending == 3 && *s.Pools[0].PendingReplicas == 3) {
			t.Errorf("%s: pending %v", tt.name, pending)
		}
		told := false
		for len(r.events.Events) > 0 {
			event := <-r.events.Events
			told = told || strings.Contains(event, "Unschedulable holds now") && strings.HasSuffix(event, why)
		}
		if told != tt.refused {
			t.Errorf("%s: the event tells it %v, want %v", tt.name, told, tt.refused)
		}
	}
}

// TestReplicasOfAStatefulSetThatAreNotMade: what refuses them stands in events, so that only their staying away for long tells it.
func TestReplicasOfAStatefulSetThatAreNotMade(t *testing.T) {
	in := func(name string, ready bool) *corev1.Pod {
		p := pod(name, start, "n")
		p.Labels = map[string]string{"app": "web"}
		if ready {
			p = withCondition(p, corev1.PodReady, corev1.ConditionTrue, "", start)
		}
		return p
	}
	ending := in("w2", true)
	ending.DeletionTimestamp, ending.Finalizers = pointer(metav1.NewTime(start)), []string{"example.org/wait"}
	for _, tt := range []struct {
		name         string
		pods         []runtime.Object
		minReady     int32
		after        time.Duration
		unanswered   bool
		starting     int
		notScheduled int
	}{
		{"at once", []runtime.Object{in("w0", true), in("w1", true)}, 0, 29 * time.Second, false, 3, 0},
		{"after half a minute", []runtime.Object{in("w0", true), in("w1", true)}, 0, 30 * time.Second, false, 3, 3},
		{"none at all", nil, 0, 30 * time.Second, false, 5, 5},
		{"one after the other", []runtime.Object{in("w0", true), in("w1", false)}, 0, time.Hour, false, 4, 0},
		{"each ready for a minute first", []runtime.Object{in("w0", true), in("w1", true)}, 60, 89 * time.Second, false, 3, 0},
		{"and more", []runtime.Object{in("w0", true), in("w1", true)}, 60, 90 * time.Second, false, 3, 3},
		{"replaced", []runtime.Object{in("w0", true), in("w1", true), ending}, 0, time.Hour, false, 3, 0},
		{"no news", []runtime.Object{in("w0", true), in("w1", true)}, 0, time.Hour, true, 3, 0},
	} {
		set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ai"}, Spec: appsv1.StatefulSetSpec{
			Replicas: pointer(int32(5)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, MinReadySeconds: tt.minReady}}
		r := newRig(t, append(tt.pods, set), policyObject(t, "a", time.Hour, goodSpec+", scaleTargetRef: {kind: StatefulSet, name: web}"))
		r.step(t, 0)
		if tt.unanswered {
			r.workloads.reach.since, r.workloads.reach.err = start, errors.New("connection refused")
		}
		o := series.Observation{Policy: "ai/a", At: start.Add(tt.after)}
		r.workloads.Annotate(o.At, &o)
		if got, want := fmt.Sprint(o.StartingReplicas, o.UnschedulableReplicas), fmt.Sprint(tt.starting, tt.notScheduled); got != want {
			t.Errorf("%s: starting and unschedulable: got %s, want %s", tt.name, got, want)
		}
		why := fmt.Sprintf("StatefulSet web: %d of 5 replicas are not made; kubectl -n ai describe statefulset web says what refuses them", tt.starting)
		if told := slices.Contains(o.Problems, why); told != (tt.notScheduled > 0) {
			t.Errorf("%s: problems %q", tt.name, o.Problems)
		}
	}
}
