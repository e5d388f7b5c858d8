package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"

	"github.com/prescale/prescale/cmd/internal/hpacheck"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// Config is what a Controller is made with.
type Config struct {
	Clients Clients
	// Namespace is the only one that is watched; empty means all.
	Namespace string
	// Store has the answers that status shows.
	Store *readmodel.Store
	// Apply is called from Run with all accepted policies, sorted by name, at the start and whenever they change. It returns
	// what is wrong with those that cannot be run, by name.
	Apply func(ctx context.Context, policies []*v1alpha1.ScalePolicy) map[string]error
	// Owns reports whether this replica speaks for a policy: only one should write its status and events. Nil means that it
	// does. A policy without an answer has its status written by every replica, because it may have no owner.
	Owns   func(policy string) bool
	Logger *slog.Logger
	// Registerer gets the controller's metrics.
	Registerer prometheus.Registerer

	// Interval is the time between two looks. Default 2s.
	Interval time.Duration
	// NewsEvery and NumbersEvery bound how often one policy's status is written: for a new decision, condition or verdict,
	// and for numbers alone. WritesPerSecond bounds all together. Defaults 5s, 1m and 20.
	NewsEvery, NumbersEvery time.Duration
	WritesPerSecond         float64
	// WritesWithin bounds the time that the writes of one look may take, so that an API server that does not answer them keeps no
	// policy that has changed from being applied. Where it answers slowly and a policy has changed, they get Interval. Default 10s.
	WritesWithin time.Duration
	// ListsWithin is the time after which the kinds are named that the cluster has not listed since the start, again and again.
	// Default 10s.
	ListsWithin time.Duration
	// SizesEvery is the time between two looks at what pods use, for policies with a vertical mode; at most one pod of a
	// policy is resized at each. Default 30s.
	SizesEvery time.Duration
}

// DefaultConfig holds the defaults; Clients, Store, Apply, Logger and Registerer are still to be set.
func DefaultConfig() Config {
	return Config{Interval: 2 * time.Second, NewsEvery: 5 * time.Second, NumbersEvery: time.Minute, WritesPerSecond: 20,
		WritesWithin: 10 * time.Second, ListsWithin: 10 * time.Second, SizesEvery: 30 * time.Second}
}

// Controller follows ScalePolicies and what they scale, and shows what was decided.
type Controller struct {
	cfg       Config
	factory   informers.SharedInformerFactory
	dynamic   dynamicinformer.DynamicSharedInformerFactory
	policies  cache.SharedIndexInformer
	hpas      autoscalinglisters.HorizontalPodAutoscalerLister
	workloads *Workloads
	recorder  events.EventRecorder
	sink      events.EventBroadcaster
	limiter   *rate.Limiter
	minor     int
	sizer     *sizer
	// refusals is 1 for each policy that is not run.
	refusals *prometheus.GaugeVec
	// changed says that policies have come, gone or been edited since the last look.
	changed atomic.Bool

	// Owned by tick.
	current   []*v1alpha1.ScalePolicy
	refused   map[string]refusal
	applied   map[object]int64 // generations
	written   map[object]time.Time
	failing   map[object]bool // whose last write failed, so that only changes are logged
	announced map[object]v1alpha1.ScalePolicyStatus
}

// object is one ScalePolicy: a later one of the same name is another.
type object struct {
	name string
	uid  types.UID
}

func objectOf(p *v1alpha1.ScalePolicy) object { return object{p.PolicyName(), p.UID} }

// New prepares a Controller; nothing is asked of the cluster before Run.
func New(cfg Config) (*Controller, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c := &Controller{
		cfg: cfg,
		factory: informers.NewSharedInformerFactoryWithOptions(cfg.Clients.Kubernetes, 0,
			informers.WithNamespace(cfg.Namespace), informers.WithTransform(slim)),
		dynamic:   dynamicinformer.NewFilteredDynamicSharedInformerFactory(cfg.Clients.Dynamic, 0, cfg.Namespace, nil),
		sink:      events.NewBroadcaster(&events.EventSinkImpl{Interface: cfg.Clients.Kubernetes.EventsV1()}),
		limiter:   rate.NewLimiter(rate.Limit(cfg.WritesPerSecond), max(int(cfg.WritesPerSecond), 1)),
		written:   map[object]time.Time{},
		failing:   map[object]bool{},
		announced: map[object]v1alpha1.ScalePolicyStatus{},
		refusals: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "prescale_policy_refused", Help: "1 for each policy that is not run, with the reason of its condition Accepted.",
		}, []string{"namespace", "policy", "reason"}),
	}
	if err := cfg.Registerer.Register(c.refusals); err != nil {
		return nil, err
	}
	c.recorder = c.sink.NewRecorder(scheme, "prescale")
	c.policies = c.dynamic.ForResource(v1alpha1.Resource()).Informer()
	if _, err := c.policies.AddEventHandler(c.whenChanged()); err != nil {
		return nil, fmt.Errorf("watch policies: %w", err)
	}
	c.hpas = c.factory.Autoscaling().V2().HorizontalPodAutoscalers().Lister()
	var err error
	c.workloads, err = newWorkloads(c.factory, time.Now)
	if err != nil {
		return nil, err
	}
	c.sizer = newSizer(c)
	c.workloads.cores = c.sizer.cores
	c.workloads.reach = cfg.Clients.reach
	return c, nil
}

