package sim

import (
	"math"
	"slices"
	"time"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler/hpa"
)

// The baselines know what a replica can do, which the shipped rule has to learn.

// throughHPA turns a metric into replicas by the HPA's rules.
type throughHPA struct {
	controller *hpa.Controller
	desired    int
}

func newThroughHPA(s *Scenario, stabilization time.Duration) throughHPA {
	config := hpa.DefaultConfig()
	config.MinReplicas, config.MaxReplicas = max(1, s.Min), s.Max
	config.DownscaleStabilization = stabilization
	config.Behavior = hpa.DefaultBehavior()
	c, err := hpa.New(config)
	if err != nil {
		panic("sim: " + err.Error()) // a validated scenario's bounds always fit
	}
	return throughHPA{controller: c, desired: s.Initial}
}

func (h *throughHPA) average(now time.Time, o *series.Observation, value, target float64) int {
	present := int(o.ReadyReplicas.Or(0) + o.StartingReplicas.Or(0))
	r := h.controller.Reconcile(now, hpa.Input{
		SpecReplicas: h.desired, StatusReplicas: present, ReadyPods: int(o.ReadyReplicas.Or(0)),
		Metrics: []hpa.Metric{{Value: value, Target: target, Average: true}},
	})
	h.desired = r.Replicas
	return h.desired
}

// HPARate is an HPA on the arrival rate with an AverageValue of a share of what a replica can do.
type HPARate struct {
	hpa    throughHPA
	target float64
}

// NewHPARate returns one that aims at a utilisation between 0 and 1.
func NewHPARate(s *Scenario, utilisation float64) *HPARate {
	return &HPARate{newThroughHPA(s, 300*time.Second), utilisation * s.Capacity}
}

// Decide implements Policy.
func (p *HPARate) Decide(now time.Time, o *series.Observation) int {
	return p.hpa.average(now, o, o.ArrivalRate().Or(0), p.target)
}

// KEDALag is KEDA's Kafka scaler: an HPA on the lag with an AverageValue of lagThreshold records, never beyond the partitions.
type KEDALag struct {
	hpa        throughHPA
	threshold  float64
	partitions int
}

// NewKEDALag returns one with a threshold in records.
func NewKEDALag(s *Scenario, lagThreshold float64) *KEDALag {
	return &KEDALag{newThroughHPA(s, 300*time.Second), lagThreshold, s.Partitions}
}

// Decide implements Policy. KEDA caps the metric, not the count: at the threshold times the partitions.
func (p *KEDALag) Decide(now time.Time, o *series.Observation) int {
	lag := min(o.LagRecords.Or(0), p.threshold*float64(p.partitions))
	return p.hpa.average(now, o, lag, p.threshold)
}

// KPA is Knative's pod autoscaler on the arrival rate: a stable window of 60 s and a panic window of a tenth of it, panic at
// twice the capacity, no decrease while it lasts.
// knative.dev/serving pkg/autoscaler/scaling/autoscaler.go.
type KPA struct {
	target     float64
	window     []float64
	panicUntil time.Time
	panicMost  int
	min, max   int
}

// NewKPA returns one that aims at a utilisation between 0 and 1.
func NewKPA(s *Scenario, utilisation float64) *KPA {
	return &KPA{target: utilisation * s.Capacity, min: max(1, s.Min), max: s.Max}
}

// Decide implements Policy.
func (p *KPA) Decide(now time.Time, o *series.Observation) int {
	rate := o.ArrivalRate().Or(0)
	keep := max(1, int(60/o.Interval.Seconds()))
	p.window = append(p.window, rate)
	if len(p.window) > keep {
		p.window = p.window[1:]
	}
	stable := 0.0
	for _, x := range p.window {
		stable += x / float64(len(p.window))
	}
	ready := max(1, int(o.ReadyReplicas.Or(1)))
	// max-scale-up-rate 1000 never binds; max-scale-down-rate is 2.
	floor := ready / 2
	wantStable := max(int(math.Ceil(stable/p.target)), floor)
	wantPanic := max(int(math.Ceil(rate/p.target)), floor)
	if float64(wantPanic)/float64(ready) >= 2 {
		if p.panicUntil.Before(now) {
			p.panicMost = 0
		}
		p.panicUntil = now.Add(60 * time.Second)
	}
	want := wantStable
	if now.Before(p.panicUntil) {
		p.panicMost = max(p.panicMost, wantPanic)
		want = max(want, p.panicMost)
	}
	return min(max(want, p.min), p.max)
}

// RateDrain is the rule of the Flink operator's autoscaler: the arrivals over a target utilisation, plus what drains the
// backlog within the catch-up time, plus what a restart will have let wait; down only to the highest wish of a window.
type RateDrain struct {
	s           Scenario
	utilisation float64
	catchUp     float64
	window      time.Duration
	wishes      []wish
}

type wish struct {
	at time.Time
	n  int
}

// NewRateDrain returns one that aims at a utilisation and looks back over a window before it goes down.
func NewRateDrain(s *Scenario, utilisation float64, window time.Duration) *RateDrain {
	return &RateDrain{s: *s, utilisation: utilisation, catchUp: s.Objective, window: window}
}

