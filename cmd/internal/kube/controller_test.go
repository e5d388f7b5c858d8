package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/yaml"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

var start = time.Date(2026, 5, 4, 3, 0, 0, 0, time.UTC)

// rig is a controller over fake clients whose caches are filled, stepped by tick.
type rig struct {
	*Controller
	now      time.Time
	applied  [][]string
	unusable map[string]error
	events   *events.FakeRecorder
	patches  int
	// usage is the CPU by pod in the metrics API of sizingRig; nil means that there is none. fail is what a resize answers.
	usage map[string]string
	fail  error
	// best is the size that published decisions name.
	best scaler.SizeDecision
}

func policyObject(t *testing.T, name string, age time.Duration, spec string) *unstructured.Unstructured {
	t.Helper()
	var object map[string]any
	text := fmt.Sprintf("apiVersion: prescale.dev/v1alpha1\nkind: ScalePolicy\nmetadata: {name: %s, namespace: ai, uid: %s}\nspec: {%s}\n", name, name, spec)
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetGeneration(1) // a whole number, as the API server's
	u.SetCreationTimestamp(metav1.NewTime(start.Add(-age)))
	return u
}

const goodSpec = "kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}"

func newRig(t *testing.T, objects []runtime.Object, policies ...*unstructured.Unstructured) *rig {
	t.Helper()
	r := &rig{now: start, unusable: map[string]error{}, events: events.NewFakeRecorder(100)}
	var asObjects []runtime.Object
	for _, p := range policies {
		asObjects = append(asObjects, p)
	}
	fakeDynamic := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{v1alpha1.Resource(): "ScalePolicyList"}, asObjects...)
	fakeDynamic.PrependReactor("patch", "scalepolicies", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r.patches++
		return false, nil, nil
	})
	cfg := DefaultConfig()
	kubernetes := fake.NewClientset(objects...)
	kubernetes.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return r.fail != nil, nil, r.fail })
	cfg.Clients = Clients{Kubernetes: kubernetes, Dynamic: fakeDynamic, reach: &reach{}}
	cfg.Store = readmodel.NewStore(func() time.Time { return r.now })
	cfg.Logger, cfg.Registerer = slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	cfg.Apply = func(_ context.Context, accepted []*v1alpha1.ScalePolicy) map[string]error {
		var names []string
		for _, p := range accepted {
			names = append(names, p.PolicyName())
			cfg.Store.Expect(p.PolicyName(), 15*time.Second)
		}
		r.applied = append(r.applied, names)
		return r.unusable
	}
	controller, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Controller = controller
	r.recorder = r.events
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); r.factory.Shutdown(); r.dynamic.Shutdown() })
	r.factory.Start(ctx.Done())
	r.dynamic.Start(ctx.Done())
	r.factory.WaitForCacheSync(ctx.Done())
	r.dynamic.WaitForCacheSync(ctx.Done())
	return r
}

// step ticks after d and waits until the cache has what was written.
func (r *rig) step(t *testing.T, d time.Duration) {
	t.Helper()
	r.now = r.now.Add(d)
	before := r.patches
	r.tick(t.Context(), r.now)
	if r.patches == before {
		return
	}
	r.eventually(t, func() bool {
		for _, obj := range r.policies.GetStore().List() {
			cached := obj.(*unstructured.Unstructured)
			u, err := r.cfg.Clients.Dynamic.Resource(v1alpha1.Resource()).Namespace("ai").Get(t.Context(), cached.GetName(), metav1.GetOptions{})
			if err != nil || fmt.Sprint(u.Object) != fmt.Sprint(cached.Object) {
				return false
			}
		}
		return true
	})
}

func (r *rig) eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cache did not follow")
		}
	}
}

func (r *rig) status(t *testing.T, name string) v1alpha1.ScalePolicyStatus {
	t.Helper()
	u, err := r.cfg.Clients.Dynamic.Resource(v1alpha1.Resource()).Namespace("ai").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := fromUnstructured(u)
	if err != nil {
		t.Fatal(err)
	}
	return p.Status
}

