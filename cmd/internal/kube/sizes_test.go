package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsfake "k8s.io/metrics/pkg/client/clientset/versioned/fake"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

func TestResized(t *testing.T) {
	within := wish{target: 1, lower: 0.5, upper: 2, used: 0.1, shrink: true}
	with := func(change func(*wish)) wish { w := within; change(&w); return w }
	for _, tt := range []struct {
		name string
		now  grant
		wish wish
		want grant // the zero value: nothing changes
	}{
		{"within its bounds", grant{0.6, 1.2}, within, grant{}},
		{"too small, with a bound", grant{0.4, 0.8}, with(func(w *wish) { w.most = 4 }), grant{1, 2}},
		{"too small, up to the bound", grant{0.4, 0.8}, with(func(w *wish) { w.most = 0.9 }), grant{0.9, 0.9}},
		{"too small, without a bound: within its limit", grant{0.4, 0.8}, within, grant{0.8, 0.8}},
		{"guaranteed without a bound", grant{0.4, 0.4}, within, grant{}},
		{"guaranteed with a bound stays so", grant{0.4, 0.4}, with(func(w *wish) { w.most = 4 }), grant{1, 1}},
		{"no limit and no bound", grant{0.4, 0}, within, grant{}},
		{"no limit, with a bound", grant{0.4, 0}, with(func(w *wish) { w.most = 4 }), grant{1, 0}},
		{"no request", grant{0, 1}, with(func(w *wish) { w.most = 4 }), grant{}},
		{"too large", grant{3, 6}, with(func(w *wish) { w.most = 8 }), grant{1, 2}},
		{"too large and may not shrink", grant{3, 6}, with(func(w *wish) { w.most, w.shrink = 8, false }), grant{}},
		{"too large and beyond the bound", grant{3, 6}, with(func(w *wish) { w.most = 2 }), grant{1, 2}},
		{"hot and pressed", grant{0.6, 1.2}, with(func(w *wish) { w.most, w.growth, w.used = 4, 1.5, 1.1 }), grant{0.9, 1.8}},
		{"hot, pressed and at the bound", grant{1, 2}, with(func(w *wish) { w.most, w.growth, w.used = 1, 1.5, 2 }), grant{}},
		{"hot and idle", grant{0.6, 1.2}, with(func(w *wish) { w.most, w.growth = 4, 1.5 }), grant{}},
		{"pressed and not hot", grant{0.6, 1.2}, with(func(w *wish) { w.most, w.used = 4, 1.2 }), grant{}},
		{"less than 5 % too small", grant{0.49, 0.98}, with(func(w *wish) { w.target, w.most = 0.5, 4 }), grant{}},
	} {
		got, ok := tt.now.resized(tt.wish)
		if tt.want == (grant{}) {
			if ok {
				t.Errorf("%s: got %v, want no change", tt.name, got)
			}
			continue
		}
		if !ok || got.request < tt.want.request-1e-9 || got.request > tt.want.request+1e-9 || got.limit < tt.want.limit-1e-9 || got.limit > tt.want.limit+1e-9 {
			t.Errorf("%s: got %v, %t, want %v", tt.name, got, ok, tt.want)
		}
	}
}

// sizingRig is a rig with one Deployment of two pods of 100m/200m CPU and 300Mi, one of them pressed, and a metrics API that has
// their usage.
func sizingRig(t *testing.T, spec string, more ...runtime.Object) *rig {
	t.Helper()
	object := func(name string) *corev1.Pod {
		p := withCondition(pod(name, start, "n"), corev1.PodReady, corev1.ConditionTrue, "", start)
		p.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("300Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m"), corev1.ResourceMemory: resource.MustParse("300Mi")},
		}}}
		return p
	}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ai"},
		Spec:       appsv1.DeploymentSpec{Replicas: pointer(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	var policies []*unstructured.Unstructured
	policies = append(policies, policyObject(t, "a", time.Hour, goodSpec+", scaleTargetRef: {kind: Deployment, name: web}, "+spec))
	r := newRig(t, append([]runtime.Object{deployment, object("busy"), object("idle")}, more...), policies...)
	r.usage = map[string]string{"busy": "195m", "idle": "20m"}
	client := &metricsfake.Clientset{}
	client.AddReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		if r.usage == nil {
			return true, nil, apierrors.NewNotFound(metricsv1beta1.Resource("pods"), "")
		}
		list := &metricsv1beta1.PodMetricsList{}
		for name, cpu := range r.usage {
			list.Items = append(list.Items, metricsv1beta1.PodMetrics{
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ai", Labels: map[string]string{"app": "web"}}, Timestamp: metav1.NewTime(r.now), Window: metav1.Duration{Duration: 15 * time.Second},
				Containers: []metricsv1beta1.ContainerMetrics{{Name: "main", Usage: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("100Mi")}}},
			})
		}
		return true, list, nil
	})
	r.cfg.Clients.Metrics = client
	return r
}

