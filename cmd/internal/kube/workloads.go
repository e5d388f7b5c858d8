package kube

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// Workloads knows the pods behind each policy: how many work, how many start, and how long those that began to work took.
// It reads informers' caches and is safe for concurrent use.
//
// A start-up is counted when a pod is first seen to become ready, from its creation, which is when the replica was asked
// for. A pod that was ready before we looked is not counted: when it first became so is not written anywhere.
type Workloads struct {
	pods         corelisters.PodLister
	nodes        corelisters.NodeLister
	deployments  appslisters.DeploymentLister
	statefulSets appslisters.StatefulSetLister
	// cores returns what each ready pod of a policy may use of a CPU; nil where nobody looks.
	cores func(policy string) series.Value
	// reach tells whether what the caches hold is of now.
	reach *reach

	mu      sync.Mutex
	targets map[string][]target // by namespace
	// counted are the pods whose start-up has been counted, or that were ready when first seen.
	counted  map[types.UID]bool
	startups map[string][]startup // by policy
	// short says since when StatefulSets have fewer pods than they want, though all that there are work; by namespace and name.
	short map[types.NamespacedName]time.Time
}

// target is one scaled object of a policy.
type target struct {
	policy string
	// pool is the pool's name; empty for the policy's only target.
	pool string
	ref  v1alpha1.TargetRef
}

// The kinds whose pods are known.
const (
	deployment  = "Deployment"
	statefulSet = "StatefulSet"
)

// stuckAfter is how long a pod may wait for a node with room, or to be made, before other pools stand in for it: an autoscaler of nodes
// needs minutes, while a pod that is merely overtaken or waits for one that ends is placed within seconds.
const stuckAfter = 30 * time.Second

// newWorkloads takes its informers from the factory, which its caller starts. now is asked when an event arrives.
func newWorkloads(factory informers.SharedInformerFactory, now func() time.Time) (*Workloads, error) {
	w := &Workloads{
		pods:         factory.Core().V1().Pods().Lister(),
		nodes:        factory.Core().V1().Nodes().Lister(),
		deployments:  factory.Apps().V1().Deployments().Lister(),
		statefulSets: factory.Apps().V1().StatefulSets().Lister(),
		targets:      map[string][]target{},
		counted:      map[types.UID]bool{},
		startups:     map[string][]startup{},
		short:        map[types.NamespacedName]time.Time{},
	}
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, initial bool) {
			if pod, ok := obj.(*corev1.Pod); ok && ready(pod) {
				w.becameReady(pod, now(), initial)
			}
		},
		UpdateFunc: func(_, obj any) {
			if pod, ok := obj.(*corev1.Pod); ok && ready(pod) {
				w.becameReady(pod, now(), false)
			}
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				w.mu.Lock()
				delete(w.counted, pod.UID)
				w.mu.Unlock()
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	return w, nil
}

