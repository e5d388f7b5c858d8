package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/sim"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// backtestFlags are what the user may say and ask.
type backtestFlags struct {
	source historySource
	policy string
	stated v1alpha1.ScalePolicy // what the file of --policy holds

	capacity, price  float64
	need             float64
	lead, nodeLead   time.Duration
	nodeReplicas     int
	partitions       int
	objective        time.Duration
	ratio            float64
	minimum, maximum int
	pause            time.Duration
	assignor         string
	noise            float64
	tick             time.Duration
	seed             uint64
	output, html     string
	quiet            bool
}

func newBacktestCommand() *cobra.Command {
	f := &backtestFlags{}
	c := &cobra.Command{
		Use:   "backtest --input FILE.csv",
		Short: "Try the shipped rule and its competitors on your own history",
		Long: `Try the shipped rule and its competitors on your own history, in a simulated consumer group.

The history is a CSV file of times (seconds or dates) and counts of records per step, a Prometheus
server, a Kafka topic's timestamps, or what a daemon recorded of a policy in its event log.

The table gives each rule's cost as a multiple of the least that any rule could pay, the share of
records later than the objective, the 99th percentile of seconds behind, and changes and partition
moves a day. --html writes one self-contained page.

Every what-if is a flag: a longer --lead-time, more --partitions, another --objective or --price.
With --policy the file's schedules and events hold too; a history without dates then begins on a
Monday at 0:00 UTC. A policy that only observes or is paused is tried as if it were active, and
pools as one. Progress is shown on standard error.`,
		Example: `  prescale backtest --input arrivals.csv --capacity 500 --lead-time 90s --html report.html
  prescale backtest --prometheus http://localhost:9090 --start 2026-01-01T00:00:00Z --step 1m \
    --end 2026-01-15T00:00:00Z --query 'sum(rate(kafka_topic_records_in_total[1m]))'
  prescale backtest --from-kafka prescale.yaml --name ai/inference --start 168h`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), cmd.Flags().Changed)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.source.file, "input", "", "CSV `FILE` with the history, also .gz; - is standard input")
	f.source.bind(flags)
	flags.StringVar(&f.policy, "policy", "", "ScalePolicy `FILE`; flags given beside it win")
	flags.Float64Var(&f.capacity, "capacity", 0, "records per second that a replica can do (default: by --need)")
	flags.Float64Var(&f.need, "need", 8, "the capacity keeps so many replicas busy on average")
	flags.Float64Var(&f.noise, "noise", 0.05, "deviation among replicas, a share of the capacity")
	flags.DurationVar(&f.lead, "lead-time", time.Minute, "how long a replica takes to start")
	flags.IntVar(&f.nodeReplicas, "node-replicas", 0, "replicas that a node has room for (default: always room)")
	flags.DurationVar(&f.nodeLead, "node-lead-time", 2*time.Minute, "how much later one that needs a node starts")
	flags.IntVar(&f.partitions, "partitions", 48, "partitions of the topics")
	flags.StringVar(&f.assignor, "assignor", "range", "range, roundrobin, sticky or cooperative-sticky")
	flags.DurationVar(&f.pause, "pause", 3*time.Second, "how long a rebalance stops the group")
	flags.DurationVar(&f.objective, "objective", 30*time.Second, "how long records may wait")
	flags.Float64Var(&f.ratio, "violation-ratio", 0.001, "share of the records that may wait longer")
	flags.IntVar(&f.minimum, "min", 1, "fewest replicas")
	flags.IntVar(&f.maximum, "max", 0, "most replicas (default: as many as partitions)")
	flags.Float64Var(&f.price, "price", 0, "price of a replica-hour; adds a column")
	flags.DurationVar(&f.tick, "interval", 15*time.Second, "time between decisions")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the simulated noise")
	flags.StringVarP(&f.output, "output", "o", "table", "table or json")
	flags.StringVar(&f.html, "html", "", "write a self-contained report to this `FILE`")
	flags.BoolVar(&f.quiet, "quiet", false, "show no progress")
	return c
}

// backtestRow is one rule's outcome, as printed and as JSON.
type backtestRow struct {
	Policy         string  `json:"policy"`
	Setting        float64 `json:"setting,omitempty"`
	CostRatio      float64 `json:"costRatio"`
	ReplicaHours   float64 `json:"replicaHours"`
	Price          float64 `json:"price,omitempty"`
	LateRatio      float64 `json:"lateRatio"`
	P99Seconds     float64 `json:"p99SecondsBehind"`
	ChangesPerDay  float64 `json:"changesPerDay"`
	MovesPerDay    float64 `json:"partitionMovesPerDay"`
	UnderProvision float64 `json:"underProvisionedTimeRatio"`
	OverProvision  float64 `json:"overProvisionedTimeRatio"`
	KnowsCapacity  bool    `json:"knowsCapacity"`
	KnowsTheFuture bool    `json:"knowsTheFuture,omitempty"`

	points []sim.Point
}