// look makes the status current, looks, and shows what it found.
func (r *rig) look(t *testing.T, d time.Duration) {
	t.Helper()
	r.step(t, d)
	r.sizer.look(t.Context(), r.now)
	r.step(t, time.Minute)
}

// size returns the CPU of a pod: request/limit.
func (r *rig) size(t *testing.T, name string) string {
	t.Helper()
	p, err := r.cfg.Clients.Kubernetes.CoreV1().Pods("ai").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := p.Spec.Containers[0].Resources
	return c.Requests.Cpu().String() + "/" + c.Limits.Cpu().String()
}

func TestRecommendationsAreShownAndNotCarriedOut(t *testing.T) {
	r := sizingRig(t, "vertical: Recommend")
	r.publish("ai/a", 2, 100)
	for range 20 {
		r.look(t, time.Minute)
		r.publish("ai/a", 2, 100)
	}
	s := r.status(t, "a")
	// Of two pods one uses 195m all the time: the 0.9 quantile plus 15 % is 224m, rounded up to a bucket of at most 5 % and 10m.
	if len(s.Vertical) != 1 || s.Vertical[0].Target != "Deployment/web" || s.Vertical[0].Container != "main" || s.Vertical[0].Request.CPU.MilliValue() < 224 || s.Vertical[0].Request.CPU.MilliValue() > 250 ||
		s.Vertical[0].Lower.CPU.Cmp(s.Vertical[0].Request.CPU) > 0 || conditionOf(s, "Vertical") != "True Recommending" {
		t.Errorf("got %+v, %s", s.Vertical, conditionOf(s, "Vertical"))
	}
	if got := r.size(t, "busy"); got != "100m/200m" {
		t.Errorf("recommended only, and the pod has %s", got)
	}
}

func TestWhatWasLearnedOutlivesTheProcess(t *testing.T) {
	r := sizingRig(t, "vertical: Recommend")
	look := func(times int) v1alpha1.ContainerSize {
		t.Helper()
		for range times {
			r.publish("ai/a", 2, 100)
			r.look(t, time.Minute)
		}
		s := r.status(t, "a")
		if len(s.Vertical) != 1 {
			t.Fatalf("got %+v, want one container", s.Vertical)
		}
		return s.Vertical[0]
	}
	width := func(c v1alpha1.ContainerSize) float64 {
		return c.Upper.CPU.AsApproximateFloat64() / c.Request.CPU.AsApproximateFloat64()
	}
	first := width(look(1))
	before := look(60)
	if width(before) > first/10 {
		t.Fatalf("the upper bound is %v times the target after two hours, %v at first: want it to have narrowed", width(before), first)
	}
	// Another process takes over: what it knows is what the status has, at most keepEvery old.
	r.sizer, r.Controller.applied = newSizer(r.Controller), nil
	r.usage = map[string]string{"busy": "20m", "idle": "20m"}
	after := look(1)
	if width(after) > 1.5*width(before) || after.Request.CPU.Cmp(before.Request.CPU) != 0 {
		t.Errorf("restarted: got %+v, the upper bound %v times the target, want about what it was before, %+v and %v", after.Request, width(after), before.Request, width(before))
	}
}

// TestWhatWasLearnedOutlivesAnOutage: while there is no usage, or the policy is refused, what was learned stays in the status. A process
// that begins then has nothing else to go on from.
func TestWhatWasLearnedOutlivesAnOutage(t *testing.T) {
	for _, tt := range []struct {
		name, condition string
		outage          func(*rig)
	}{
		{"no metrics-server", "False NoUsage", func(r *rig) { r.usage = nil }},
		{"refused", "absent", func(r *rig) { r.unusable["ai/a"], r.Controller.applied = errors.New("no such cluster"), nil }},
	} {
		r := sizingRig(t, "vertical: Recommend")
		for range 20 {
			r.publish("ai/a", 2, 100)
			r.look(t, time.Minute)
		}
		before := r.status(t, "a").Vertical
		r.sizer, r.Controller.applied = newSizer(r.Controller), nil
		tt.outage(r)
		r.publish("ai/a", 2, 100)
		r.look(t, time.Minute)
		s := r.status(t, "a")
		if len(before) != 1 || len(s.Vertical) != 1 || s.Vertical[0].Learned != before[0].Learned {
			t.Errorf("%s: before %+v, after %+v", tt.name, before, s.Vertical)
		}
		if got := conditionOf(s, "Vertical"); got != tt.condition {
			t.Errorf("%s: the condition is %s, want %s", tt.name, got, tt.condition)
		}
	}
}

