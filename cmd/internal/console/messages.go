package console

import (
	"time"

	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// Hello says what the page shows; it is the first message that a page gets. All times in messages are seconds since 1970.
type Hello struct {
	// Title stands under the product's name.
	Title string `json:"title"`
	// Speed is how many seconds pass on the plots in a second; 1 unless recorded traffic is replayed faster.
	Speed float64 `json:"speed"`
	// UTC shows times of day in UTC and not where the reader is: replayed traffic starts at midnight, so that they tell how
	// long it has run.
	UTC bool `json:"utc"`
	// Policies are listed in this order; the first is shown first.
	Policies []Policy `json:"policies"`
	// Shown is the policy whose ticks come, "" while there is none. The Server fills it in.
	Shown string `json:"shown"`
	// Compare names the policy drawn beside the others as what a plain HPA does; empty for none.
	Compare string `json:"compare,omitempty"`
	// Workloads says that Model and Score messages will come.
	Workloads bool `json:"workloads"`
}

// Policy is what the page must know of a policy besides its ticks.
type Policy struct {
	Name                string  `json:"name"`
	IntervalSeconds     float64 `json:"intervalSeconds"`
	ObjectiveLagSeconds float64 `json:"objectiveLagSeconds"`
}

// Tick is one observation and decision of one policy. What is not known is null.
type Tick struct {
	Policy         string                 `json:"policy"`
	At             float64                `json:"at"`
	Arrivals       series.Value           `json:"arrivals"`
	LagRecords     series.Value           `json:"lagRecords"`
	LagSeconds     series.Value           `json:"lagSeconds"`
	Ready          series.Value           `json:"ready"`
	Starting       series.Value           `json:"starting"`
	Current        series.Value           `json:"current"`
	Desired        int                    `json:"desired"`
	Reason         scaler.Reason          `json:"reason"`
	Verdicts       []scaler.Verdict       `json:"verdicts"`
	Detail         string                 `json:"detail"`
	Forecast       []scaler.QuantileValue `json:"forecast"`
	Level          float64                `json:"level"`
	HorizonSeconds float64                `json:"horizonSeconds"`
	// Ahead is the forecast of each step up to the horizon, by the levels of Forecast: step k (from 1), level i at
	// (k-1)×levels+i. It is empty where only Forecast is known, which is of the highest rate in the whole horizon.
	Ahead []float64 `json:"ahead"`
	// Coverage is, by level, how often recent maxima were at or under their forecast; Distrust why the forecast is not believed.
	Coverage []scaler.QuantileValue `json:"coverage"`
	Distrust string                 `json:"distrust"`
}

// TickOf returns the message for one entry of the read model.
func TickOf(e readmodel.Entry) Tick {
	o, d := &e.Observation, &e.Decision
	t := Tick{
		Policy:         e.Policy,
		At:             Seconds(e.At),
		Arrivals:       o.ArrivalRate(),
		LagRecords:     o.LagRecords,
		LagSeconds:     o.LagSeconds,
		Ready:          o.ReadyReplicas,
		Starting:       o.StartingReplicas,
		Current:        d.CurrentReplicas,
		Desired:        d.DesiredReplicas,
		Reason:         d.Reason,
		Verdicts:       d.Verdicts,
		Detail:         why(d),
		Forecast:       d.ArrivalForecast,
		Level:          d.Level,
		Coverage:       d.Accuracy.MaxCoverage,
		Distrust:       d.Accuracy.Distrust,
		HorizonSeconds: (time.Duration(d.HorizonSteps) * e.Interval).Seconds(),
		Ahead:          e.Ahead,
	}
	if t.Verdicts == nil {
		t.Verdicts = []scaler.Verdict{}
	}
	if t.Coverage == nil {
		t.Coverage = []scaler.QuantileValue{}
	}
	if t.Forecast == nil {
		t.Forecast = []scaler.QuantileValue{}
	}
	if t.Ahead == nil {
		t.Ahead = []float64{}
	}
	if !e.Usable {
		t.Detail = e.Cause
	}
	return t
}

// why returns what the rule that bound the decision says.
func why(d *scaler.Decision) string {
	if len(d.Terms) == 0 {
		return ""
	}
	return d.Terms[d.Binding()].Detail
}

// Model is how the model that serves does.
type Model struct {
	At float64 `json:"at"`
	// Version is the version that serves, empty before the first.
	Version string `json:"version"`
	// AccuracyRatio is the share of right answers among the latest with a known outcome, 0 to 1.
	AccuracyRatio series.Value `json:"accuracyRatio"`
}

// Mark is an event worth a line on the plots and in the log: Kind is "drift" or "model", Label a word or two for the plots.
type Mark struct {
	At    float64 `json:"at"`
	Kind  string  `json:"kind"`
	Label string  `json:"label"`
	Text  string  `json:"text"`
}

// Score is the side-by-side table.
type Score struct {
	// Columns are the contestants, ours first; each row has as many values.
	Columns []string   `json:"columns"`
	Rows    []ScoreRow `json:"rows"`
	// InTimeRatio, Late and Records are ours: of Records answered, Late came after the promise.
	InTimeRatio series.Value `json:"inTimeRatio"`
	Late        int          `json:"late"`
	Records     int          `json:"records"`
	// Note says how the figures came about. Done says that they are final.
	Note string `json:"note"`
	Done bool   `json:"done"`
}

// ScoreRow is one figure for every contestant; Best is the column of the better one, or -1.
type ScoreRow struct {
	Label  string   `json:"label"`
	Values []string `json:"values"`
	Best   int      `json:"best"`
}

// Seconds returns t in seconds since 1970, as messages give times.
func Seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