func (r *rig) publish(name string, desired int, lag float64, verdicts ...scaler.Verdict) {
	r.cfg.Store.Publish(readmodel.Entry{
		Policy: name, At: r.now, Interval: 15 * time.Second, Usable: true,
		Observation: series.Observation{LagRecords: series.Of(lag), LagSeconds: series.Of(lag / 100), Partitions: series.Of(4)},
		Decision: scaler.Decision{
			Policy: name, At: r.now, DesiredReplicas: desired, CurrentReplicas: series.OfInt(1), Reason: scaler.ReasonForecast, Verdicts: verdicts,
			Terms: []scaler.Term{{Name: "forecast", Replicas: desired, Detail: "the 0.9 quantile of 800/s at 400/s a replica"}},
			Level: 0.9, ArrivalForecast: []scaler.QuantileValue{{Level: 0.9, Value: 812.345}}, HorizonSteps: 6, Size: r.best,
		},
	})
}

func (r *rig) said() []string {
	var said []string
	for {
		select {
		case e := <-r.events.Events:
			said = append(said, e)
		default:
			return said
		}
	}
}

func conditionOf(s v1alpha1.ScalePolicyStatus, kind string) string {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return string(c.Status) + " " + c.Reason
		}
	}
	return "absent"
}

func TestStatusFollowsTheDecision(t *testing.T) {
	r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec))
	r.step(t, 0)
	if s := r.status(t, "a"); conditionOf(s, "Ready") != "False NotReady" || s.DesiredReplicas != nil || conditionOf(s, "Accepted") != "True Accepted" || conditionOf(s, "HPA") != "False NoHPA" {
		t.Fatalf("before the first sample: %+v", s)
	}
	r.publish("ai/a", 3, 1200, scaler.VerdictHotPartition)
	r.step(t, 10*time.Second)
	s := r.status(t, "a")
	if *s.DesiredReplicas != 3 || s.Reason != "Forecast" || *s.LagRecords != 1200 || s.Forecast.RecordsPerSecond != 812 || s.VerdictSummary != "HotPartition" ||
		conditionOf(s, "Ready") != "True Deciding" || s.ObservedGeneration != 1 || !strings.Contains(s.Message, "0.9 quantile") {
		t.Fatalf("after the first decision: %+v", s)
	}
	r.step(t, time.Hour)
	s = r.status(t, "a")
	if s.DesiredReplicas != nil || s.LagRecords != nil || s.VerdictSummary != "" || conditionOf(s, "Ready") != "False Stale" {
		t.Errorf("an hour without a sample: %+v", s)
	}
	r.publish("ai/a", 3, 0)
	r.step(t, 10*time.Second)
	var short []string
	for _, e := range r.said() {
		if strings.HasPrefix(e, "Warning HotPartition ") && !strings.Contains(e, "larger replicas, more partitions or other keys") {
			t.Errorf("the event does not say what to do: %s", e)
		}
		short = append(short, strings.Join(strings.Fields(e)[:2], " "))
	}
	want := []string{
		"Warning ReadyNotReady", "Warning HPANoHPA",
		"Warning HotPartition", "Normal ReadyDeciding",
		"Warning ReadyStale",
		"Normal HotPartitionOver", "Normal ReadyDeciding",
	}
	if !slices.Equal(short, want) {
		t.Errorf("events: got %q, want %q", short, want)
	}
}

// TestNumbersAloneAreWrittenOnceAMinute: a decision every 15 s whose numbers change costs one write a minute, news one at
// once.
func TestNumbersAloneAreWrittenOnceAMinute(t *testing.T) {
	r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec))
	r.publish("ai/a", 3, 100)
	r.step(t, 0)
	for i := range 40 { // ten minutes
		r.publish("ai/a", 3, float64(1000+100*i))
		r.step(t, 15*time.Second)
	}
	if r.patches < 10 || r.patches > 12 {
		t.Errorf("ten minutes of changing numbers: %d writes, want about 11", r.patches)
	}
	before := r.patches
	for range 100 {
		r.step(t, 0)
	}
	if r.patches != before {
		t.Errorf("%d writes without any change", r.patches-before)
	}
	r.publish("ai/a", 4, 100)
	r.step(t, 6*time.Second)
	if r.patches != before+1 {
		t.Errorf("another decision: %d writes, want 1", r.patches-before)
	}
}

