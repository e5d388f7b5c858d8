package hpa

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"

	"github.com/prescale/prescale/scaler/hpa"
)

const (
	cases        = 1000
	syncsPerCase = 40
)

// TestSameAsTheController draws HPAs of every kind that scaler/hpa knows, and walks each of them through values, missing values,
// pods that are late, and people who scale by hand. At every sync both must want the same count, for the same reason to have
// an error or none.
func TestSameAsTheController(t *testing.T) {
	worlds := map[string]*world{}
	rescales, errs := 0, 0
	for seed := range uint64(cases) {
		r := rand.New(rand.NewPCG(seed, 7))
		config, object := draw(r)
		object.Name = fmt.Sprint("case-", seed)
		gate := fmt.Sprintf("HPAScaleToZero=%v", config.ScaleToZero)
		if err := utilfeature.DefaultMutableFeatureGate.Set(gate); err != nil {
			t.Fatal(err)
		}
		// The flags are the controller's, so each pair of them takes a controller of its own.
		flags := fmt.Sprint(config.Tolerance, config.DownscaleStabilization)
		if worlds[flags] == nil {
			worlds[flags] = newWorld(config.Tolerance, config.DownscaleStabilization)
		}
		real := worlds[flags]
		real.begin(object)
		ours, err := hpa.New(config)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		// In the bubble time stands still but for Sleep.
		synctest.Test(t, func(t *testing.T) {
			n, e := walk(t, seed, r, real, ours, object)
			rescales, errs = rescales+n, errs+e
		})
		if t.Failed() {
			t.Fatalf("seed %d: %+v, behavior %+v", seed, config, config.Behavior)
		}
	}
	t.Logf("%d cases, %d syncs, %d rescales, %d errors: alike", cases, cases*syncsPerCase, rescales, errs)
	// A comparison in which nothing happens would hold nothing.
	if rescales < cases || errs < cases {
		t.Errorf("%d rescales and %d errors in %d cases: the inputs are too tame", rescales, errs, cases)
	}
}

// walk does one case and returns how many syncs rescaled and how many erred.
func walk(t *testing.T, seed uint64, r *rand.Rand, real *world, ours *hpa.Controller, object *autoscalingv2.HorizontalPodAutoscaler) (rescales, errs int) {
	spec := r.IntN(int(object.Spec.MaxReplicas) + 2)
	status := spec
	load := r.Float64() * 1.5 * float64(object.Spec.MaxReplicas)
	for i := range syncsPerCase {
		switch r.IntN(12) {
		case 0:
			load = r.Float64() * 1.5 * float64(object.Spec.MaxReplicas)
		case 1:
			load = 0
		default:
			load *= 0.8 + 0.4*r.Float64()
		}
		switch r.IntN(50) {
		case 0:
			spec = r.IntN(int(object.Spec.MaxReplicas) + 3) // by hand
		case 1:
			status = r.IntN(spec + 2) // pods die, or a surge is one too many
		}
		ready := status
		if r.IntN(3) == 0 {
			ready = r.IntN(status + 1)
		}
		in := hpa.Input{SpecReplicas: spec, StatusReplicas: status, ReadyPods: ready}
		values := map[string][]int64{}
		for _, m := range object.Spec.Metrics {
			name, target := metricOf(&m)
			one := hpa.Metric{Average: target.AverageValue != nil}
			quantity := target.Value
			if one.Average {
				quantity = target.AverageValue
			}
			one.Target = float64(quantity.MilliValue()) / 1000
			if r.IntN(10) == 0 {
				one.Err = errors.New("cannot be read")
			} else {
				usage := load * one.Target * (0.7 + 0.6*r.Float64())
				if !one.Average {
					usage = one.Target * (0.3 + 1.6*r.Float64()) // a total's ratio is to the count there is
				}
				milli := int64(usage * 1000)
				if r.IntN(8) == 0 { // exactly at an edge
					milli = quantity.MilliValue() * int64(max(1, status))
				}
				one.Value = float64(milli) / 1000
				part := r.Int64N(milli + 1)
				values[name] = []int64{part, milli - part}
			}
			in.Metrics = append(in.Metrics, one)
		}
		want, rescaled, realErr := real.sync(spec, status, ready, values)
		got := ours.Reconcile(time.Now(), in)
		if got.Replicas != want || got.Rescaled != rescaled || (got.Err != nil) != (realErr != nil) {
			t.Errorf("seed %d, sync %d: got %d (rescaled: %v, error: %v), the controller %d (%v, %v) for %+v", seed, i, got.Replicas, got.Rescaled, got.Err, want, rescaled, realErr, in)
			return rescales, errs
		}
		if rescaled {
			rescales++
		}
		if realErr != nil {
			errs++
		}
		spec = want
		if r.IntN(4) > 0 {
			status = spec // else the pods are late
		}
		pause := 15 * time.Second
		if r.IntN(4) == 0 {
			pause = time.Duration(1+r.IntN(90)) * time.Second
		}
		time.Sleep(pause)
	}
	return rescales, errs
}

