package scaler

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

func TestSquareRootStaffing(t *testing.T) {
	// The margin grows with the root of the load: four times the load takes twice the margin, and a share less of headroom.
	for _, load := range []float64{4, 16, 64, 256} {
		margin := latencyReplicas(load, 2) - load
		if want := 2 * math.Sqrt(load); math.Abs(margin-want) > 1e-9 {
			t.Errorf("load %v: margin %v, want %v", load, margin, want)
		}
	}
	if got := latencyReplicas(0, 2); got != 0 {
		t.Errorf("no load: got %v, want 0", got)
	}
	// The stricter the promise, the larger the margin; and the more it was missed.
	if !(latencyMargin(0.001, 0) > latencyMargin(0.01, 0) && latencyMargin(0.01, 1) > latencyMargin(0.01, 0)) {
		t.Error("the margin does not grow with what is promised and learned")
	}
}

func TestLatencyObjectiveIsTheMaximumOfBoth(t *testing.T) {
	settle := func(objective, work float64) (Decision, *world) {
		config := testConfig()
		config.ObjectiveLatency = seconds(objective)
		w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 8, hide: func(o *series.Observation) {
			o.LatencySeconds = series.Of(work / max(o.ReadyReplicas.Or(1), 1))
		}}
		var d Decision
		for range 300 {
			d = w.step(700)
		}
		return d, w
	}
	without, _ := settle(0, 0)
	kept, _ := settle(0.2, 0.2)
	missed, w := settle(0.2, 5)
	if kept.DesiredReplicas < without.DesiredReplicas || missed.DesiredReplicas <= kept.DesiredReplicas {
		t.Errorf("replicas without a latency objective %d, with one that is kept %d, with one that is missed %d: want each more than the one before",
			without.DesiredReplicas, kept.DesiredReplicas, missed.DesiredReplicas)
	}
	if missed.DesiredReplicas > 48 {
		t.Errorf("got %d replicas for 48 partitions", missed.DesiredReplicas)
	}
	if !slices.ContainsFunc(missed.Terms, func(x Term) bool { return x.Name == "latency" }) {
		t.Errorf("no latency term in %v", missed.Terms)
	}
	// It was the latency that asked for the last increase.
	reasons := map[Reason]bool{}
	w.a.state.Latency = latencyLoop{}
	for range 40 {
		reasons[w.step(700).Reason] = true
	}
	if !reasons[ReasonLatency] && !reasons[ReasonHold] {
		t.Errorf("got the reasons %v", reasons)
	}
}

// TestALatencyThatReplicasDoNotLower: what is not queueing is told, and the replicas that were tried against it are given back; when the
// service is quick again the objective is kept as before.
func TestALatencyThatReplicasDoNotLower(t *testing.T) {
	config := testConfig()
	config.ObjectiveLatency = seconds(0.2)
	service := 0.1
	w := &world{a: newTest(t, config), lead: 4, partitions: 48, ready: 8, hide: func(o *series.Observation) { o.LatencySeconds = series.Of(service) }}
	settle := func(ticks int) (d Decision, most, told int) {
		for range ticks {
			d = w.step(700)
			most = max(most, d.DesiredReplicas)
			if slices.Contains(d.Verdicts, VerdictLatencyUnreachable) {
				told++
			}
		}
		return d, most, told
	}
	before, _, told := settle(300)
	if told > 0 {
		t.Errorf("unreachable in %d ticks in which it was kept", told)
	}
	service = 0.3
	during, most, told := settle(600)
	if during.DesiredReplicas != before.DesiredReplicas {
		t.Errorf("%d replicas after all, %d at most, want the %d from before", during.DesiredReplicas, most, before.DesiredReplicas)
	}
	if most <= before.DesiredReplicas || told < 500 {
		t.Errorf("%d replicas were tried, want more than %d; told in %d ticks of 600, want 500 at least", most, before.DesiredReplicas, told)
	}
	service = 0.1
	settle(20)
	if _, _, told := settle(20); told > 0 {
		t.Errorf("still unreachable in %d ticks of 20 in which it was kept", told)
	}
}

// TestALatencyThatEachTrialLowersIsNotGivenUp, at the highest factor either.
func TestALatencyThatEachTrialLowersIsNotGivenUp(t *testing.T) {
	var l latencyLoop
	for range 1000 {
		l.observe(10/(1+l.More), 0.2, func(float64) bool { return true })
	}
	if l.More != mostLatencyMore || l.Unreachable {
		t.Errorf("got a factor of %v, unreachable %v; want %v, and that it is not", l.More, l.Unreachable, mostLatencyMore)
	}
}

func seconds(x float64) time.Duration { return time.Duration(x * float64(time.Second)) }