func TestConflictsAndInvalidPoliciesAreRefused(t *testing.T) {
	target := goodSpec + ", scaleTargetRef: {kind: Deployment, name: web}"
	r := newRig(t, nil,
		policyObject(t, "young", time.Minute, target),
		policyObject(t, "old", time.Hour, target),
		policyObject(t, "wrong", time.Hour, "kafka: {group: g}, objective: {lagSeconds: -1}, replicas: {max: 4}"),
		policyObject(t, "elsewhere", time.Hour, goodSpec))
	r.unusable["ai/elsewhere"] = errors.New(`kafka.cluster: "west": not among clusters: [main]`)
	r.step(t, 0)
	if n := testutil.CollectAndCount(r.refusals); n != 3 || testutil.ToFloat64(r.refusals.WithLabelValues("ai", "young", "Conflict")) != 1 {
		t.Errorf("%d policies are told as refused, want 3, young for a conflict", n)
	}
	if want := [][]string{{"ai/elsewhere", "ai/old"}}; fmt.Sprint(r.applied) != fmt.Sprint(want) {
		t.Errorf("applied %v, want %v", r.applied, want)
	}
	for name, want := range map[string]string{"young": "False Conflict", "old": "True Accepted", "wrong": "False Invalid", "elsewhere": "False Unusable"} {
		if got := conditionOf(r.status(t, name), "Accepted"); got != want {
			t.Errorf("%s: accepted %s, want %s", name, got, want)
		}
	}
	var notRun *readmodel.RefusedError
	if _, err := r.cfg.Store.Get("ai/young"); !errors.As(err, &notRun) || !strings.Contains(err.Error(), "Conflict: Deployment web is scaled by the older policy old") {
		t.Errorf("what is answered of a refused policy: %v", err)
	}
	// The older one goes: the younger takes over.
	if err := r.cfg.Clients.Dynamic.Resource(v1alpha1.Resource()).Namespace("ai").Delete(t.Context(), "old", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, func() bool { return len(r.policies.GetStore().List()) == 3 })
	r.step(t, time.Minute)
	if n := testutil.CollectAndCount(r.refusals); n != 2 {
		t.Errorf("after the older was deleted %d policies are told as refused, want 2", n)
	}
	if got := fmt.Sprint(r.applied[len(r.applied)-1]); got != "[ai/elsewhere ai/young]" {
		t.Errorf("after the older was deleted: applied %s", got)
	}
	if _, err := r.cfg.Store.Get("ai/young"); errors.As(err, &notRun) {
		t.Errorf("after the older was deleted: %v", err)
	}
	r.step(t, time.Minute)
	if len(r.applied) != 2 {
		t.Errorf("applied %d times, want twice: status writes are no changes", len(r.applied))
	}
}

// One whose content is of another version of the CustomResourceDefinition says so in its status and by an event, and the others are run.
func TestAPolicyThatCannotBeReadIsRefused(t *testing.T) {
	r := newRig(t, nil, policyObject(t, "good", time.Hour, goodSpec), policyObject(t, "strange", time.Hour, "kafka: {group: [g]}"))
	object := func() (*unstructured.Unstructured, error) {
		return r.cfg.Clients.Dynamic.Resource(v1alpha1.Resource()).Namespace("ai").Get(t.Context(), "strange", metav1.GetOptions{})
	}
	r.step(t, 0)
	if want := "[[ai/good]]"; fmt.Sprint(r.applied) != want {
		t.Errorf("applied %v, want %s", r.applied, want)
	}
	u, err := object()
	if err != nil {
		t.Fatal(err)
	}
	p, err := fromUnstructured(u)
	if err == nil || conditionOf(p.Status, "Accepted") != "False Invalid" || !strings.Contains(fmt.Sprint(p.Status.Conditions), "another version") {
		t.Errorf("%v: status %+v, want it to be refused with what to do", err, p.Status)
	}
	if said := fmt.Sprint(r.said()); !strings.Contains(said, "Warning AcceptedInvalid it cannot be read") {
		t.Errorf("events: %s", said)
	}
	before := r.patches
	r.step(t, time.Hour)
	if r.patches > before+1 { // that of the other
		t.Errorf("%d more writes, of a status that is the same", r.patches-before)
	}
	listed, unreadable, err := listPolicies(t.Context(), r.cfg.Clients, "", true)
	if err != nil || len(listed) != 2 || len(unreadable) != 1 || unreadable["ai/strange"] == nil {
		t.Errorf("prescale check lists %d policies, cannot read %v, %v", len(listed), unreadable, err)
	}
}