func metricOf(m *autoscalingv2.MetricSpec) (string, autoscalingv2.MetricTarget) {
	if m.Type == autoscalingv2.ObjectMetricSourceType {
		return m.Object.Metric.Name, m.Object.Target
	}
	return m.External.Metric.Name, m.External.Target
}

// draw makes one HPA in both forms. Ours is given only what its author wrote; the API server's defaults are filled into the
// other by its own code.
func draw(r *rand.Rand) (hpa.Config, *autoscalingv2.HorizontalPodAutoscaler) {
	config := hpa.DefaultConfig()
	config.Tolerance = pick(r, 0, 0.05, 0.1, 0.3)
	config.DownscaleStabilization = pick(r, 0, 30*time.Second, 300*time.Second)
	config.ScaleToZero = r.IntN(2) == 0
	config.MinReplicas = r.IntN(5)
	if !config.ScaleToZero {
		config.MinReplicas = max(1, config.MinReplicas)
	}
	config.MaxReplicas = max(1, config.MinReplicas) + r.IntN(60)

	object := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}}
	object.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "target"}
	lowest := int32(config.MinReplicas)
	object.Spec.MinReplicas, object.Spec.MaxReplicas = &lowest, int32(config.MaxReplicas)
	for i := range 1 + r.IntN(3) {
		object.Spec.Metrics = append(object.Spec.Metrics, drawMetric(r, i))
	}
	if r.IntN(3) > 0 {
		config.Behavior = &hpa.Behavior{}
		object.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{}
		if r.IntN(4) > 0 {
			config.Behavior.ScaleUp, object.Spec.Behavior.ScaleUp = drawRules(r)
		}
		if r.IntN(4) > 0 {
			config.Behavior.ScaleDown, object.Spec.Behavior.ScaleDown = drawRules(r)
		}
	}
	defaults.SetDefaults_HorizontalPodAutoscaler(object)
	return config, object
}

func drawMetric(r *rand.Rand, i int) autoscalingv2.MetricSpec {
	name := autoscalingv2.MetricIdentifier{Name: fmt.Sprint("metric-", i)}
	target := autoscalingv2.MetricTarget{}
	quantity := resource.NewMilliQuantity(pick[int64](r, 1000, 1, 333, 10_000, 1_234_567), resource.DecimalSI)
	if r.IntN(2) == 0 {
		target.Type, target.AverageValue = autoscalingv2.AverageValueMetricType, quantity
	} else {
		target.Type, target.Value = autoscalingv2.ValueMetricType, quantity
	}
	if r.IntN(3) == 0 {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{Metric: name, Target: target}}
	}
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: name, Target: target}}
}

// drawRules leaves out each part now and then.
func drawRules(r *rand.Rand) (hpa.Rules, *autoscalingv2.HPAScalingRules) {
	var ours hpa.Rules
	real := &autoscalingv2.HPAScalingRules{}
	if r.IntN(2) == 0 {
		seconds := pick[int32](r, 0, 15, 60, 300)
		window := time.Duration(seconds) * time.Second
		ours.Stabilization, real.StabilizationWindowSeconds = &window, &seconds
	}
	if r.IntN(2) == 0 {
		tolerance := pick(r, 0, 0.05, 0.2)
		ours.Tolerance, real.Tolerance = &tolerance, resource.NewMilliQuantity(int64(tolerance*1000), resource.DecimalSI)
	}
	if r.IntN(2) == 0 {
		ours.Select = pick(r, hpa.SelectMax, hpa.SelectMin, hpa.SelectMin, hpa.SelectDisabled)
		policy := autoscalingv2.ScalingPolicySelect(ours.Select)
		real.SelectPolicy = &policy
	}
	for range r.IntN(4) {
		seconds := pick[int32](r, 5, 15, 30, 60, 120, 600)
		p := hpa.Policy{Percent: r.IntN(2) == 0, Value: 1 + r.IntN(10), Period: time.Duration(seconds) * time.Second}
		kind := autoscalingv2.PodsScalingPolicy
		if p.Percent {
			kind, p.Value = autoscalingv2.PercentScalingPolicy, 1+r.IntN(200)
		}
		ours.Policies = append(ours.Policies, p)
		real.Policies = append(real.Policies, autoscalingv2.HPAScalingPolicy{Type: kind, Value: int32(p.Value), PeriodSeconds: seconds})
	}
	return ours, real
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
