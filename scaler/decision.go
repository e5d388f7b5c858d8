package scaler

import (
	"fmt"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

// Decision is the answer for one policy at one tick, with all that explains it.
type Decision struct {
	Policy string    `json:"policy"`
	At     time.Time `json:"at"`
	// DesiredReplicas is the wanted count; CurrentReplicas what was ready or starting when it was decided.
	DesiredReplicas int          `json:"desiredReplicas"`
	CurrentReplicas series.Value `json:"currentReplicas"`
	// Reason is the code of the rule that bound the answer, Verdicts what the operator should know besides, sorted.
	Reason   Reason    `json:"reason"`
	Verdicts []Verdict `json:"verdicts"`
	// Terms lists what each rule asked for, in the order in which they were applied.
	Terms []Term `json:"terms"`

	// ArrivalForecast holds the quantiles of the maximum arrival rate, in records per second, over HorizonSteps steps;
	// nil when there is no forecast to be used.
	ArrivalForecast []QuantileValue `json:"arrivalForecast"`
	HorizonSteps    int             `json:"horizonSteps"`
	// Accuracy is how recent forecasts fared.
	Accuracy ForecastAccuracy `json:"forecastAccuracy,omitzero"`
	// Level is the quantile level that the decision used.
	Level float64 `json:"level"`

	ArrivalRate        series.Value `json:"arrivalRecordsPerSecond"`
	LagRecords         series.Value `json:"lagRecords"`
	LagSeconds         series.Value `json:"lagSeconds"`
	CapacityPerReplica series.Value `json:"capacityPerReplica"`
	LeadTimeSeconds    series.Value `json:"leadTimeSeconds"`

	// WorkPerRecord is the recent mean of a record's work, where the policy measures work other than records. The amounts above
	// are then in records of that size.
	WorkPerRecord series.Value `json:"workPerRecord,omitzero"`
	// HistorySamples is how many samples of an imported history the forecaster began with.
	HistorySamples int `json:"historySamples,omitempty"`

	// Pools holds the split over targets, in the policy's order, where it names several. It adds up to DesiredReplicas and,
	// beyond that, those of a full pool that wait for a node.
	Pools []PoolDecision `json:"pools,omitempty"`

	// Size is the size of a replica that would do best, where the policy has a vertical mode and more than one was measured, or
	// where a partition is hot; else its Name is empty.
	Size SizeDecision `json:"size,omitzero"`

	// What the plan's paths require over horizon ticks, for State.Record.
	horizon    int
	planned    int
	unpaced    series.Value // what is planned without the budget; missing where there is none
	sustained  float64      // the mean of the median path until fewer could be had back, in records per second; 0 where there was no plan
	expected   series.Value // the most records that are forecast for a tick; missing where zero is not allowed or nothing is forecast
	expectSpan time.Duration
	exploring  bool
	draining   bool // a backlog, a rebalance or new partitions ask that no replica be taken away
	required   [pathCount]float64
	next       [pathCount]float64
}

// Binding returns the index of the term that bound the answer: the one that led to DesiredReplicas and that none after it
// changed. A term that asked for fewer than was wanted already bound nothing, and "current", the present count, binds only
// where no rule was asked. It is -1 where there are no terms.
func (d *Decision) Binding() int {
	i := len(d.Terms) - 1
	for i > 0 && d.Terms[i].Replicas != d.DesiredReplicas {
		i--
	}
	for i > 0 && d.Terms[i-1].Replicas == d.DesiredReplicas && d.Terms[i-1].Name != "current" {
		i--
	}
	// The plan is for the backlog too; the term after it says that without it the plan asks for fewer.
	if d.Reason == ReasonBacklog {
		for j := i + 1; j < len(d.Terms); j++ {
			if d.Terms[j].Name == "backlog" && d.Terms[j].Replicas == d.DesiredReplicas {
				return j
			}
		}
	}
	return i
}

// QuantileValue is one quantile of a forecast.
type QuantileValue struct {
	Level float64 `json:"level"`
	Value float64 `json:"value"`
}

// PoolDecision is the share of one target.
type PoolDecision struct {
	Name            string `json:"name"`
	DesiredReplicas int    `json:"desiredReplicas"`
	// CapacityPerReplica is what one of its replicas has been seen to do, in records per second.
	CapacityPerReplica series.Value `json:"capacityPerReplica"`
}

// SizeDecision is a size among those that were seen at work: the one for which the demand costs least, of those that keep up with
// the hottest partition.
type SizeDecision struct {
	// Name is a pool's, or tells the CPU. CPUCores is what each replica may use of it; 0 for a pool.
	Name     string  `json:"name"`
	CPUCores float64 `json:"cpuCores,omitempty"`
	// CapacityPerReplica is what one was seen to do, in records per second. The demand takes Replicas of it, which cost
	// PricePerHour: in the pools' currency, or in cores.
	CapacityPerReplica float64 `json:"capacityPerReplica"`
	Replicas           int     `json:"replicas"`
	PricePerHour       float64 `json:"pricePerHour"`
	// HotPartition says that not even this one, the fastest, keeps up with the hottest partition.
	HotPartition bool `json:"hotPartition,omitempty"`
}

// Text says it in words.
func (s SizeDecision) Text() string {
	switch {
	case s.Name == "":
		return ""
	case s.HotPartition:
		return fmt.Sprintf("of the sizes that were seen at work not even %s keeps up with the hottest partition: "+
			"it does %.4g records/s", s.Name, s.CapacityPerReplica)
	default:
		return fmt.Sprintf("of the sizes that were seen at work %s does best: %d of it, which do %.4g records/s each", s.Name,
			s.Replicas, s.CapacityPerReplica)
	}
}

// Term is what one rule of the decision asked for.
type Term struct {
	// Name is the rule, in camelCase; Replicas is the count after it was applied.
	Name     string `json:"name"`
	Replicas int    `json:"replicas"`
	// Amount is the rule's own number, which Detail explains; 0 where it has none.
	Amount float64 `json:"amount,omitempty"`
	// Detail says it in words with its numbers.
	Detail string `json:"detail,omitempty"`
}
