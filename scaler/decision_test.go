package scaler

import "testing"

func TestBindingIsTheTermThatLedToTheAnswer(t *testing.T) {
	for _, c := range []struct {
		desired int
		counts  []int
		want    int
	}{
		{3, nil, -1},
		{3, []int{3}, 0},
		{3, []int{3, 3}, 1}, // the plan agrees with what is there
		{3, []int{3, 3, 3}, 1},
		{5, []int{3, 5, 5}, 1},
		{4, []int{3, 5, 4}, 2},
		{5, []int{3, 5, 4}, 1}, // the latency rule asked for less than the plan
		{5, []int{3, 5, 2, 5}, 3},
	} {
		d := Decision{DesiredReplicas: c.desired}
		for i, n := range c.counts {
			d.Terms = append(d.Terms, Term{Name: []string{"current", "plan", "latency", "schedule"}[i], Replicas: n})
		}
		if got := d.Binding(); got != c.want {
			t.Errorf("%d of %v: got %d, want %d", c.desired, c.counts, got, c.want)
		}
	}
}