type backtestResult struct {
	Trace          string        `json:"trace"`
	Days           float64       `json:"days"`
	MeanRate       float64       `json:"meanArrivalRecordsPerSecond"`
	Capacity       float64       `json:"capacityPerReplica"`
	Assumed        bool          `json:"capacityAssumed,omitempty"` // --need took the place of --capacity
	LeadSeconds    float64       `json:"leadTimeSeconds"`
	Partitions     int           `json:"partitions"`
	Objective      float64       `json:"objectiveLagSeconds"`
	ViolationRatio float64       `json:"violationRatio"`
	OracleLower    float64       `json:"oracleCostRatioAtLeast"`
	OracleUpper    float64       `json:"oracleCostRatioAtMost"`
	Rows           []backtestRow `json:"policies"`
	Gaps           int           `json:"gapSteps"`
	// LateAtMost is what comes late with MostReplicas, as many as are allowed, all the time.
	MostReplicas int     `json:"mostReplicas"`
	LateAtMost   float64 `json:"lateRatioWithMostReplicas"`

	scenario sim.Scenario
	recorded *sim.Forecasts
}

func (f *backtestFlags) run(ctx context.Context, stdout, stderr io.Writer, changed func(string) bool) error {
	if f.output != "table" && f.output != "json" {
		return command.Inputf("--output: %q: want table or json", f.output)
	}
	if err := f.check(changed); err != nil {
		return command.Input(err)
	}
	h, err := f.history(ctx, stderr)
	if err != nil {
		return err
	}
	trace, gaps, err := h.trace()
	if err != nil {
		return command.Input(err)
	}
	s, config, err := f.scenario(trace, h.start(), changed)
	if err != nil {
		return command.Input(err)
	}
	if n := len(f.stated.Spec.Pools); n > 0 {
		fmt.Fprintf(stderr, "%s: pools: all replicas are simulated alike, as --capacity and --lead-time say, and not as of %d pools\n", f.policy, n)
	}
	bar := &progressBar{out: stderr, quiet: f.quiet}
	result, err := f.tryAll(ctx, s, config, bar)
	bar.done()
	if err != nil {
		return err
	}
	result.Gaps = gaps
	if f.html != "" {
		if err := writeReport(f.html, result); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "report written to %s\n", f.html)
	}
	if f.output == "json" {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(result)
	}
	return result.print(stdout, f.price > 0)
}

// mostPartitions is more than a Kafka cluster has. A hundred thousand take a minute for each day of history.
const mostPartitions = 200_000