// Decide implements Policy.
func (p *RateDrain) Decide(now time.Time, o *series.Observation) int {
	rate := o.ArrivalRate().Or(0)
	// A second of arrivals in the group's hands is no backlog.
	lag := max(0, o.LagRecords.Or(0)-rate)
	target := rate/p.utilisation + lag/p.catchUp
	present := int(o.ReadyReplicas.Or(0) + o.StartingReplicas.Or(0))
	n := int(math.Ceil(target/p.s.Capacity - 1e-9))
	if n != present {
		n = int(math.Ceil((target+rate*p.s.Pause/p.catchUp)/p.s.Capacity - 1e-9))
	}
	kept := p.wishes[:0]
	for _, w := range p.wishes {
		if w.at.After(now.Add(-p.window)) {
			kept = append(kept, w)
		}
	}
	p.wishes = append(kept, wish{now, n})
	if n < present {
		highest := 0
		for _, w := range p.wishes {
			highest = max(highest, w.n)
		}
		n = min(highest, present)
	}
	return min(max(n, p.s.Min), p.s.Max)
}

// PHPA is the predictive-horizontal-pod-autoscaler: it keeps the counts that a plain HPA would want, extrapolates them by a
// line over the last six or by Holt-Winters over a day, takes the larger of wish and prediction, and stabilizes downwards.
type PHPA struct {
	target    float64
	s         Scenario
	history   []float64
	ahead     float64 // ticks
	seasonal  bool
	period    int
	level     float64
	trend     float64
	season    []float64
	seen      int
	downUntil []wish
	windowFor time.Duration
}

// NewPHPA returns one that aims at a utilisation, linear or, if seasonal, by Holt-Winters with a day's season.
func NewPHPA(s *Scenario, utilisation float64, seasonal bool) *PHPA {
	return &PHPA{
		target: utilisation * s.Capacity, s: *s, ahead: math.Ceil(s.Lead / s.Tick), seasonal: seasonal,
		period: int(86400 / s.Tick), windowFor: 300 * time.Second,
	}
}

// Decide implements Policy.
func (p *PHPA) Decide(now time.Time, o *series.Observation) int {
	want := math.Ceil(o.ArrivalRate().Or(0) / p.target)
	var predicted float64
	if p.seasonal {
		predicted = p.holtWinters(want)
	} else {
		p.history = append(p.history, want)
		if len(p.history) > 6 {
			p.history = p.history[1:]
		}
		predicted = extrapolate(p.history, p.ahead)
	}
	n := int(min(max(want, math.Ceil(predicted-1e-9)), 1e6))
	kept := p.downUntil[:0]
	highest := n
	for _, w := range p.downUntil {
		if w.at.After(now.Add(-p.windowFor)) {
			kept = append(kept, w)
			highest = max(highest, w.n)
		}
	}
	p.downUntil = append(kept, wish{now, n})
	return min(max(highest, max(1, p.s.Min)), p.s.Max)
}

// extrapolate returns the least-squares line through ys, `ahead` steps past its last point.
func extrapolate(ys []float64, ahead float64) float64 {
	n := float64(len(ys))
	if n < 2 {
		return ys[len(ys)-1]
	}
	var sx, sy, sxx, sxy float64
	for i, y := range ys {
		x := float64(i)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	slope := (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return sy/n + slope*(n-1+ahead-sx/n)
}

// holtWinters is additive with gains 0.3, 0.003 and 0.14 on level, trend and season.
func (p *PHPA) holtWinters(y float64) float64 {
	if p.season == nil {
		p.season = make([]float64, p.period)
		p.level = y
	}
	at := p.seen % p.period
	err := y - (p.level + p.trend + p.season[at])
	p.level += p.trend + 0.3*err
	p.trend = 0.98 * (p.trend + 0.003*err)
	p.season[at] += 0.14 * err
	p.seen++
	if p.seen < 2*p.period {
		return y
	}
	return p.level + p.ahead*p.trend + p.season[(p.seen-1+int(p.ahead))%p.period]
}

// LastValue is persistence: the arrivals of the last tick over a utilisation, snapped up to a useful count if asked.
type LastValue struct {
	s           Scenario
	utilisation float64
	snap        bool
}

// NewLastValue returns one that aims at a utilisation.
func NewLastValue(s *Scenario, utilisation float64, snap bool) *LastValue {
	return &LastValue{*s, utilisation, snap}
}

// Decide implements Policy.
func (p *LastValue) Decide(_ time.Time, o *series.Observation) int {
	n := max(1, int(math.Ceil(o.ArrivalRate().Or(0)/(p.utilisation*p.s.Capacity)-1e-9)))
	if p.snap {
		n = snapUp(n, p.s.Partitions)
	}
	return min(max(n, p.s.Min), p.s.Max)
}

// snapUp returns the smallest count that spreads the partitions no worse than n does and does n replicas' work.
func snapUp(n, partitions int) int {
	i, _ := slices.BinarySearch(usefulCounts(partitions), n)
	useful := usefulCounts(partitions)
	return useful[min(i, len(useful)-1)]
}

func usefulCounts(partitions int) []int {
	var counts []int
	best := math.MaxInt
	for n := 1; n <= partitions; n++ {
		if each := (partitions + n - 1) / n; each < best {
			best = each
			counts = append(counts, n)
		}
	}
	return counts
}
