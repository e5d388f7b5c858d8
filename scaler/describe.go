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
				t.Detail = fmt.Sprintf("how many are ready or starting is not known: taken to be %d, the last answer or the least allowed",
					t.Replicas)
			}
		case "plan":
			t.Detail = fmt.Sprintf("%d cost least, replicas and late records together; "+
				"when new ones would be ready, arrivals will keep at most %.2f busy (0.95 quantile)", t.Replicas, t.Amount)
		case "joins":
			t.Detail = fmt.Sprintf("%.0f would be asked for if all could join at once: "+
				"each that joins stops the group, and the last ones cost more by that than they save", t.Amount)
		case "price":
			t.Detail = fmt.Sprintf("a late record counts as much as serving %.0f records, which is the most allowed: "+
				"so many are late that weighing them more would add replicas and hardly help", t.Amount)
		case "pace":
			t.Detail = fmt.Sprintf("today's budget has %.0f %% left of what the rest of the day needs: "+
				"late records are weighed less to make it last, which asks for %d", 100*t.Amount, t.Replicas)
		case "explore":
			t.Detail = fmt.Sprintf("what a replica can do is not known, and the present ones have kept up for a while: "+
				"%d are tried next", t.Replicas)
		case "guess":
			t.Detail = fmt.Sprintf("what a replica can do is guessed from the most that one was seen to do: %d have kept up, "+
				"and stay until a backlog, or a median forecast above what they were seen to do, says that they are too few", t.Replicas)
		case "tried":
			t.Detail = fmt.Sprintf(
				"what a replica can do is not known, and fewer are being tried: the count stays at %d until it shows", t.Replicas)
		case "increased":
			t.Detail = fmt.Sprintf("the count was raised a moment ago, or its replicas have just come or are still starting: "+
				"it stays at %d until their effect shows", t.Replicas)
		case "sudden":
			t.Detail = fmt.Sprintf("one interval brought far more than usual, which may be a step or an outlier: "+
				"the count stays at %d until the next interval tells", t.Replicas)
		case "chance":
			t.Detail = fmt.Sprintf("more may be wanted by chance, since nothing waits and the present replicas can do what is forecast: "+
				"the count stays at %d unless more is wanted for a while", t.Replicas)
		case "backlog":
			t.Detail = fmt.Sprintf("%.0f records wait, and to drain them in time takes %d", t.Amount, t.Replicas)
		case "alone":
			t.Detail = fmt.Sprintf("one partition holds %.0f records, which only its own consumer can drain: "+
				"with %d replicas that one has fewer other partitions", t.Amount, t.Replicas)
		case "latency":
			t.Detail = fmt.Sprintf("the latency objective, where arrivals keep %.2f replicas busy, asks for %d", t.Amount, t.Replicas)
		case "hold":
			t.Detail = fmt.Sprintf("fewer were not enough a moment ago, or a backlog or rebalance is not over: "+
				"the count stays at %d", t.Replicas)
			if t.Amount > 0 {
				t.Detail = fmt.Sprintf("with as much arriving, %.0f were too few lately, or were tried and soon raised again: "+
					"the count stays at %d", t.Amount, t.Replicas)
			}
		case "hush":
			t.Detail = fmt.Sprintf("steady arrivals stopped at once, and the last time that happened they were back within ten minutes: "+
				"for ten minutes the count stays at %d, which serve what came before", t.Replicas)
		case "silence":
			t.Detail = "nothing has come for long enough, and the forecast expects nothing new: no replica is kept"
			if t.Amount > 0 {
				t.Detail = fmt.Sprintf("nothing comes: the last replica goes in %.0f s, unless a record comes or the forecast expects some",
					t.Amount)
			}
		case "expected":
			t.Detail = fmt.Sprintf(
				"nothing comes, but the forecast now expects up to %.2g records an interval: the last replica is kept for them", t.Amount)
		case "panic":
			t.Detail = fmt.Sprintf(
				"at least twice as many replicas were needed as were ready: the count stays at %d until a minute has passed without that",
				t.Replicas)
		case "partitionCap":
			t.Detail = fmt.Sprintf("more than %d replicas would be left without a partition", t.Replicas)
		case "budget":
			t.Detail = fmt.Sprintf("what is left of the day's budget pays for %d", t.Replicas)
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
