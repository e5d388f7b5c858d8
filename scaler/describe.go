package scaler

import "fmt"

// describe fills in the Details of d's Terms.
func describe(d *Decision) {
	for i := range d.Terms {
		t := &d.Terms[i]
		switch t.Name {
		case "current":
			t.Detail = fmt.Sprintf("ready or starting: %d", t.Replicas)
			if !d.CurrentReplicas.Known() {
				t.Detail = fmt.Sprintf("how many are ready or starting is not known: %d, as was asked for last, or the least allowed",
					t.Replicas)
			}
		case "plan":
			t.Detail = fmt.Sprintf("least cost of replicas and lateness: %d; "+
				"the 0.95 quantile of the arrivals a lead time ahead is the work of %.2f replicas", t.Replicas, t.Amount)
		case "joins":
			t.Detail = fmt.Sprintf("%.0f would be asked for if they joined at once: "+
				"one after the other they stop the group for longer than it is likely that they are needed", t.Amount)
		case "price":
			t.Detail = fmt.Sprintf("a late record is weighed as %.0f records' worth of service, which is the most: "+
				"so many come late that to weigh them more would hardly keep the promise", t.Amount)
		case "pace":
			t.Detail = fmt.Sprintf("today's budget leaves %.0f %% of what the rest of the day asks for: "+
				"with lateness priced lower to make it last, %d", 100*t.Amount, t.Replicas)
		case "explore":
			t.Detail = fmt.Sprintf("what a replica can do is not known, and the present ones have kept up for a while: %d is the next to try",
				t.Replicas)
		case "guess":
			t.Detail = fmt.Sprintf("what a replica can do is a guess from the most that one was seen to do: %d kept up, "+
				"and only a backlog, or more than that in the median forecast, would tell that they are too few", t.Replicas)
		case "tried":
			t.Detail = fmt.Sprintf(
				"what a replica can do is not known, and fewer have been tried: the count stays at %d until it is seen what they do", t.Replicas)
		case "increased":
			t.Detail = fmt.Sprintf("the last increase was a moment ago, its replicas have just come, or half of all are still to come: "+
				"the count stays at %d until more is known", t.Replicas)
		case "sudden":
			t.Detail = fmt.Sprintf("one tick brought more than chance does, which may be a step or nothing: "+
				"the count stays at %d until the next one tells", t.Replicas)
		case "backlog":
			t.Detail = fmt.Sprintf("draining %.0f records in time asks for %d", t.Amount, t.Replicas)
		case "alone":
			t.Detail = fmt.Sprintf("one partition holds %.0f records, which its consumer drains as its other partitions let it: "+
				"with %d replicas it has fewer of them", t.Amount, t.Replicas)
		case "latency":
			t.Detail = fmt.Sprintf("the latency objective with a load of %.2f replicas asks for %d", t.Amount, t.Replicas)
		case "hold":
			t.Detail = fmt.Sprintf("fewer would be premature: the count stays at %d", t.Replicas)
			if t.Amount > 0 {
				t.Detail = fmt.Sprintf("with as much arriving, %.0f were too few lately, or were gone down to and left again: the count stays at %d",
					t.Amount, t.Replicas)
			}
		case "hush":
			t.Detail = fmt.Sprintf("nothing comes any more of what came steadily, "+
				"and the last time all of it was back within ten minutes: for as long the count stays at the %d that serve what came before",
				t.Replicas)
		case "silence":
			t.Detail = "nothing has come for long enough, and the forecast expects no more than it did meanwhile: none are kept"
			if t.Amount > 0 {
				t.Detail = fmt.Sprintf("nothing comes: the last one goes in %.0f s unless a record does or the forecast expects more",
					t.Amount)
			}
		case "expected":
			t.Detail = fmt.Sprintf(
				"nothing comes, but the forecast has begun to expect up to %.2g records a tick: the last one is kept for them", t.Amount)
		case "panic":
			t.Detail = fmt.Sprintf(
				"within the last minute twice the ready replicas were needed or more: the count stays at %d until that calms down", t.Replicas)
		case "partitionCap":
			t.Detail = fmt.Sprintf("more than %d replicas would be without a partition", t.Replicas)
		case "budget":
			t.Detail = fmt.Sprintf("the day's budget pays for %d", t.Replicas)
		case "schedule":
			t.Detail = fmt.Sprintf("a schedule asks for at least %d", t.Replicas)
		case "minReplicas":
			t.Detail = fmt.Sprintf("replicas.min is %d", t.Replicas)
		case "maxReplicas":
			t.Detail = fmt.Sprintf("replicas.max is %d", t.Replicas)
		case "paused":
			t.Detail = fmt.Sprintf("the policy is paused: the count stays at %d", t.Replicas)
		case "observe":
			t.Detail = fmt.Sprintf("the policy only observes: the count stays at %d", t.Replicas)
		}
	}
}
