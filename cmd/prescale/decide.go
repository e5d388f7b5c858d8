package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

func newDecideCommand() *cobra.Command {
	var policy, history string
	c := &cobra.Command{
		Use:   "decide --policy FILE",
		Short: "Read one JSON observation a line on stdin, write one JSON decision a line on stdout",
		Long: `Read one JSON observation a line on stdin, write one JSON decision a line on stdout.

In, once per tick; any key may be missing or null, which is not zero:
  {"t": seconds, "intervalSeconds": 15, "arrivalRecords": n, "consumedRecords": n,
   "lagRecords": n, "lagSeconds": x, "readyReplicas": n, "startingReplicas": n,
   "partitions": n, "partitionLagRecords": [...], "partitionArrivalRecords": [...],
   "busyRatio": x, "latencySeconds": x, "startupSeconds": [...], "rebalancing": false}
Out, flushed per line:
  {"t": seconds, "desiredReplicas": n, "reason": "...", "verdicts": [...],
   "arrivalForecast": {"0.5": x, ...}, "capacityPerReplica": x, "leadTimeSeconds": x}

Optional besides: "unschedulableReplicas", "provisionedStartupSeconds"; for a policy with a
workCounter "arrivalWork" (where the first line has none, records are reckoned in); for one with a
vertical mode "replicaCpuCores", what each replica may use of a CPU, answered by "size"; for one
with pools, answered by "pools":
  "pools": [{"name": "gpu", "readyReplicas": n, "startingReplicas": n, "consumedRecords": n,
             "unschedulableReplicas": n, "busyRatio": x, "startupSeconds": [...]}]

Where "reason" is Stale, nothing was decided: keep the replicas that there are.

A key that is not known is left aside, and said on stderr if the first line has it. A line that
cannot be read is reported on stderr and answered by the last decision with "error"; the exit code
is then 1.

The policy file is a ScalePolicy or its spec. Where it states no interval, the first line's is
taken. Its schedules and events count t from 1970-01-01 UTC.`,
		Example: "  prescale decide --policy policy.yaml --history arrivals.csv < observations.jsonl",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := newDeciding(policy, history, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return d.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "ScalePolicy `FILE`")
	c.Flags().StringVar(&history, "history", "", "CSV `FILE` to warm up with: t_s, records that came in the step from then on")
	return c
}

// readPolicy reads and checks a policy file. A policy without a name, such as a bare spec, is named after the file.
func readPolicy(path string) (*v1alpha1.ScalePolicy, scaler.Config, error) {
	if path == "" {
		return nil, scaler.Config{}, command.Inputf("--policy: is missing: name a ScalePolicy file")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, scaler.Config{}, command.Inputf("--policy: %w", err)
	}
	p, err := v1alpha1.Parse(data)
	if err != nil {
		return nil, scaler.Config{}, command.Inputf("%s: %w", path, err)
	}
	if p.ObjectMeta.Name == "" {
		p.ObjectMeta.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	config, err := p.ScalerConfig()
	if err != nil {
		return nil, scaler.Config{}, command.Inputf("%s:\n%w", path, err)
	}
	return p, config, nil
}

// newAutoscaler makes the shipped rule with the standard model for a policy.
func newAutoscaler(p *v1alpha1.ScalePolicy, config scaler.Config) (*scaler.Autoscaler, error) {
	model, err := catalog.New(forecaster.Config{
		Step: config.Interval, MaxSteps: config.ForecastSteps(), Quantiles: forecaster.DefaultQuantiles(), Seasons: p.Seasons(),
		Events: p.Events(),
	})
	if err != nil {
		return nil, err
	}
	return scaler.NewAutoscaler(config, model)
}

// answerLine is one line of output.
type answerLine struct {
	T                  series.Value          `json:"t"`
	DesiredReplicas    int                   `json:"desiredReplicas"`
	Reason             scaler.Reason         `json:"reason"`
	Verdicts           []scaler.Verdict      `json:"verdicts"`
	ArrivalForecast    map[string]float64    `json:"arrivalForecast"`
	CapacityPerReplica series.Value          `json:"capacityPerReplica"`
	LeadTimeSeconds    series.Value          `json:"leadTimeSeconds"`
	Pools              []scaler.PoolDecision `json:"pools,omitempty"`
	Size               *scaler.SizeDecision  `json:"size,omitempty"`
	Error              string                `json:"error,omitempty"`
}

// deciding is one run of the line protocol.
type deciding struct {
	policy  *v1alpha1.ScalePolicy
	config  scaler.Config
	history *arrivals
	stderr  io.Writer

	autoscaler *scaler.Autoscaler
	last       answerLine
	lastTime   float64
	ticks      int
	malformed  int
	busyTold   bool // that a busy ratio is none
	backTold   bool // that a time is before the last
	twiceTold  bool // that a time is the last once more
}

// newDeciding reads the policy file and, where one is named, the history.
func newDeciding(policy, history string, stderr io.Writer) (*deciding, error) {
	p, config, err := readPolicy(policy)
	if err != nil {
		return nil, err
	}
	d := &deciding{policy: p, config: config, stderr: stderr}
	if history != "" {
		if d.history, err = readArrivals(history); err != nil {
			return nil, command.Input(err)
		}
	}
	return d, nil
}

func (d *deciding) run(ctx context.Context, in io.Reader, out io.Writer) error {
	d.last = answerLine{
		DesiredReplicas: d.config.MinReplicas, Reason: scaler.ReasonWarmingUp, Verdicts: []scaler.Verdict{scaler.VerdictWarmingUp},
		LeadTimeSeconds: series.Of(d.config.InitialLeadTime.Seconds()),
	}
	reader := bufio.NewReaderSize(in, 1<<16)
	writer := bufio.NewWriter(out)
	lines := 0
	for number := 1; ; number++ {
		var line []byte
		var readErr error
		if command.Interruptible(ctx, func() { line, readErr = reader.ReadBytes('\n') }) != nil {
			return nil
		}
		if len(line) > 0 || readErr == nil {
			lines++
			if number == 1 {
				for _, key := range unknownKeys(bare(line)) {
					fmt.Fprintf(d.stderr, "line 1: key %q is not known and is left aside, here and in the lines to come\n", key)
				}
			}
			answer, err := d.answer(line, number)
			if err != nil {
				d.malformed++
				fmt.Fprintf(d.stderr, "line %d: %v\n", number, err)
				answer = d.last
				answer.Error = fmt.Sprintf("line %d: %v", number, err)
			} else {
				d.last = answer
			}
			b, err := json.Marshal(&answer)
			if err != nil {
				return fmt.Errorf("line %d: write the decision: %w", number, err)
			}
			if _, err := writer.Write(append(b, '\n')); err != nil {
				return err
			}
			if err := writer.Flush(); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			if d.malformed > 0 {
				return fmt.Errorf("%d of %d lines could not be read", d.malformed, lines)
			}
			return nil
		case readErr != nil:
			return fmt.Errorf("line %d: %w", number, readErr)
		}
	}
}

// answer decides on one line. On error nothing has been learned from it.
func (d *deciding) answer(line []byte, number int) (answerLine, error) {
	o, t, err := d.observation(line)
	if err != nil {
		return answerLine{}, err
	}
	if x := o.BusyRatio.Or(0); x > scaler.MaxBusyRatio && !d.busyTold {
		d.busyTold = true
		fmt.Fprintf(d.stderr, "line %d: busyRatio: %g is no share of the time, between 0 and 1: it is left aside, "+
			"here and in the lines to come where it is as high\n", number, x)
	}
	if d.autoscaler == nil {
		if err := d.begin(&o, t); err != nil {
			return answerLine{}, err
		}
	}
	switch {
	case d.ticks == 0 || t > d.lastTime:
	case t < d.lastTime && !d.backTold:
		d.backTold = true
		fmt.Fprintf(d.stderr, "line %d: t: %g is before %g of the line before: nothing is learned of it, and of later lines, "+
			"until t is beyond what it was\n", number, t, d.lastTime)
	case t == d.lastTime && !d.twiceTold:
		d.twiceTold = true
		fmt.Fprintf(d.stderr, "line %d: t: %g is that of the line before, too: nothing is learned of it, "+
			"here and in the lines to come that repeat a time\n", number, t)
	}
	d.lastTime = t
	d.ticks++
	decision := d.autoscaler.Tick(o.At, o)
	a := answerLine{
		T: series.Of(t), DesiredReplicas: decision.DesiredReplicas, Reason: decision.Reason, Verdicts: decision.Verdicts,
		CapacityPerReplica: decision.CapacityPerReplica, LeadTimeSeconds: decision.LeadTimeSeconds, Pools: decision.Pools,
	}
	if decision.Size.Name != "" {
		a.Size = &decision.Size
	}
	if len(decision.ArrivalForecast) > 0 {
		a.ArrivalForecast = make(map[string]float64, len(decision.ArrivalForecast))
		for _, q := range decision.ArrivalForecast {
			a.ArrivalForecast[strconv.FormatFloat(q.Level, 'g', -1, 64)] = q.Value
		}
	}
	return a, nil
}

// observation reads a line. A time that is not given is one interval after the last.
func (d *deciding) observation(line []byte) (series.Observation, float64, error) {
	line = bare(line)
	if len(line) == 0 {
		return series.Observation{}, 0, errors.New("is empty: want a JSON object")
	}
	if line[0] != '{' {
		return series.Observation{}, 0, fmt.Errorf("%.40q: want a JSON object, which begins with {", line)
	}
	var l tickLine
	if err := json.Unmarshal(line, &l); err != nil {
		return series.Observation{}, 0, explainJSON(line, err)
	}
	if err := l.check(); err != nil {
		return series.Observation{}, 0, err
	}
	interval := l.IntervalSeconds.Or(0)
	if interval <= 0 {
		interval = d.config.Interval.Seconds()
		if l.T != nil && d.ticks > 0 && *l.T > d.lastTime {
			interval = *l.T - d.lastTime
		}
	}
	t := d.lastTime + interval
	if d.ticks == 0 {
		t = interval
	}
	if l.T != nil {
		t = *l.T
	}
	name := d.config.Policy
	o := series.Observation{
		Policy: name, At: epoch(t), Interval: time.Duration(interval * float64(time.Second)),
		ArrivalRecords: l.ArrivalRecords, ArrivalWork: l.ArrivalWork, ConsumedRecords: l.ConsumedRecords,
		LagRecords: l.LagRecords, LagSeconds: l.LagSeconds, Partitions: l.Partitions,
		ReadyReplicas: l.ReadyReplicas, StartingReplicas: l.StartingReplicas, UnschedulableReplicas: l.UnschedulableReplicas,
		PartitionLagRecords: l.PartitionLagRecords, PartitionArrivalRecords: l.PartitionArrivalRecords,
		BusyRatio: l.BusyRatio, ReplicaCPUCores: l.ReplicaCPUCores, LatencySeconds: l.LatencySeconds,
		StartupSeconds: known(l.StartupSeconds), ProvisionedStartupSeconds: known(l.ProvisionedSeconds),
		Rebalancing: l.Rebalancing != nil && *l.Rebalancing,
	}
	for _, p := range l.Pools {
		o.Pools = append(o.Pools, series.PoolObservation{
			Name: p.Name, ReadyReplicas: p.ReadyReplicas, StartingReplicas: p.StartingReplicas,
			UnschedulableReplicas: p.UnschedulableReplicas, ConsumedRecords: p.ConsumedRecords,
			BusyRatio: p.BusyRatio, StartupSeconds: known(p.StartupSeconds),
		})
	}
	return o, t, nil
}

// bare is a line without the spaces around it, and without the mark that some editors put at the beginning of a file.
func bare(line []byte) []byte { return bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\ufeff"))) }

// epoch turns the protocol's seconds into a time.
func epoch(seconds float64) time.Time {
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)).UTC()
}

// The ticks that a first line can set. Seasons are kept per tick, so a slip in a unit must not ask for gigabytes.
const (
	shortestTick = time.Second
	longestTick  = time.Hour
)

// begin makes the autoscaler when the first line has told the interval, and warms it up.
func (d *deciding) begin(o *series.Observation, t float64) error {
	if d.policy.Spec.Interval == nil && o.Interval > 0 {
		d.config.Interval = min(max(o.Interval, shortestTick), longestTick)
	}
	if d.config.Work != "" && !o.ArrivalWork.Known() {
		fmt.Fprintf(d.stderr, "line 1: has no arrivalWork, in which the policy reckons (%s): it is decided in records\n", d.config.Work)
		d.config.Work = ""
	}
	a, err := newAutoscaler(d.policy, d.config)
	if err != nil {
		return err
	}
	d.autoscaler = a
	if d.history != nil {
		if late := d.history.warm(a, d.config.Interval.Seconds(), t-o.Interval.Seconds()); late > 0 {
			fmt.Fprintf(d.stderr, "line 1: --history ends %g s after this line begins: it is taken as if it ended there, "+
				"and its days and weeks are moved by as much; count t as the history does, or leave out its later rows\n", late)
		}
	}
	return nil
}