// TestALookThatIsCutShortGoesOnWithTheOthers: where the time of a look is over after one policy, each gets its turn all the same.
func TestALookThatIsCutShortGoesOnWithTheOthers(t *testing.T) {
	r := sizingRig(t, "vertical: Recommend")
	first, ok := r.policies.GetStore().List()[0].(*unstructured.Unstructured)
	if !ok {
		t.Fatal("no policy")
	}
	r.step(t, 0)
	var policies []*v1alpha1.ScalePolicy
	for _, name := range []string{"a", "b", "c"} {
		p, err := fromUnstructured(first)
		if err != nil {
			t.Fatal(err)
		}
		p.Name = name
		policies = append(policies, p)
	}
	r.sizer.setPolicies(policies)
	client, ok := r.cfg.Clients.Metrics.(*metricsfake.Clientset)
	if !ok {
		t.Fatal("no fake of the metrics API")
	}
	cut := func() {}
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { cut(); return false, nil, nil })
	for i := range policies {
		ctx, cancel := context.WithCancel(t.Context())
		cut = cancel
		r.now = r.now.Add(time.Minute)
		r.sizer.look(ctx, r.now)
		for j, p := range policies {
			if _, known := r.sizer.of(p.PolicyName()); known != (j <= i) {
				t.Errorf("after look %d: policy %s was looked at: %t", i+1, p.Name, known)
			}
		}
	}
}

func TestAHotPartitionsPodGrowsInPlace(t *testing.T) {
	r := sizingRig(t, "vertical: InPlace, verticalMax: {cpu: 500m}")
	look := func(d time.Duration, verdicts ...scaler.Verdict) {
		t.Helper()
		r.now = r.now.Add(d)
		r.publish("ai/a", 2, 100, verdicts...)
		r.look(t, 0)
	}
	look(0)
	if got := r.size(t, "busy"); got != "100m/200m" {
		t.Errorf("no partition is hot, and the pod has %s", got)
	}
	look(time.Minute, scaler.VerdictHotPartition)
	if got := r.size(t, "busy") + " " + r.size(t, "idle"); got != "150m/300m 100m/200m" {
		t.Errorf("a partition is hot: the pods have %s", got)
	}
	if s := r.status(t, "a"); conditionOf(s, "Vertical") != "True InPlace" {
		t.Errorf("the condition is %s", conditionOf(s, "Vertical"))
	}
	if said := strings.Join(r.said(), "\n"); !strings.Contains(said, "Normal Resized pod busy, container main: cpu from 100m to 150m (limit from 200m to 300m)") {
		t.Errorf("no event of the resize: %s", said)
	}
	r.usage["busy"] = "300m"
	r.now = r.now.Add(-2 * time.Minute) // the looks advance the clock by a minute each: a pod keeps its size for a while
	look(0, scaler.VerdictHotPartition)
	if got := r.size(t, "busy"); got != "150m/300m" {
		t.Errorf("resized again at once, to %s", got)
	}
	look(2*time.Minute, scaler.VerdictHotPartition)
	if got := r.size(t, "busy"); got != "225m/450m" {
		t.Errorf("after a while: got %s", got)
	}
	r.usage["busy"] = "450m"
	look(2*time.Minute, scaler.VerdictHotPartition)
	if got := r.size(t, "busy"); got != "338m/500m" {
		t.Errorf("the policy's bound is 500m: got %s", got)
	}
}