// A refusal may be long, as with hundreds of schedules that are wrong: the condition has all of it, the event what fits, which ends with a
// whole character.
func TestLongMessagesAreCut(t *testing.T) {
	r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec))
	r.unusable["ai/a"] = errors.New(strings.Repeat("é", 1500))
	r.step(t, 0)
	if c := fmt.Sprint(r.status(t, "a").Conditions); !strings.Contains(c, strings.Repeat("é", 1500)) {
		t.Errorf("the condition lacks a part: %s", c)
	}
	for _, e := range r.said() {
		if note := strings.Join(strings.Fields(e)[2:], " "); len(note) > 1024 || !utf8.ValidString(note) || strings.HasPrefix(note, "é") && !strings.HasSuffix(note, "é...") {
			t.Errorf("an event of %d bytes: %q", len(note), note)
		}
	}
	if got := cut(strings.Repeat("é", 20000), mostMessage); len(got) > mostMessage || !utf8.ValidString(got) {
		t.Errorf("%d bytes, of at most %d", len(got), mostMessage)
	}
}

func TestOnlyTheOwnerWrites(t *testing.T) {
	r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec))
	r.cfg.Owns = func(string) bool { return false }
	r.cfg.Store.Expect("ai/a", 15*time.Second)
	r.publish("ai/a", 3, 100)
	r.step(t, 0)
	if r.patches != 0 || len(r.said()) != 0 {
		t.Errorf("%d writes by a replica that does not own the policy", r.patches)
	}
	// Kafka is gone, and with it perhaps every owner.
	r.step(t, time.Hour)
	if got := conditionOf(r.status(t, "a"), "Ready"); got != "False Stale" || len(r.said()) != 0 {
		t.Errorf("without an owner: ready %s", got)
	}
}

// TestWritesThatHangHoldUpNothingElse: while the API server does not answer them, policies are still applied.
func TestWritesThatHangHoldUpNothingElse(t *testing.T) {
	var policies []*unstructured.Unstructured
	for i := range 5 {
		policies = append(policies, policyObject(t, fmt.Sprintf("p%d", i), time.Hour, goodSpec))
	}
	r := newRig(t, nil, policies...)
	end := make(chan struct{})
	asked := atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1); <-end }))
	defer server.Close()
	defer close(end)
	silent, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	r.cfg.Clients.Dynamic, r.cfg.WritesWithin = silent, 100*time.Millisecond
	began := time.Now()
	r.step(t, 0)
	if took := time.Since(began); took > 2*time.Second || asked.Load() != 1 {
		t.Errorf("a look took %v, and %d writes were tried, want one for 100ms", took, asked.Load())
	}
}

// TestAChangeDoesNotWaitForSlowWrites: where they have taken the time of a look already, a policy that has changed is applied first.
func TestAChangeDoesNotWaitForSlowWrites(t *testing.T) {
	var policies []*unstructured.Unstructured
	for i := range 5 {
		policies = append(policies, policyObject(t, fmt.Sprintf("p%d", i), time.Hour, goodSpec))
	}
	r := newRig(t, nil, policies...)
	r.cfg.Interval = time.Nanosecond // over at once
	r.cfg.Clients.Dynamic.(*dynamicfake.FakeDynamicClient).PrependReactor("patch", "scalepolicies", func(clienttesting.Action) (bool, runtime.Object, error) {
		if r.patches == 0 {
			r.changed.Store(true) // as the informer does
		}
		return false, nil, nil
	})
	r.step(t, 0)
	if r.patches != 1 {
		t.Errorf("%d statuses were written before what changed was applied, want the one under way", r.patches)
	}
	r.step(t, time.Second)
	if r.patches != 5 {
		t.Errorf("%d statuses were written in the end, want all 5", r.patches)
	}
	if r.changed.Load() {
		t.Error("a status is taken for a change")
	}
	r.edit(t, "p0")
	r.eventually(t, r.changed.Load)
}

