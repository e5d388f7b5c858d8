package hpa

import (
	"context"
	"errors"
	"fmt"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/go-logr/logr"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

// reconcile is the controller's method for one sync of one HPA, which it does not export.
//
//go:linkname reconcile k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).reconcileAutoscaler
func reconcile(c *podautoscaler.HorizontalController, ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, key string) error //nolint:revive // a method: its receiver comes first

// world is all that the controller sees and changes: one HPA, its target, the target's pods, and the metrics. The interfaces
// embedded in the types below are nil: the controller uses only the methods that are written out.
type world struct {
	hpa      *autoscalingv2.HorizontalPodAutoscaler
	spec     int32
	status   int32
	rescaled bool
	values   map[string][]int64 // by metric name, in thousandths; a metric that is not here cannot be read
	pods     cache.Indexer

	controller *podautoscaler.HorizontalController
}

// newWorld returns the controller with its flags and nothing to look after yet.
func newWorld(tolerance float64, window time.Duration) *world {
	klog.SetLogger(logr.Discard())
	w := &world{}
	// The client is for the informers' constructors; it is never used, because the informers are never started.
	client := kubernetes.NewForConfigOrDie(&rest.Config{Host: "http://127.0.0.1:1"})
	factory := informers.NewSharedInformerFactory(client, 0)
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	w.controller = podautoscaler.NewHorizontalController(
		context.Background(), events{}, scales{w}, hpas{w: w}, mapper, metricsClient{w: w},
		factory.Autoscaling().V2().HorizontalPodAutoscalers(), factory.Core().V1().Pods(),
		15*time.Second, window, tolerance, 5*time.Minute, 30*time.Second)
	w.pods = factory.Core().V1().Pods().Informer().GetIndexer()
	return w
}

// begin puts a new HPA in place of the last one. The name must be new: the controller keeps history by it.
func (w *world) begin(hpa *autoscalingv2.HorizontalPodAutoscaler) { w.hpa = hpa }

// sync does one sync and returns the count that is wanted then and whether it was set.
func (w *world) sync(spec, status, ready int, values map[string][]int64) (replicas int, rescaled bool, err error) {
	w.spec, w.status, w.values, w.rescaled = int32(spec), int32(status), values, false
	pods := make([]any, status)
	for i := range pods {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.hpa.Namespace, Name: fmt.Sprint("pod-", i), Labels: map[string]string{"app": "target"}}}
		pod.Status.Phase = corev1.PodRunning
		if i < ready {
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
		pods[i] = pod
	}
	if err := w.pods.Replace(pods, ""); err != nil {
		return 0, false, err
	}
	err = reconcile(w.controller, context.Background(), w.hpa, w.hpa.Namespace+"/"+w.hpa.Name)
	return int(w.spec), w.rescaled, err
}

type hpas struct {
	autoscalingclient.HorizontalPodAutoscalerInterface
	w *world
}

func (h hpas) HorizontalPodAutoscalers(string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return h
}

// UpdateStatus keeps the status, in which the controller remembers that it was itself who scaled to zero.
func (h hpas) UpdateStatus(_ context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, _ metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	h.w.hpa = h.w.hpa.DeepCopy()
	h.w.hpa.Status = *hpa.Status.DeepCopy()
	return h.w.hpa, nil
}

type scales struct{ *world }

func (s scales) Scales(string) scale.ScaleInterface { return target(s) }

// target is the scale subresource.
type target struct{ *world }

func (t target) Get(context.Context, schema.GroupResource, string, metav1.GetOptions) (*autoscalingv1.Scale, error) {
	return &autoscalingv1.Scale{
		Spec:   autoscalingv1.ScaleSpec{Replicas: t.spec},
		Status: autoscalingv1.ScaleStatus{Replicas: t.status, Selector: "app=target"},
	}, nil
}

func (t target) Update(_ context.Context, _ schema.GroupResource, s *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	t.spec, t.rescaled = s.Spec.Replicas, true
	return s, nil
}

func (t target) Patch(context.Context, schema.GroupVersionResource, string, types.PatchType, []byte, metav1.PatchOptions) (*autoscalingv1.Scale, error) {
	return nil, errors.ErrUnsupported
}

type metricsClient struct {
	metrics.MetricsClient
	w *world
}

var errUnreadable = errors.New("no fresh value")

func (m metricsClient) GetExternalMetric(name, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	values, ok := m.w.values[name]
	if !ok {
		return nil, time.Time{}, errUnreadable
	}
	return values, time.Now(), nil
}

func (m metricsClient) GetObjectMetric(name, _ string, _ *autoscalingv2.CrossVersionObjectReference, _ labels.Selector) (int64, time.Time, error) {
	values, ok := m.w.values[name]
	if !ok {
		return 0, time.Time{}, errUnreadable
	}
	sum := int64(0)
	for _, v := range values {
		sum += v
	}
	return sum, time.Now(), nil
}

// events drops what the controller reports.
type events struct{ coreclient.EventInterface }

func (e events) Events(string) coreclient.EventInterface { return e }

func (events) CreateWithEventNamespace(e *corev1.Event) (*corev1.Event, error) {
	return e, nil
}

func (events) UpdateWithEventNamespace(e *corev1.Event) (*corev1.Event, error) {
	return e, nil
}

func (events) PatchWithEventNamespace(e *corev1.Event, _ []byte) (*corev1.Event, error) {
	return e, nil
}