// whenChanged sets changed for what apply looks at: a policy's status changes all the time.
func (c *Controller) whenChanged() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.changed.Store(true) },
		DeleteFunc: func(any) { c.changed.Store(true) },
		UpdateFunc: func(before, after any) {
			old, ok := before.(metav1.Object)
			if new, also := after.(metav1.Object); !ok || !also || old.GetGeneration() != new.GetGeneration() {
				c.changed.Store(true)
			}
		},
	}
}

// Workloads returns what knows the policies' pods.
func (c *Controller) Workloads() *Workloads { return c.workloads }

// Labels returns the labels of a ScalePolicy, and whether it exists.
func (c *Controller) Labels(namespace, name string) (labels.Set, bool) {
	obj, ok, err := c.policies.GetStore().GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil, false
	}
	accessor, ok := obj.(metav1.Object)
	if !ok {
		return nil, false
	}
	return accessor.GetLabels(), true
}

// Run follows the cluster until ctx is cancelled, and then returns nil. It waits for as long as the cluster does not answer.
func (c *Controller) Run(ctx context.Context) error {
	if err := c.sink.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("record events: %w", err)
	}
	defer c.sink.Shutdown()
	c.factory.Start(ctx.Done())
	c.dynamic.Start(ctx.Done())
	defer c.factory.Shutdown()
	defer c.dynamic.Shutdown()
	c.waitForLists(ctx)
	c.askVersion()
	sized := make(chan struct{})
	go func() { defer close(sized); c.sizer.run(ctx) }()
	defer func() { <-sized }()
	ticker := time.NewTicker(c.cfg.Interval)
	defer ticker.Stop()
	for now := time.Now(); ctx.Err() == nil; {
		c.tick(ctx, now)
		select {
		case <-ctx.Done():
		case now = <-ticker.C:
		}
	}
	return nil
}

// waitForLists returns when every kind has been listed once, and names meanwhile those that have not: until then no policy is run.
func (c *Controller) waitForLists(ctx context.Context) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, c.cfg.ListsWithin)
		var missing []string
		for kind, ok := range c.factory.WaitForCacheSync(within.Done()) {
			if !ok {
				missing = append(missing, kind.Elem().Name())
			}
		}
		for resource, ok := range c.dynamic.WaitForCacheSync(within.Done()) {
			if !ok {
				missing = append(missing, resource.GroupResource().String())
			}
		}
		cancel()
		if len(missing) == 0 {
			return
		}
		if ctx.Err() == nil {
			slices.Sort(missing)
			c.cfg.Logger.Warn("no policy is run until the cluster has listed these; where a right is missing, "+
				"grant list and watch as manifests/base/daemon/rbac.yaml does, "+
				"and where the kind is, apply manifests/crd", "missing", missing)
		}
	}
}

func (c *Controller) askVersion() {
	var err error
	if c.minor, err = serverMinor(c.cfg.Clients.Kubernetes); err != nil {
		c.cfg.Logger.Warn("the cluster's version is not known; advice on HPAs is less exact", "error", err)
	}
}

// tick applies changed policies and writes what status has news.
func (c *Controller) tick(ctx context.Context, now time.Time) {
	c.changed.Store(false)
	policies, unreadable := c.read()
	c.apply(ctx, policies, unreadable)
	answers := map[string]readmodel.Status{}
	for _, answer := range c.cfg.Store.All() {
		answers[answer.Policy] = answer
	}
	names := map[string][]string{}
	for _, p := range c.current {
		names[p.Namespace] = append(names[p.Namespace], p.Name)
	}
	writing, cancel := context.WithTimeout(ctx, c.cfg.WritesWithin)
	defer cancel()
	first, done := context.WithTimeout(ctx, c.cfg.Interval)
	defer done()
	maps.DeleteFunc(c.written, func(o object, _ time.Time) bool { _, ok := c.applied[o]; return !ok })
	maps.DeleteFunc(c.failing, func(o object, _ bool) bool { _, ok := c.applied[o]; return !ok })
	maps.DeleteFunc(c.announced, func(o object, _ v1alpha1.ScalePolicyStatus) bool { _, ok := c.applied[o]; return !ok })
	for _, p := range policies {
		name := p.PolicyName()
		f := facts{policy: p, answer: answers[name]}
		owned := c.cfg.Owns == nil || c.cfg.Owns(name)
		if !owned {
			delete(c.announced, objectOf(p))
			// Where there is no answer there may be no owner either, and somebody has to say so. All replicas write the
			// same then, and what stands there already is not written again. A replica that has just begun, or that Kafka
			// is away for alone, has none either, while the owner shows its own.
			if f.answer.Has && f.answer.Err == nil || c.spokenFor(p, now) {
				continue
			}
		}
		if r, ok := c.refused[name]; ok {
			f.refused = &r
		} else {
			f.pods, f.pools, f.podsOK = c.workloads.Count(name, now)
			f.sizing, f.sizingOK = c.sizer.of(name)
			f.findings = c.checkHPAs(p, f.answer, names[p.Namespace])
		}
		status := newStatus(f, now)
		if owned {
			c.announce(p, status, f.pods.Refused)
		}
		c.write(writing, p, status, now)
		if first.Err() != nil && c.changed.Load() {
			return // What is left is written after what has changed is applied.
		}
	}
}