// edit gives a policy another generation, as the API server does where its spec changes.
func (r *rig) edit(t *testing.T, name string) {
	t.Helper()
	policies := r.cfg.Clients.Dynamic.Resource(v1alpha1.Resource()).Namespace("ai")
	u, err := policies.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.SetGeneration(u.GetGeneration() + 1)
	if _, err = policies.Update(t.Context(), u, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestAReplicaThatKnowsNothingYetWritesNothing: one that has just begun, or that is cut off from Kafka, knows no answer that another shows
// in the status. It says so where that one has gone quiet.
// A right that is missing keeps everything waiting, so that the log has to say what for.
func TestKindsThatAreNotListedAreNamed(t *testing.T) {
	kubernetes := fake.NewClientset()
	kubernetes.PrependReactor("list", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("nodes"), "", errors.New("no right"))
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := &firstWrite{done: cancel}
	cfg := DefaultConfig()
	cfg.ListsWithin = time.Millisecond
	cfg.Logger, cfg.Registerer = slog.New(slog.NewTextHandler(told, nil)), prometheus.NewRegistry()
	cfg.Store = readmodel.NewStore(time.Now)
	cfg.Clients = Clients{Kubernetes: kubernetes, Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{v1alpha1.Resource(): "ScalePolicyList"})}
	cfg.Apply = func(context.Context, []*v1alpha1.ScalePolicy) map[string]error {
		t.Error("policies were applied without knowing the nodes")
		return nil
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(told.text, "Node") || !strings.Contains(told.text, "grant list and watch") {
		t.Errorf("told %q, which does not name nodes or what to do", told.text)
	}
}

// firstWrite keeps the first text that is written, and calls done then.
type firstWrite struct {
	text string
	done func()
}

func (w *firstWrite) Write(b []byte) (int, error) {
	if w.text == "" {
		w.text = string(b)
		w.done()
	}
	return len(b), nil
}

func TestAReplicaThatKnowsNothingYetWritesNothing(t *testing.T) {
	r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec))
	owned := true
	r.cfg.Owns = func(string) bool { return owned }
	r.publish("ai/a", 3, 100)
	r.step(t, 0)
	written := r.patches
	r.cfg.Store.Forget("ai/a")
	r.cfg.Store.Expect("ai/a", 15*time.Second)
	owned = false
	for range 10 {
		r.step(t, 6*time.Second)
	}
	if got := conditionOf(r.status(t, "a"), "Ready"); got != "True Deciding" || r.patches != written {
		t.Errorf("within a minute of the owner's word: ready %s, %d writes", got, r.patches-written)
	}
	r.step(t, 2*time.Minute)
	if got := conditionOf(r.status(t, "a"), "Ready"); got != "False NotReady" {
		t.Errorf("three minutes after the owner's last word: ready %s", got)
	}
}

// TestAPolicyMadeAnewIsAnotherOne: what was said of one that was deleted is no news of the next of its name.
func TestAPolicyMadeAnewIsAnotherOne(t *testing.T) {
	r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec))
	r.publish("ai/a", 3, 100, scaler.VerdictHotPartition)
	r.step(t, 0)
	r.said()
	policies := r.cfg.Clients.Dynamic.Resource(v1alpha1.Resource()).Namespace("ai")
	if err := policies.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	next := policyObject(t, "a", 0, goodSpec)
	next.SetUID("another")
	if _, err := policies.Create(t.Context(), next, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, func() bool {
		return slices.ContainsFunc(r.policies.GetStore().List(), func(obj any) bool {
			accessor, ok := obj.(metav1.Object)
			return ok && accessor.GetUID() == "another"
		})
	})
	r.cfg.Store.Forget("ai/a")
	r.step(t, time.Second)
	if said := r.said(); slices.ContainsFunc(said, func(e string) bool { return strings.Contains(e, "HotPartition") }) {
		t.Errorf("said of the new one: %q", said)
	}
	r.publish("ai/a", 3, 100)
	r.step(t, 10*time.Second)
	if said := r.said(); slices.ContainsFunc(said, func(e string) bool { return strings.Contains(e, "HotPartition") }) {
		t.Errorf("said of the new one: %q", said)
	}
	if err := policies.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, func() bool { return len(r.policies.GetStore().List()) == 0 })
	r.tick(t.Context(), r.now.Add(time.Minute))
	if n := len(r.announced) + len(r.written); n != 0 {
		t.Errorf("%d things are kept of policies that are gone", n)
	}
}