// check says which flags cannot be, all of them at once. A default of 0 stands for something else, which nobody means who gives it.
func (f *backtestFlags) check(given func(flag string) bool) error {
	finite := func(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
	var errs []error
	for _, flag := range []struct {
		name  string
		value any
		ok    bool
		want  string
	}{
		{"capacity", f.capacity, finite(f.capacity) && (f.capacity > 0 || !given("capacity")), "more than 0 records per second"},
		{"need", f.need, finite(f.need) && f.need > 0, "more than 0"},
		{"noise", f.noise, f.noise >= 0 && f.noise < 1, "a share from 0 to below 1, such as 0.05"},
		{"lead-time", f.lead, f.lead >= 0, "0 or more"},
		{"node-replicas", f.nodeReplicas, f.nodeReplicas >= 0, "0 or more"},
		{"node-lead-time", f.nodeLead, f.nodeLead >= 0, "0 or more"},
		{"partitions", f.partitions, f.partitions >= 1 && f.partitions <= mostPartitions, fmt.Sprintf("from 1 to %d", mostPartitions)},
		{"pause", f.pause, f.pause >= 0, "0 or more"},
		{"objective", f.objective, f.objective > 0, "more than 0"},
		{"violation-ratio", f.ratio, f.ratio > 0 && f.ratio < 1, "a share between 0 and 1, such as 0.001"},
		{"min", f.minimum, f.minimum >= 0, "0 or more"},
		{"max", f.maximum, f.maximum >= 1 || !given("max"), "1 or more"},
		{"price", f.price, finite(f.price) && f.price >= 0, "0 or more"},
		{"interval", f.tick, f.tick > 0, "more than 0, such as 15s"},
		{"min", f.minimum, f.minimum <= f.maximum || !given("min") || !given("max"), fmt.Sprintf("at most --max, which is %d", f.maximum)},
	} {
		if !flag.ok {
			errs = append(errs, fmt.Errorf("--%s: %v: want %s", flag.name, flag.value, flag.want))
		}
	}
	if given("need") && given("capacity") {
		errs = append(errs, errors.New("--need: goes without --capacity, which it takes the place of"))
	}
	if given("node-lead-time") && f.nodeReplicas == 0 {
		errs = append(errs, errors.New("--node-lead-time: want --node-replicas beside it"))
	}
	if _, err := sim.ParseAssignor(f.assignor); err != nil {
		errs = append(errs, fmt.Errorf("--%w", err))
	}
	if f.html != "" {
		if err := writable(f.html); err != nil {
			errs = append(errs, fmt.Errorf("--html: %w", err))
		}
	}
	return errors.Join(errs...)
}

// writable says why a file could not be written, before there is anything to write, and leaves it as it is.
func writable(path string) error {
	_, missing := os.Stat(path)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if err = file.Close(); errors.Is(missing, os.ErrNotExist) {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// start returns when the history began, and the zero Time for one that counts its seconds from a beginning of its own.
func (h *arrivals) start() time.Time {
	if h.begin < 1e8 {
		return time.Time{}
	}
	return epoch(h.begin)
}

func (f *backtestFlags) history(ctx context.Context, stderr io.Writer) (*arrivals, error) {
	s, err := f.source.read(ctx, time.Now(), stderr)
	if err != nil {
		return nil, err
	}
	h, err := newArrivals(s)
	return h, command.Input(err)
}

// trace turns a history into arrivals; a gap keeps the rate before it, and one that the history begins with has the first that is known,
// since nobody knows better.
func (h *arrivals) trace() (*sim.Trace, int, error) {
	rates := h.rates()
	gaps, last := 0, 0.0
	if i := slices.IndexFunc(rates, func(r float64) bool { return !math.IsNaN(r) }); i >= 0 {
		last = rates[i]
	}
	for i, r := range rates {
		if math.IsNaN(r) {
			gaps++
			rates[i] = last
			continue
		}
		last = r
	}
	trace, err := sim.NewTrace(h.name, h.step, rates)
	return trace, gaps, err
}

// scenario is the world to try the rules in; begin is when the trace began, the zero Time where that is not known.
func (f *backtestFlags) scenario(trace *sim.Trace, begin time.Time, changed func(string) bool) (sim.Scenario, scaler.Config, error) {
	config := scaler.DefaultConfig()
	config.Policy = "default/backtest"
	fromPolicy := f.policy != ""
	if fromPolicy {
		p, c, err := readPolicy(f.policy)
		if err != nil {
			return sim.Scenario{}, config, err
		}
		f.stated, config = *p, c
		config.Work = "" // what the history counts is the one unit that there is
		// The rule is tried at work, though it may only observe today, and on replicas that are all alike: of a split over pools one
		// target would get the sum, which says nothing where one does as much as ten.
		config.Observe, config.Paused, config.Pools = false, false, nil
	}
	use := func(flag string) bool { return !fromPolicy || changed(flag) }
	if use("objective") {
		config.ObjectiveLag = f.objective
	}
	if use("violation-ratio") {
		config.ViolationRatio = f.ratio
	}
	if use("interval") {
		config.Interval = f.tick
	}
	if use("min") {
		config.MinReplicas = f.minimum
	}
	if use("max") {
		config.MaxReplicas = f.maximum
		if f.maximum == 0 {
			config.MaxReplicas = f.partitions
		}
	}
	if err := config.Validate(); err != nil {
		return sim.Scenario{}, config, err
	}
	s := sim.DefaultScenario(trace)
	s.Tick, s.Lead, s.Partitions = config.Interval.Seconds(), f.lead.Seconds(), f.partitions
	s.Objective, s.Pause = config.ObjectiveLag.Seconds(), f.pause.Seconds()
	s.Min, s.Max, s.CapacityNoise, s.Seed = config.MinReplicas, config.MaxReplicas, f.noise, f.seed
	s.Initial = min(max(8, s.Min), s.Max)
	s.Start = begin
	s.NodeReplicas, s.NodeLead = f.nodeReplicas, f.nodeLead.Seconds()
	s.Assignor = sim.Assignor(f.assignor)
	if steps := forecastSteps(&s); steps > forecaster.MaxHorizonSteps {
		return s, config, fmt.Errorf("--interval: %v: to see past a lead time takes %d of them, and %d can be forecast; want a longer one, or a shorter --lead-time",
			config.Interval, steps, forecaster.MaxHorizonSteps)
	}
	s.Capacity = trace.MeanRate() / f.need
	if f.capacity > 0 {
		s.Capacity = f.capacity
	}
	// A tenth of the history, a day at most, warms up and is not counted.
	s.CountFrom = min(86400, trace.Duration()/10)
	if trace.Duration() < 20*s.Tick {
		return s, config, fmt.Errorf("the history is %.0f s long: want at least 20 intervals of %v", trace.Duration(), config.Interval)
	}
	return s, config, s.Validate()
}

// ours is the name of the shipped rule among the contenders; its ablations begin with it.
const ours = "prescale"

// contender is a rule to be tried.
type contender struct {
	name    string
	setting float64
	make    func(*sim.Scenario) (sim.Policy, error)
	plot    bool
	future  bool
	learns  bool
}

// forecastSteps returns how many steps are forecast: a lead time, when it is longer than said, and some beyond it.
func forecastSteps(s *sim.Scenario) int {
	longest := s.Lead
	if s.NodeReplicas > 0 {
		longest += s.NodeLead
	}
	return max(int(math.Ceil(1.3*longest/s.Tick))+6, 4)
}

// tryAll runs every rule over the history.
func (f *backtestFlags) tryAll(ctx context.Context, s sim.Scenario, config scaler.Config, bar *progressBar) (*backtestResult, error) {
	result := &backtestResult{
		Trace: s.Trace.Name, Days: s.Trace.Duration() / 86400, MeanRate: s.Trace.MeanRate(), Capacity: s.Capacity, Assumed: f.capacity == 0,
		LeadSeconds: s.Lead, Partitions: s.Partitions, Objective: s.Objective, ViolationRatio: config.ViolationRatio, scenario: s,
	}
	steps := forecastSteps(&s)
	model, err := catalog.New(forecaster.Config{
		Step: config.Interval, MaxSteps: steps, Quantiles: forecaster.DefaultQuantiles(),
		Seasons: f.stated.Seasons(), Events: f.stated.Events(),
	})
	if err != nil {
		return nil, command.Input(err)
	}
	bar.begin("forecasting")
	var recorded *sim.Forecasts
	if err := command.Interruptible(ctx, func() { recorded = sim.Record(&s, model, steps, bar.share) }); err != nil {
		return nil, err
	}
	result.recorded = recorded
	contenders := f.contenders(config, result.recorded)
	for i, c := range contenders {
		bar.begin(fmt.Sprintf("%d/%d %s", i+1, len(contenders), c.name))
		policy, err := c.make(&s)
		if err != nil {
			return nil, err
		}
		one := s
		one.Keep = c.plot && f.html != ""
		var r sim.Result
		if stopped := command.Interruptible(ctx, func() { r, err = sim.Run(one, counted(policy, &one, bar.share)) }); stopped != nil {
			return nil, stopped
		}
		if err != nil {
			return nil, err
		}
		hours := r.ReplicaSeconds / 3600
		result.Rows = append(result.Rows, backtestRow{
			Policy: c.name, Setting: c.setting, CostRatio: r.Cost(), ReplicaHours: hours, Price: hours * f.price,
			LateRatio: r.LateRatio, P99Seconds: r.WaitP99, ChangesPerDay: float64(r.Changes) / r.Days, MovesPerDay: float64(r.Moves) / r.Days,
			UnderProvision: r.Elasticity.TauUnder, OverProvision: r.Elasticity.TauOver,
			KnowsCapacity: !c.learns, KnowsTheFuture: c.future, points: r.Points,
		})
	}
	bar.begin("most replicas")
	var most sim.Result
	if stopped := command.Interruptible(ctx, func() { most, err = sim.Run(s, counted(sim.Fixed(s.Max), &s, bar.share)) }); stopped != nil {
		return nil, stopped
	}
	if err != nil {
		return nil, err
	}
	result.MostReplicas, result.LateAtMost = s.Max, most.LateRatio
	bar.begin("clairvoyant")
	var o sim.Oracle
	if stopped := command.Interruptible(ctx, func() { o, err = sim.ClairvoyantCost(s) }); stopped != nil {
		return nil, stopped
	}
	if err != nil {
		return nil, err
	}
	result.OracleLower, result.OracleUpper = o.Lower, o.Upper
	return result, nil
}

func (f *backtestFlags) contenders(config scaler.Config, recorded *sim.Forecasts) []contender {
	shipped := func(ratio float64, model func(*sim.Scenario) forecaster.Model) func(*sim.Scenario) (sim.Policy, error) {
		return func(s *sim.Scenario) (sim.Policy, error) {
			c := config
			c.ViolationRatio = ratio
			return sim.NewPrescale(c, model(s))
		}
	}
	standard := func(*sim.Scenario) forecaster.Model { return recorded.Playback() }
	all := []contender{
		{name: ours, setting: config.ViolationRatio, make: shipped(config.ViolationRatio, standard), plot: true, learns: true},
		{name: "prescale, perfect forecasts", make: shipped(config.ViolationRatio, sim.Perfect), future: true, learns: true},
		{name: "prescale, persistence", make: shipped(config.ViolationRatio, func(*sim.Scenario) forecaster.Model { return nil }), learns: true},
	}
	for _, ratio := range []float64{0.0003, 0.001, 0.003, 0.01, 0.03} {
		if ratio != config.ViolationRatio {
			all = append(all, contender{name: ours, setting: ratio, make: shipped(ratio, standard), learns: true})
		}
	}
	simple := func(name string, plotted float64, settings []float64, make func(*sim.Scenario, float64) sim.Policy) {
		for _, x := range settings {
			all = append(all, contender{name: name, setting: x, plot: x == plotted, make: func(s *sim.Scenario) (sim.Policy, error) { return make(s, x), nil }})
		}
	}
	simple("HPA on rate", 0.7, []float64{0.5, 0.6, 0.7, 0.8, 0.9}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewHPARate(s, x) })
	simple("KEDA lag, records", 10, []float64{10}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewKEDALag(s, x) })
	simple("KEDA lag, seconds", 0, []float64{5, 15}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewKEDALag(s, x*s.Capacity) })
	simple("KPA", 0, []float64{0.5, 0.7}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewKPA(s, x) })
	simple("rate + drain (Flink)", 0.7, []float64{0.5, 0.6, 0.7, 0.8, 0.9}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewRateDrain(s, x, 5*time.Minute) })
	simple("PHPA linear", 0, []float64{0.7}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewPHPA(s, x, false) })
	simple("PHPA Holt-Winters", 0, []float64{0.7}, func(s *sim.Scenario, x float64) sim.Policy { return sim.NewPHPA(s, x, true) })
	return all
}