func TestAHotPartitionsPodGetsTheSizeThatCarriesIt(t *testing.T) {
	r := sizingRig(t, "vertical: InPlace, verticalMax: {cpu: 500m}")
	cores := func() series.Value {
		o := series.Observation{Policy: "ai/a"}
		r.Workloads().Annotate(r.now, &o)
		return o.ReplicaCPUCores
	}
	r.publish("ai/a", 2, 100)
	r.look(t, 0)
	if got := cores(); got != series.Of(0.2) {
		t.Errorf("both pods may use 200m: the observation has %v cores", got)
	}
	r.best = scaler.SizeDecision{Name: "cpu 0.4", CPUCores: 0.4, CapacityPerReplica: 250, Replicas: 3}
	r.publish("ai/a", 2, 100, scaler.VerdictHotPartition)
	r.look(t, 0)
	if got := r.size(t, "busy") + " " + r.size(t, "idle"); got != "200m/400m 100m/200m" {
		t.Errorf("400m was seen to carry it: the pods have %s", got)
	}
	if s := r.status(t, "a"); !strings.Contains(fmt.Sprint(s.Conditions), "cpu 0.4 does best: 3 of it") {
		t.Errorf("conditions %v, want the size that does best", s.Conditions)
	}
	r.publish("ai/a", 2, 100)
	r.look(t, 0)
	if got := cores(); got.Known() {
		t.Errorf("the pods differ: the observation has %v cores", got)
	}
}

func TestWhatKeepsFromResizing(t *testing.T) {
	onCPU := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "cpu", Namespace: "ai"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, MaxReplicas: 4,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU}}},
		},
	}
	const inPlace = "vertical: InPlace, verticalMax: {cpu: 500m}"
	for _, tt := range []struct {
		name, spec string
		more       []runtime.Object
		prepare    func(*rig)
		condition  string
		words      string
	}{
		{"nothing", inPlace, nil, func(*rig) {}, "True InPlace", ""},
		{"an HPA on CPU", inPlace, []runtime.Object{onCPU}, func(*rig) {}, "False CPUMetric", "HPA cpu scales on CPU"},
		{"paused", inPlace + ", paused: true", nil, func(*rig) {}, "True InPlace", "paused"},
		{"no metrics-server", inPlace, nil, func(r *rig) { r.usage = nil }, "False NoUsage", "install metrics-server"},
		{"no usage yet", inPlace, nil, func(r *rig) { r.usage = map[string]string{} }, "False NoUsage", "no usage of the target's pods yet"},
		{"another owner", inPlace, nil, func(r *rig) { r.cfg.Owns = func(string) bool { return false } }, "absent", ""},
		{"no right", inPlace, nil, func(r *rig) {
			r.fail = apierrors.NewForbidden(corev1.Resource("pods/resize"), "busy", errors.New("no"))
		}, "False Failed", "manifests/components/vertical"},
	} {
		r := sizingRig(t, tt.spec, tt.more...)
		tt.prepare(r)
		r.publish("ai/a", 2, 100, scaler.VerdictHotPartition)
		r.look(t, 0)
		r.publish("ai/a", 2, 100, scaler.VerdictHotPartition)
		r.step(t, time.Minute)
		s := r.status(t, "a")
		message := ""
		for _, c := range s.Conditions {
			if c.Type == "Vertical" {
				message = c.Message
			}
		}
		want := "100m/200m"
		if tt.name == "nothing" {
			want = "150m/300m"
		}
		if got := r.size(t, "busy"); got != want || conditionOf(s, "Vertical") != tt.condition || !strings.Contains(message, tt.words) {
			t.Errorf("%s: the pod has %s, want %s; the condition is %s, want %s: %s", tt.name, got, want, conditionOf(s, "Vertical"), tt.condition, message)
		}
	}
}

func TestAResizeThatTheNodeCannotDoIsWaitedFor(t *testing.T) {
	r := sizingRig(t, "vertical: InPlace, verticalMax: {cpu: 500m}")
	pods := r.cfg.Clients.Kubernetes.CoreV1().Pods("ai")
	busy, err := pods.Get(t.Context(), "busy", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	busy = withCondition(busy, corev1.PodResizePending, corev1.ConditionTrue, corev1.PodReasonInfeasible, start)
	busy.Status.Conditions[len(busy.Status.Conditions)-1].Message = "node has 100m"
	if _, err := pods.Update(t.Context(), busy, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.publish("ai/a", 2, 100, scaler.VerdictHotPartition)
	r.look(t, 0)
	s := r.status(t, "a")
	if got := r.size(t, "busy"); got != "100m/200m" || conditionOf(s, "Vertical") != "False Waiting" || !strings.Contains(fmt.Sprint(s.Conditions), "cannot resize it (Infeasible): node has 100m") {
		t.Errorf("the pod has %s, conditions %v", got, s.Conditions)
	}
}