func pod(name string, created time.Time, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ai", UID: types.UID(name), Labels: map[string]string{"app": "web"}, CreationTimestamp: metav1.NewTime(created)},
		Spec:       corev1.PodSpec{NodeName: node},
	}
}

func withCondition(p *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus, reason string, at time.Time) *corev1.Pod {
	p = p.DeepCopy()
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(at)})
	return p
}

func TestStartUpTimesComeFromPods(t *testing.T) {
	node := func(name string, created time.Time) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(created)}}
	}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ai"},
		Spec:       appsv1.DeploymentSpec{Replicas: pointer(int32(5)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	longAgo := start.Add(-time.Hour)
	r := newRig(t, []runtime.Object{
		deployment, node("old", longAgo), node("new", start.Add(30*time.Second)),
		withCondition(pod("before", longAgo, "old"), corev1.PodReady, corev1.ConditionTrue, "", longAgo.Add(time.Minute)),
	}, policyObject(t, "a", time.Hour, goodSpec+", scaleTargetRef: {kind: Deployment, name: web}"))
	r.step(t, 0)
	pods := r.cfg.Clients.Kubernetes.CoreV1().Pods("ai")
	for _, p := range []*corev1.Pod{pod("quick", start, "old"), pod("slow", start, "new"), pod("full", start, ""), pod("gone", start, "old")} {
		if p.Name == "full" {
			p = withCondition(p, corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, start)
		}
		if _, err := pods.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, took := range map[string]time.Duration{"quick": 12 * time.Second, "slow": 150 * time.Second} {
		p, err := pods.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.Status.PodIP = map[string]string{"quick": "10.0.0.1", "slow": "10.0.0.2"}[name]
		if _, err := pods.Update(t.Context(), withCondition(p, corev1.PodReady, corev1.ConditionTrue, "", start.Add(took)), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually(t, func() bool {
		r.workloads.mu.Lock()
		defer r.workloads.mu.Unlock()
		return len(r.workloads.startups["ai/a"]) == 2
	})
	o := series.Observation{Policy: "ai/a", At: r.now}
	r.workloads.Annotate(r.now, &o)
	if o.ReadyReplicas != series.Of(3) || o.StartingReplicas != series.Of(2) || fmt.Sprint(o.StartupSeconds) != "[12]" || fmt.Sprint(o.ProvisionedStartupSeconds) != "[150]" {
		t.Errorf("got ready %v, starting %v, started in %v and with a new node in %v", o.ReadyReplicas, o.StartingReplicas, o.StartupSeconds, o.ProvisionedStartupSeconds)
	}
	if c, _, ok := r.workloads.Count("ai/a", r.now); !ok || c.Pending != 1 || c.Stuck != 0 {
		t.Errorf("got %+v, want one pod that no node has room for", c)
	}
	addresses := r.workloads.Addresses("ai/a")
	slices.Sort(addresses)
	if fmt.Sprint(addresses) != "[10.0.0.1 10.0.0.2]" {
		t.Errorf("addresses of ready pods: got %v", addresses)
	}
	again := series.Observation{Policy: "ai/a", At: r.now}
	r.workloads.Annotate(r.now, &again)
	if len(again.StartupSeconds)+len(again.ProvisionedStartupSeconds) != 0 {
		t.Errorf("start-ups were told twice: %v %v", again.StartupSeconds, again.ProvisionedStartupSeconds)
	}
}

func TestATargetThatIsNotThereIsAProblemAndNotZero(t *testing.T) {
	for kind, want := range map[string]string{"Deployment": "Deployment nowhere is not there", "Rollout": "Rollout nowhere: of this kind pods are not known"} {
		r := newRig(t, nil, policyObject(t, "a", time.Hour, goodSpec+", scaleTargetRef: {kind: "+kind+", name: nowhere}"))
		r.step(t, 0)
		o := series.Observation{Policy: "ai/a", At: r.now}
		r.workloads.Annotate(r.now, &o)
		if o.ReadyReplicas.Known() || o.StartingReplicas.Known() || len(o.Problems) != 1 || !strings.Contains(o.Problems[0], want) {
			t.Errorf("got ready %v, starting %v, problems %q, want %q", o.ReadyReplicas, o.StartingReplicas, o.Problems, want)
		}
	}
}

func addressesOf(pools map[string][][]netip.Addr) string {
	var all []string
	for pool, pods := range pools {
		for _, addresses := range pods {
			var one []string
			for _, a := range addresses {
				one = append(one, a.String())
			}
			all = append(all, pool+": "+strings.Join(one, "+"))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func TestPoolsAreCountedApart(t *testing.T) {
	deployment := func(pool string, replicas int32) *appsv1.Deployment {
		return &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "web-" + pool, Namespace: "ai"},
			Spec:       appsv1.DeploymentSpec{Replicas: pointer(replicas), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"pool": pool}}},
		}
	}
	in := func(p *corev1.Pod, pool string) *corev1.Pod { p.Labels = map[string]string{"pool": pool}; return p }
	working := func(name, pool string) *corev1.Pod {
		return withCondition(in(pod(name, start, "n"), pool), corev1.PodReady, corev1.ConditionTrue, "", start)
	}
	on := func(p *corev1.Pod, ips ...string) *corev1.Pod {
		p.Status.PodIP = ips[0]
		for _, ip := range ips {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
		}
		return p
	}
	r := newRig(t, []runtime.Object{
		deployment("gpu", 3), deployment("cpu", 1),
		on(working("g1", "gpu"), "10.0.0.1"), on(working("g2", "gpu"), "10.0.0.2"), on(working("c1", "cpu"), "10.0.1.1", "fd00::1"),
		withCondition(in(pod("g3", start, ""), "gpu"), corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, start),
	}, policyObject(t, "a", time.Hour, goodSpec+", pools: [{name: gpu, max: 8, scaleTargetRef: {kind: Deployment, name: web-gpu}}, {name: cpu, max: 4, scaleTargetRef: {kind: Deployment, name: web-cpu}}]"))
	r.step(t, 0)
	at := func(d time.Duration) string {
		o := series.Observation{Policy: "ai/a", At: start.Add(d)}
		r.workloads.Annotate(o.At, &o)
		s := fmt.Sprint(o.ReadyReplicas, o.StartingReplicas, o.UnschedulableReplicas)
		for _, p := range o.Pools {
			s += fmt.Sprint("; "+p.Name+" ", p.ReadyReplicas, p.StartingReplicas, p.UnschedulableReplicas)
		}
		return s
	}
	if got, want := addressesOf(r.workloads.PoolAddresses("ai/a")), "cpu: 10.0.1.1+fd00::1, gpu: 10.0.0.1, gpu: 10.0.0.2"; got != want {
		t.Errorf("addresses: got %q, want %q", got, want)
	}
	if got, want := at(29*time.Second), "3 1 0; gpu 2 1 0; cpu 1 0 0"; got != want {
		t.Errorf("at once: got %q, want %q", got, want)
	}
	if got, want := at(30*time.Second), "3 1 1; gpu 2 1 1; cpu 1 0 0"; got != want {
		t.Errorf("after half a minute: got %q, want %q", got, want)
	}
	r.cfg.Store.Publish(readmodel.Entry{
		Policy: "ai/a", At: r.now, Interval: 15 * time.Second, Usable: true,
		Decision: scaler.Decision{Policy: "ai/a", DesiredReplicas: 4, Verdicts: []scaler.Verdict{scaler.VerdictUnschedulable}, Pools: []scaler.PoolDecision{{Name: "gpu", DesiredReplicas: 3}, {Name: "cpu", DesiredReplicas: 2}}},
	})
	r.step(t, 10*time.Second)
	s := r.status(t, "a")
	if len(s.Pools) != 2 || *s.Pools[0].DesiredReplicas != 3 || *s.Pools[0].ReadyReplicas != 2 || *s.Pools[0].PendingReplicas != 1 ||
		*s.Pools[1].DesiredReplicas != 2 || *s.Pools[1].ReadyReplicas != 1 || s.Pools[1].PendingReplicas != nil || s.VerdictSummary != "Unschedulable" {
		t.Errorf("got %+v and verdicts %q", s.Pools, s.VerdictSummary)
	}
}
