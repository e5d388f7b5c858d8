package hpa

import (
	"errors"
	"math"
	"time"
)

// Metric is one metric of the spec as read at a sync.
type Metric struct {
	// Value is the metric's value, summed over the items that were returned; Target is the spec's. Both in the metric's
	// own unit, kept to 0.001, rounded up, as the API does.
	Value, Target float64
	// Average says that the target is an AverageValue: per replica.
	Average bool
	// Err is set where the metric could not be read.
	Err error
}

// Input is what one sync sees.
type Input struct {
	// SpecReplicas is the scale's wanted count, StatusReplicas the pods there are, ReadyPods those running and ready.
	SpecReplicas, StatusReplicas, ReadyPods int
	Metrics                                 []Metric
}

// Result is what one sync does.
type Result struct {
	// Replicas is the new spec.replicas, which is the old one unless Rescaled.
	Replicas int
	Rescaled bool
	// Proposed is what the metrics asked for before windows, policies and bounds; -1 where nothing was computed.
	Proposed int
	// Err says why metrics could not be used. Scaling up on those that could be read still happens.
	Err error
}

// errNoReadyPods is given for a total-value metric when the target has no pods at all.
var errNoReadyPods = errors.New("no pods returned by selector while calculating replica count")

type recommendation struct {
	replicas int
	at       time.Time
}

// scaleEvent is a change that was made. The controller reuses the room of events that are older than every policy of their own
// direction, one for each new event; until then even they count for policies of the other direction that look back further.
type scaleEvent struct {
	change   int
	at       time.Time
	outdated bool
}

// Controller is one HPA: a state machine stepped by Reconcile. It is not safe for concurrent use.
type Controller struct {
	config           Config
	recommendations  []recommendation
	ups, downs       []scaleEvent
	scaledToZero     bool
	everRecommended  bool
	longest          time.Duration // the longest stabilization window
	upPast, downPast time.Duration // the longest policy periods
}

// New returns a controller without history. The config is copied except for the Policies, which must not change.
func New(config Config) (*Controller, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if b := config.Behavior; b != nil {
		defaults := DefaultBehavior()
		config.Behavior = &Behavior{ScaleUp: b.ScaleUp.orElse(&defaults.ScaleUp), ScaleDown: b.ScaleDown.orElse(&defaults.ScaleDown)}
	}
	c := &Controller{config: config}
	c.longest = max(c.upWindow(), c.downWindow())
	if b := config.Behavior; b != nil {
		for _, p := range b.ScaleUp.Policies {
			c.upPast = max(c.upPast, p.Period)
		}
		for _, p := range b.ScaleDown.Policies {
			c.downPast = max(c.downPast, p.Period)
		}
	}
	return c, nil
}

func (c *Controller) upWindow() time.Duration {
	if b := c.config.Behavior; b != nil && b.ScaleUp.Stabilization != nil {
		return *b.ScaleUp.Stabilization
	}
	return 0
}

func (c *Controller) downWindow() time.Duration {
	if b := c.config.Behavior; b != nil && b.ScaleDown.Stabilization != nil {
		return *b.ScaleDown.Stabilization
	}
	return c.config.DownscaleStabilization
}

func (c *Controller) tolerances() (down, up float64) {
	down, up = c.config.Tolerance, c.config.Tolerance
	if b := c.config.Behavior; b != nil {
		if b.ScaleDown.Tolerance != nil {
			down = *b.ScaleDown.Tolerance
		}
		if b.ScaleUp.Tolerance != nil {
			up = *b.ScaleUp.Tolerance
		}
	}
	return down, up
}

// Reconcile does one sync at now, which must not go back.
func (c *Controller) Reconcile(now time.Time, in Input) Result {
	current := in.SpecReplicas
	if !c.everRecommended {
		c.recommendations = append(c.recommendations, recommendation{current, now})
		c.everRecommended = true
	}
	minReplicas, maxReplicas := c.config.MinReplicas, c.config.MaxReplicas
	fromZero := c.config.ScaleToZero && c.scaledToZero
	switch {
	case current == 0 && !fromZero:
		// Someone scaled the target to zero by hand: that disables the HPA.
		return Result{Replicas: 0, Proposed: -1}
	case current > maxReplicas:
		return c.rescale(now, current, maxReplicas, Result{Proposed: -1})
	case current != 0 && current < minReplicas:
		return c.rescale(now, current, minReplicas, Result{Proposed: -1})
	}
	proposed, err := c.propose(in)
	if proposed < 0 {
		return Result{Replicas: current, Proposed: -1, Err: err}
	}
	desired := c.normalize(now, current, proposed)
	if current == 0 && desired < minReplicas {
		desired = minReplicas
	}
	result := Result{Replicas: current, Proposed: proposed, Err: err}
	if desired == current {
		return result
	}
	return c.rescale(now, current, desired, result)
}

func (c *Controller) rescale(now time.Time, current, desired int, r Result) Result {
	r.Replicas, r.Rescaled = desired, true
	if c.config.Behavior != nil {
		if desired > current {
			c.ups = storeEvent(c.ups, now.Add(-c.upPast), scaleEvent{change: desired - current, at: now})
		} else {
			c.downs = storeEvent(c.downs, now.Add(-c.downPast), scaleEvent{change: current - desired, at: now})
		}
	}
	c.scaledToZero = desired == 0
	return r
}

// propose takes the maximum over the metrics; -1 where all err, or where some err and the others would scale down.
func (c *Controller) propose(in Input) (int, error) {
	replicas, invalid := 0, 0
	var first error
	for i := range in.Metrics {
		n, err := c.proposeOne(in, &in.Metrics[i])
		if err != nil {
			if invalid++; first == nil {
				first = err
			}
			continue
		}
		replicas = max(replicas, n)
	}
	if invalid >= len(in.Metrics) || (invalid > 0 && replicas < in.SpecReplicas) {
		if first == nil {
			first = errors.New("no metrics")
		}
		return -1, first
	}
	return replicas, first
}

func (c *Controller) proposeOne(in Input, m *Metric) (int, error) {
	if m.Err != nil {
		return 0, m.Err
	}
	usage, target := milli(m.Value), milli(m.Target)
	down, up := c.tolerances()
	within := func(ratio float64) bool { return 1-down <= ratio && ratio <= 1+up }
	if m.Average {
		if within(usage / (target * float64(in.StatusReplicas))) {
			return in.StatusReplicas, nil
		}
		return toCount(math.Ceil(usage / target)), nil
	}
	ratio := usage / target
	if in.SpecReplicas == 0 {
		return toCount(math.Ceil(ratio)), nil
	}
	if within(ratio) {
		return in.SpecReplicas, nil
	}
	if in.StatusReplicas == 0 {
		return 0, errNoReadyPods
	}
	return toCount(math.Ceil(ratio * float64(in.ReadyPods))), nil
}

// milli rounds up to thousandths, as a Quantity does. The subtraction keeps 1.1 at 1100.
func milli(x float64) float64 { return math.Ceil(x*1000 - 1e-6) }

func toCount(x float64) int {
	if !(x < math.MaxInt32) {
		return math.MaxInt32
	}
	return int(x)
}
