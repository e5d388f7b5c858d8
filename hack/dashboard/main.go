// Command dashboard writes the Grafana dashboard as JSON, from Go: go run . FILE. It is a module of its own, so that the
// product does not depend on Grafana's SDK; the file that it writes is committed, and tests hold the two together and run every
// query on the metrics of a running demo. How Grafana draws it is not tested.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboard FILE")
		os.Exit(2)
	}
	data, err := generate()
	if err == nil {
		err = os.WriteFile(os.Args[1], data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

// Units as Grafana names them.
const (
	seconds = "s"
	ratio   = "percentunit"
	count   = "none"
	rate    = "cps"
)

// chosen is the selector of the policies that the variables name; max by drops what tells replicas of Prescale apart, which
// all say the same.
const chosen = `{namespace=~"$namespace", policy=~"$policy"}`

// dashed is how a bound is drawn, beside what it bounds.
var dashed = []dashboard.DynamicConfigValue{
	{Id: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{8, 8}}}, {Id: "custom.fillOpacity", Value: 0},
}

// source is what the reader chooses.
var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}

type query struct{ expr, legend string }

// generate returns the dashboard's JSON, the same bytes each time.
func generate() ([]byte, error) {
	b := dashboard.NewDashboardBuilder("Prescale").
		Uid("prescale").
		Description("What arrives, what is expected, how far behind each consumer group is and how many replicas it gets.").
		Tags([]string{"prescale", "kafka", "autoscaling"}).
		Time("now-3h", "now").Refresh("30s").Timezone("browser").Readonly().
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		WithVariable(variable("namespace", "Namespace", "label_values(prescale_policy_answering, namespace)")).
		WithVariable(variable("policy", "Policy", `label_values(prescale_policy_answering{namespace=~"$namespace"}, policy)`))
	addNow(b)
	addPolicies(b)
	addInference(b)
	addItself(b)
	built, err := b.Build()
	if err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(built, "", "  ")
	return append(data, '\n'), err
}

// addNow adds the row that one looks at first.
func addNow(b *dashboard.DashboardBuilder) {
	b.WithRow(dashboard.NewRowBuilder("Now")).
		WithPanel(one("Policies without a fresh answer", "Their HPAs keep what they have. 0 is well.", count, 4, 5,
			"count(max by (namespace, policy) (prescale_policy_answering"+chosen+") == 0) or 0 * count(prescale_policy_answering)")).
		WithPanel(one("Worst seconds behind", "The oldest record that a group has not committed.", seconds, 4, 5, "max(prescale_kafka_lag_seconds"+chosen+")")).
		WithPanel(one("Replicas wanted", "Over all chosen policies.", count, 4, 5, "sum(max by (namespace, policy) (prescale_desired_replicas"+chosen+"))")).
		WithPanel(one("Arrivals", "Records per second over all chosen policies.", rate, 4, 5, "sum(max by (namespace, policy) (prescale_kafka_arrival_records_per_second"+chosen+"))")).
		WithPanel(one("Age of the oldest sample", "Above three intervals the answer is an error.", seconds, 4, 4, "max(min by (namespace, policy) (prescale_sample_age_seconds"+chosen+"))"))
}

func addPolicies(b *dashboard.DashboardBuilder) {
	b.WithRow(dashboard.NewRowBuilder("Policies")).
		WithPanel(plot("Arrivals and forecast", "The forecast is of the highest rate over the lead time to come.", rate, 12,
			query{"max by (namespace, policy) (prescale_kafka_arrival_records_per_second" + chosen + ")", "{{policy}} arrived"},
			query{`max by (namespace, policy, quantile) (prescale_forecast_arrival_records_per_second{namespace=~"$namespace", policy=~"$policy", quantile=~"0.5|0.9|0.99"})`, "{{policy}} q{{quantile}}"})).
		WithPanel(plot("Replicas", "Wanted and ready.", count, 12,
			query{"max by (namespace, policy) (prescale_desired_replicas" + chosen + ")", "{{policy}} wanted"},
			query{"max by (namespace, policy) (prescale_ready_replicas" + chosen + ")", "{{policy}} ready"})).
		WithPanel(plot("Seconds behind", "Age of the oldest record not committed, and the promise: how old it may be.", seconds, 12,
			query{"max by (namespace, policy) (prescale_kafka_lag_seconds" + chosen + ")", "{{policy}}"},
			query{"max by (namespace, policy) (prescale_objective_lag_seconds" + chosen + ")", "{{policy}} promise"}).
			OverrideByRegexp("/ promise$/", dashed)).
		WithPanel(plot("Lag", "Records that the group is behind.", "short", 12,
			query{"max by (namespace, policy) (prescale_kafka_lag_records" + chosen + ")", "{{policy}}"})).
		WithPanel(plot("Learned: capacity of a replica", "Records per second.", rate, 12,
			query{"max by (namespace, policy) (prescale_capacity_records_per_second" + chosen + ")", "{{policy}}"})).
		WithPanel(plot("Learned: lead time", "From a scale request to a replica's first record.", seconds, 12,
			query{"max by (namespace, policy) (prescale_lead_time_seconds" + chosen + ")", "{{policy}}"})).
		WithPanel(plot("Forecasts kept", "Share of recent horizons whose highest rate was at or under the quantile forecast of it. The 0.9 quantile should keep 0.9.", ratio, 12,
			query{`max by (namespace, policy, quantile) (prescale_forecast_coverage_ratio{namespace=~"$namespace", policy=~"$policy", quantile=~"0.5|0.9|0.99"})`, "{{policy}} q{{quantile}}"})).
		WithPanel(plot("Decisions", "By the rule that bound them, per second.", rate, 12,
			query{`sum by (reason) (rate(prescale_decisions_total[$__rate_interval]))`, "{{reason}}"})).
		WithPanel(plot("Verdicts", "What an operator should know: PartitionBound and HotPartition are not mended by replicas.", count, 24,
			query{"max by (namespace, policy, verdict) (prescale_policy_verdict" + chosen + ")", "{{policy}} {{verdict}}"}))
}