func (r *backtestResult) print(w io.Writer, priced bool) error {
	assumed := ""
	if r.Assumed {
		assumed = " (assumed; --capacity says it)"
	}
	fmt.Fprintf(w, "%s: %s, %.4g records/s on average, %.4g a replica%s, lead time %.0f s, %d partitions, objective %.0f s\n",
		r.Trace, r.Span(), r.MeanRate, r.Capacity, assumed, r.LeadSeconds, r.Partitions, r.Objective)
	if r.Gaps > 0 {
		fmt.Fprintf(w, "steps that are missing and were taken to be as the one before: %d\n", r.Gaps)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "rule\tsetting\tcost\tlate %\tp99 behind\tchanges/day\tmoves/day\treplica-hours\t")
	if priced {
		fmt.Fprint(t, "price\t")
	}
	fmt.Fprintln(t)
	for _, row := range r.Rows {
		setting := "-"
		if row.Setting != 0 {
			setting = fmt.Sprintf("%g", row.Setting)
		}
		fmt.Fprintf(t, "%s\t%s\t%.3f\t%.4f\t%.1f s\t%.0f\t%.0f\t%s\t", row.Policy, setting, row.CostRatio, 100*row.LateRatio, row.P99Seconds, row.ChangesPerDay, row.MovesPerDay, row.Hours())
		if priced {
			fmt.Fprintf(t, "%.2f\t", row.Price)
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "cost is in multiples of arrivals ÷ capacity, or of --min where that is more, and below 1 leaves records waiting at the end; a clairvoyant who knows the partitions pays %.3f to %.3f\n", r.OracleLower, r.OracleUpper)
	fmt.Fprintln(w, "prescale learns the capacity and the lead time, and its setting is the share that may be late; the other rules are told the capacity, and theirs is the utilisation or the lag that they aim at")
	if r.ToZero() {
		fmt.Fprintln(w, "with --min 0 prescale may go to zero; the other rules are tried with at least one replica, though KEDA and Knative could as well")
	}
	fmt.Fprintf(w, "counting begins after the first %.3g hours, which warm the rules up\n", r.WarmHours())
	_, err := fmt.Fprintln(w, r.Promised())
	return err
}