// spokenFor reports whether an owner has written a decision so lately that there must be one.
func (c *Controller) spokenFor(p *v1alpha1.ScalePolicy, now time.Time) bool {
	within := 2 * c.cfg.NumbersEvery
	if p.Spec.Interval != nil {
		within += p.Spec.Interval.Duration
	}
	at := p.Status.DecidedAt
	return at != nil && now.Sub(at.Time).Abs() <= within
}

// read returns all policies in the cache, and by name what is wrong with those that cannot be read.
func (c *Controller) read() (policies []*v1alpha1.ScalePolicy, unreadable map[string]error) {
	unreadable = map[string]error{}
	for _, obj := range c.policies.GetStore().List() {
		p, err := fromUnstructured(obj.(*unstructured.Unstructured)) // the dynamic client has no other
		if err != nil {
			unreadable[p.PolicyName()] = err
		}
		policies = append(policies, p)
	}
	return policies, unreadable
}

// apply hands on the accepted policies when their specs or their set have changed.
func (c *Controller) apply(ctx context.Context, policies []*v1alpha1.ScalePolicy, unreadable map[string]error) {
	generations := map[object]int64{}
	for _, p := range policies {
		generations[objectOf(p)] = p.Generation
	}
	if c.applied != nil && maps.Equal(generations, c.applied) {
		return
	}
	accepted, refused := accept(policies, unreadable)
	c.workloads.setPolicies(accepted)
	c.sizer.setPolicies(accepted)
	for name, err := range c.cfg.Apply(ctx, accepted) {
		refused[name] = refusal{reasonUnusable, err.Error()}
	}
	c.applied, c.current, c.refused = generations, accepted, refused
	c.refusals.Reset()
	why := map[string]string{}
	for name, r := range refused {
		why[name] = r.reason + ": " + r.message
		namespace, policy, _ := strings.Cut(name, "/")
		c.refusals.WithLabelValues(namespace, policy, r.reason).Set(1)
	}
	c.cfg.Store.Refuse(why)
	c.cfg.Logger.Info("policies changed", "accepted", len(accepted), "refused", len(refused))
}

func (c *Controller) checkHPAs(p *v1alpha1.ScalePolicy, answer readmodel.Status, names []string) []hpacheck.Finding {
	hpas, err := c.hpas.HorizontalPodAutoscalers(p.Namespace).List(labels.Everything())
	if err != nil {
		return nil
	}
	known := hpacheck.Facts{ServerMinor: c.minor, Policies: names}
	if n, ok := answer.Entry.Observation.Partitions.Get(); ok && answer.Has {
		known.Partitions = int(n)
	}
	return hpacheck.Check(p, hpas, known)
}

// write writes the status when it has changed and it is time.
func (c *Controller) write(ctx context.Context, p *v1alpha1.ScalePolicy, status v1alpha1.ScalePolicyStatus, now time.Time) {
	name := p.PolicyName()
	every := c.cfg.NewsEvery
	switch compare(p.Status, status) {
	case unchanged:
		return
	case numbers:
		every = c.cfg.NumbersEvery
	}
	if ctx.Err() != nil || now.Sub(c.written[objectOf(p)]) < every || !c.limiter.AllowN(now, 1) {
		return
	}
	patch, err := statusPatch(p.Status, status)
	if err != nil {
		c.cfg.Logger.Error("writing a status failed", "policy", name, "error", err)
		return
	}
	c.written[objectOf(p)] = now
	_, err = c.cfg.Clients.Dynamic.Resource(v1alpha1.Resource()).Namespace(p.Namespace).
		Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "prescale"}, "status")
	switch failing := c.failing[objectOf(p)]; {
	case err == nil:
		delete(c.failing, objectOf(p))
		if failing {
			c.cfg.Logger.Info("writing a status works again", "policy", name)
		}
	case !failing && !apierrors.IsNotFound(err) && !errors.Is(err, context.Canceled):
		c.failing[objectOf(p)] = true
		c.cfg.Logger.Warn("writing a status failed; it is tried again and again", "policy", name, "error", err)
	}
}