func addInference(b *dashboard.DashboardBuilder) {
	b.WithRow(dashboard.NewRowBuilder("Inference")).
		WithPanel(plot("Requests", "By result, per second.", rate, 8,
			query{"sum by (result) (rate(prescale_inference_requests_total[$__rate_interval]))", "{{result}}"})).
		WithPanel(plot("Latency from Kafka", "From the client's request to the committed prediction.", seconds, 8,
			query{`histogram_quantile(0.5, sum by (le) (rate(prescale_inference_request_duration_seconds_bucket{path="kafka"}[$__rate_interval])))`, "median"},
			query{`histogram_quantile(0.99, sum by (le) (rate(prescale_inference_request_duration_seconds_bucket{path="kafka"}[$__rate_interval])))`, "p99"})).
		WithPanel(plot("Busy", "Mean share of time that a replica works.", ratio, 8,
			query{"avg(rate(prescale_inference_busy_seconds_total[$__rate_interval]))", "busy"})).
		WithPanel(plot("Model version", "More than one while a new one takes over.", count, 12,
			query{"min(prescale_inference_model_version > 0)", "oldest that serves"},
			query{"max(prescale_inference_model_version)", "newest that serves"})).
		WithPanel(plot("Transactions", "By how they ended, per second. An aborted one is repeated.", rate, 12,
			query{"sum by (result) (rate(prescale_inference_transactions_total[$__rate_interval]))", "{{result}}"}))
}

func addItself(b *dashboard.DashboardBuilder) {
	b.WithRow(dashboard.NewRowBuilder("Prescale itself")).
		WithPanel(plot("Tick", "Time that one tick spends collecting.", seconds, 12,
			query{"histogram_quantile(0.5, sum by (le, cluster) (rate(prescale_tick_duration_seconds_bucket[$__rate_interval])))", "{{cluster}} median"},
			query{"histogram_quantile(0.99, sum by (le, cluster) (rate(prescale_tick_duration_seconds_bucket[$__rate_interval])))", "{{cluster}} p99"})).
		WithPanel(plot("Failed ticks", "Ticks in which nothing could be collected, per second.", rate, 12,
			query{"sum by (cluster) (rate(prescale_tick_errors_total[$__rate_interval]))", "{{cluster}}"})).
		WithPanel(plot("Memory", "Of the Go runtime.", "bytes", 12, query{`sum by (instance) (go_memstats_heap_inuse_bytes)`, "{{instance}}"})).
		WithPanel(plot("Goroutines", "If only ever more, something leaks.", count, 12, query{"sum by (instance) (go_goroutines)", "{{instance}}"}))
}

// one is a panel of one number.
func one(title, help, unit string, height, span uint32, expr string) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(help).Unit(unit).Datasource(source).Height(height).Span(span).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		GraphMode(common.BigValueGraphModeArea).NoValue("no data").
		WithTarget(prometheus.NewDataqueryBuilder().Expr(expr).Range().RefId("A"))
}

// plot is a panel of lines over time.
func plot(title, help, unit string, span uint32, queries ...query) *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().Title(title).Description(help).Unit(unit).Min(0).Datasource(source).Height(8).Span(span).
		LineWidth(1.5).FillOpacity(6).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementBottom).
			ShowLegend(true).Calcs([]string{"lastNotNull", "max"})).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti))
	for i, q := range queries {
		p.WithTarget(prometheus.NewDataqueryBuilder().Expr(q.expr).LegendFormat(q.legend).Range().RefId(string(rune('A' + i))))
	}
	return p
}

func variable(name, label, expr string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source).
		Query(dashboard.StringOrMap{String: &expr}).Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).Multi(true).IncludeAll(true).AllValue(".*")
}