// setPolicies replaces what is watched for.
func (w *Workloads) setPolicies(policies []*v1alpha1.ScalePolicy) {
	targets := map[string][]target{}
	known := map[string]bool{}
	for _, p := range policies {
		known[p.PolicyName()] = true
		if ref := p.Spec.ScaleTargetRef; ref != nil {
			targets[p.Namespace] = append(targets[p.Namespace], target{policy: p.PolicyName(), ref: *ref})
		}
		for _, pool := range p.Spec.Pools {
			if pool.ScaleTargetRef != nil {
				targets[p.Namespace] = append(targets[p.Namespace],
					target{policy: p.PolicyName(), pool: pool.Name, ref: *pool.ScaleTargetRef})
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets = targets
	maps.DeleteFunc(w.short, func(set types.NamespacedName, _ time.Time) bool {
		return !slices.ContainsFunc(targets[set.Namespace], func(t target) bool {
			return t.ref.Kind == statefulSet && t.ref.Name == set.Name
		})
	})
	for policy := range w.startups {
		if !known[policy] {
			delete(w.startups, policy)
		}
	}
}

// Count is what is known of a policy's pods now.
type Count struct {
	// Wanted is the scaled object's replicas, Ready how many pods work, Pending how many no node has room for or are not made
	// because a quota or an admission webhook refuses them, and Stuck how many of those have waited long.
	Wanted, Ready, Pending, Stuck int
	// Refused says how many are not made and what refuses them, empty where none is.
	Refused string
}

func (c *Count) add(o Count) {
	c.Wanted += o.Wanted
	c.Ready += o.Ready
	c.Pending += o.Pending
	c.Stuck += o.Stuck
	if c.Refused != "" && o.Refused != "" {
		c.Refused += "; "
	}
	c.Refused += o.Refused
}

// starting is how many pods are wanted and do not work yet.
func (c Count) starting() int { return max(c.Wanted-c.Ready, 0) }

// PoolCount is the Count of one pool of a policy.
type PoolCount struct {
	Name string
	Count
}

// Count returns the pods of all targets of a policy, and of each pool where it has several whose targets are there; false when
// the policy names none or none of them is there.
func (w *Workloads) Count(policy string, now time.Time) (sum Count, pools []PoolCount, known bool) {
	for _, t := range w.targetsOf(policy) {
		if c, ok := w.count(namespaceOf(policy), t, now); ok {
			known = true
			sum.add(c)
			if t.pool != "" {
				pools = append(pools, PoolCount{t.pool, c})
			}
		}
	}
	return sum, pools, known
}

// Addresses returns the addresses of the policy's ready pods, in no order.
func (w *Workloads) Addresses(policy string) []string {
	var all []string
	for _, t := range w.targetsOf(policy) {
		for _, pod := range w.readyPods(namespaceOf(policy), t) {
			if pod.Status.PodIP != "" {
				all = append(all, pod.Status.PodIP)
			}
		}
	}
	return all
}

// PoolAddresses returns the addresses of each ready pod of each pool of the policy, in no order: one, or one of each IP family.
func (w *Workloads) PoolAddresses(policy string) map[string][][]netip.Addr {
	pools := map[string][][]netip.Addr{}
	for _, t := range w.targetsOf(policy) {
		if t.pool == "" {
			continue
		}
		for _, pod := range w.readyPods(namespaceOf(policy), t) {
			var addresses []netip.Addr
			for _, ip := range append([]corev1.PodIP{{IP: pod.Status.PodIP}}, pod.Status.PodIPs...) {
				if address, err := netip.ParseAddr(ip.IP); err == nil && !slices.Contains(addresses, address.Unmap()) {
					addresses = append(addresses, address.Unmap())
				}
			}
			pools[t.pool] = append(pools[t.pool], addresses)
		}
	}
	return pools
}

// readyPods returns the pods of a target that work.
func (w *Workloads) readyPods(namespace string, t target) []*corev1.Pod {
	selector, _, ok := w.scaled(namespace, t.ref)
	if !ok {
		return nil
	}
	pods, err := w.pods.Pods(namespace).List(selector)
	if err != nil {
		return nil // A lister reads memory; its error is a name that it cannot hold.
	}
	return slices.DeleteFunc(pods, func(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil || !ready(pod) })
}

// Annotate fills in what is known of the policy's replicas: those that work and start, and the start-ups that completed since the
// last call. What is not known stays as it is.
func (w *Workloads) Annotate(now time.Time, o *series.Observation) {
	targets := w.targetsOf(o.Policy)
	startups := w.takeStartups(o.Policy)
	var sum Count
	known := 0
	for _, t := range targets {
		c, ok := w.count(namespaceOf(o.Policy), t, now)
		if !ok {
			o.Problems = append(o.Problems, unscaled(t.ref))
			continue
		}
		known++
		sum.add(c)
		if c.Refused != "" {
			o.Problems = append(o.Problems, c.Refused)
		}
		if t.pool != "" {
			pool := poolOf(o, t.pool)
			pool.ReadyReplicas = series.OfInt(c.Ready)
			pool.StartingReplicas = series.OfInt(c.starting())
			pool.UnschedulableReplicas = series.OfInt(min(c.Stuck, c.starting()))
			for _, s := range startups {
				if s.pool == t.pool && !s.provisioned {
					pool.StartupSeconds = append(pool.StartupSeconds, s.took.Seconds())
				}
			}
		}
	}
	if problem := w.reach.problem(now); problem != "" && len(targets) > 0 {
		o.Problems = append(o.Problems, problem)
	}
	slices.Sort(o.Problems)
	if w.cores != nil {
		o.ReplicaCPUCores = w.cores(o.Policy)
	}
	// A part of a sum is a wrong sum.
	if known > 0 && known == len(targets) {
		o.ReadyReplicas = series.OfInt(sum.Ready)
		o.StartingReplicas = series.OfInt(sum.starting())
		o.UnschedulableReplicas = series.OfInt(min(sum.Stuck, sum.starting()))
	}
	for _, s := range startups {
		// What was seen while another replica owned the policy is in the log already.
		if o.Interval > 0 && now.Sub(s.seen) > 2*o.Interval {
			continue
		}
		if s.provisioned {
			o.ProvisionedStartupSeconds = append(o.ProvisionedStartupSeconds, s.took.Seconds())
		} else {
			o.StartupSeconds = append(o.StartupSeconds, s.took.Seconds())
		}
	}
}

func (w *Workloads) targetsOf(policy string) []target {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []target
	for _, t := range w.targets[namespaceOf(policy)] {
		if t.policy == policy {
			found = append(found, t)
		}
	}
	return found
}

func (w *Workloads) count(namespace string, t target, now time.Time) (Count, bool) {
	selector, wanted, ok := w.scaled(namespace, t.ref)
	if !ok {
		return Count{}, false
	}
	pods, err := w.pods.Pods(namespace).List(selector)
	if err != nil {
		return Count{}, false
	}
	c := Count{Wanted: wanted}
	made, whole := 0, true
	for _, pod := range pods {
		if pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded {
			made++
		}
		whole = whole && pod.DeletionTimestamp == nil && ready(pod)
		switch {
		case pod.DeletionTimestamp != nil:
		case ready(pod):
			c.Ready++
		default:
			if since, waits := unschedulable(pod); waits {
				c.Pending++
				if now.Sub(since) >= stuckAfter {
					c.Stuck++
				}
			}
		}
	}
	if failure := w.notMade(namespace, t.ref); failure != nil && made < wanted {
		c.Pending += wanted - made
		if now.Sub(failure.LastTransitionTime.Time) >= stuckAfter {
			c.Stuck += wanted - made
		}
		c.Refused = fmt.Sprintf("Deployment %s: %d of %d replicas are not made: %s", t.ref.Name, wanted-made, wanted, failure.Message)
	}
	set := types.NamespacedName{Namespace: namespace, Name: t.ref.Name}
	if t.ref.Kind == statefulSet && w.stuckShort(set, made < wanted && whole, now) {
		c.Pending += wanted - made
		c.Stuck += wanted - made
		c.Refused = fmt.Sprintf("StatefulSet %s: %d of %d replicas are not made; "+
			"kubectl -n %s describe statefulset %s says what refuses them",
			t.ref.Name, wanted-made, wanted, namespace, t.ref.Name)
	}
	return c, true
}

// stuckShort reports whether a StatefulSet has been short of pods for so long that something refuses them. It tells what in events alone,
// which a daemon that may not read all events of a cluster does not see. One that only waits is never short for long while all of its
// pods work: the next is made once the one before has been ready for minReadySeconds, and another in place of one that ends.
func (w *Workloads) stuckShort(name types.NamespacedName, short bool, now time.Time) bool {
	wait := stuckAfter
	if s, err := w.statefulSets.StatefulSets(name.Namespace).Get(name.Name); err == nil {
		wait += time.Duration(s.Spec.MinReadySeconds) * time.Second
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !short || w.reach.problem(now) != "" { // what the caches hold is of then
		delete(w.short, name)
		return false
	}
	since, ok := w.short[name]
	if !ok {
		w.short[name], since = now, now
	}
	return now.Sub(since) >= wait
}

// notMade returns the condition that says why pods of a Deployment cannot be made, nil where they can.
func (w *Workloads) notMade(namespace string, ref v1alpha1.TargetRef) *appsv1.DeploymentCondition {
	if ref.Kind != deployment {
		return nil
	}
	d, err := w.deployments.Deployments(namespace).Get(ref.Name)
	if err != nil {
		return nil
	}
	for i, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue && c.Reason == "FailedCreate" {
			return &d.Status.Conditions[i]
		}
	}
	return nil
}

// scaled returns the selector and the wanted replicas of a Deployment or StatefulSet; false when it is not there or of
// another kind.
func (w *Workloads) scaled(namespace string, ref v1alpha1.TargetRef) (labels.Selector, int, bool) {
	var selector *metav1.LabelSelector
	var replicas *int32
	switch ref.Kind {
	case deployment:
		var d *appsv1.Deployment
		d, err := w.deployments.Deployments(namespace).Get(ref.Name)
		if err != nil {
			return nil, 0, false
		}
		selector, replicas = d.Spec.Selector, d.Spec.Replicas
	case statefulSet:
		s, err := w.statefulSets.StatefulSets(namespace).Get(ref.Name)
		if err != nil {
			return nil, 0, false
		}
		selector, replicas = s.Spec.Selector, s.Spec.Replicas
	default:
		return nil, 0, false
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, 0, false
	}
	wanted := 1
	if replicas != nil {
		wanted = int(*replicas)
	}
	return parsed, wanted, true
}

// unscaled says why scaled returned false.
func unscaled(ref v1alpha1.TargetRef) string {
	if ref.Kind != deployment && ref.Kind != statefulSet {
		return fmt.Sprintf("%s %s: of this kind pods are not known, only of Deployment and StatefulSet: "+
			"the group's members count as replicas", ref.Kind, ref.Name)
	}
	return fmt.Sprintf("%s %s is not there", ref.Kind, ref.Name)
}

// poolOf returns the observation's entry for the pool, adding it when it is not there.
func poolOf(o *series.Observation, name string) *series.PoolObservation {
	for i := range o.Pools {
		if o.Pools[i].Name == name {
			return &o.Pools[i]
		}
	}
	o.Pools = append(o.Pools, series.PoolObservation{Name: name})
	return &o.Pools[len(o.Pools)-1]
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// unschedulable reports whether no node has room for the pod, and since when.
func unschedulable(pod *corev1.Pod) (since time.Time, waits bool) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return c.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

func namespaceOf(policy string) string {
	namespace, _, _ := strings.Cut(policy, "/")
	return namespace
}

// more returns a pod's addresses where it has several: else PodIP says it all.
func more(ips []corev1.PodIP) []corev1.PodIP {
	if len(ips) < 2 {
		return nil
	}
	return ips
}

// failures returns those conditions that say that pods cannot be made.
func failures(all []appsv1.DeploymentCondition) []appsv1.DeploymentCondition {
	return slices.DeleteFunc(slices.Clone(all), func(c appsv1.DeploymentCondition) bool {
		return c.Type != appsv1.DeploymentReplicaFailure
	})
}

// slim drops what is never read from an object before a cache keeps it: a cluster may have a hundred thousand pods.
// The object itself stays as it is; others may hold it.
func slim(obj any) (any, error) {
	switch o := obj.(type) {
	case *corev1.Pod:
		obj = &corev1.Pod{ObjectMeta: o.ObjectMeta, Spec: corev1.PodSpec{NodeName: o.Spec.NodeName},
			Status: corev1.PodStatus{Phase: o.Status.Phase, Conditions: o.Status.Conditions, PodIP: o.Status.PodIP,
				PodIPs: more(o.Status.PodIPs)}}
	case *corev1.Node:
		obj = &corev1.Node{ObjectMeta: o.ObjectMeta}
	case *appsv1.Deployment:
		obj = &appsv1.Deployment{ObjectMeta: o.ObjectMeta,
			Spec:   appsv1.DeploymentSpec{Replicas: o.Spec.Replicas, Selector: o.Spec.Selector},
			Status: appsv1.DeploymentStatus{Conditions: failures(o.Status.Conditions)}}
	case *appsv1.StatefulSet:
		obj = &appsv1.StatefulSet{ObjectMeta: o.ObjectMeta,
			Spec: appsv1.StatefulSetSpec{Replicas: o.Spec.Replicas, Selector: o.Spec.Selector, MinReadySeconds: o.Spec.MinReadySeconds}}
	case runtime.Object:
		obj = o.DeepCopyObject()
	}
	if accessor, ok := obj.(metav1.Object); ok {
		accessor.SetManagedFields(nil)
		accessor.SetAnnotations(nil)
	}
	return obj, nil
}
