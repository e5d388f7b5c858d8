package main

import (
	"bufio"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
)

// forecastFlags are what `prescale forecast` was asked.
type forecastFlags struct {
	source    historySource
	horizon   int
	season    []string
	quantiles []float64
	output    string

	rolling bool
	from    int
	every   int
	origins string

	m4       bool
	interval float64

	score bool
}

func newForecastCommand() *cobra.Command {
	var f forecastFlags
	cmd := &cobra.Command{
		Use:   "forecast [FILE.csv]",
		Short: "Forecast a series from its history: quantiles per step and of the maximum",
		Long: `Forecast what comes after the end of a history: the quantiles of each step, and of the maximum over
all of them, which is what an autoscaler must have room for.

The history is a CSV file (t_s,value or timestamp,value under a header line; .gz, and - for standard
input), a Prometheus server, a Kafka topic's timestamps, or what a daemon recorded of a policy.

With --rolling it goes through the file once, as a daemon would, and forecasts at every origin row
from the rows up to it alone. With --score it compares with naive methods on the last part of the
file: is forecasting worth it here? With --m4 it reads one series a line and writes long point
forecasts. Progress is shown on standard error.`,
		Example: `  prescale forecast requests.csv --step 60s --horizon 10
  prescale forecast requests.csv --horizon 10 -o html > forecast.html
  prescale forecast requests.csv --score
  prescale forecast requests.csv --rolling --from 20000 --every 60
  prescale forecast --topic orders --brokers kafka:9092 --step 1m --start 168h --score
  prescale forecast --m4 Hourly-train.csv --horizon 48 --season 24 --interval 0.95`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.source.file = args[0]
			}
			return runForecast(cmd, f)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&f.horizon, "horizon", 10, "how many steps to forecast")
	flags.StringSliceVar(&f.season, "season", nil, "one or two `LENGTHS`, 24h,168h or in steps (default: these, and found)")
	flags.Float64SliceVar(&f.quantiles, "quantiles", []float64{0.5, 0.9, 0.95, 0.99}, "`LEVELS` between 0 and 1, rising")
	flags.Lookup("quantiles").DefValue = "0.5,0.9,0.95,0.99"
	flags.StringVarP(&f.output, "output", "o", "csv", "csv, json or html, a page that needs nothing else")
	flags.BoolVar(&f.rolling, "rolling", false, "forecast at many origin rows, each from the rows up to it")
	flags.IntVar(&f.from, "from", 0, "with --rolling: the first origin, a row counted from 0")
	flags.IntVar(&f.every, "every", 1, "with --rolling: rows from one origin to the next")
	flags.StringVar(&f.origins, "origins", "", "instead of them a `FILE` of origin rows, one a line, rising")
	flags.BoolVar(&f.score, "score", false, "compare with naive methods on the last part of the history")
	flags.BoolVar(&f.m4, "m4", false, "the file has one series a line, id,v1,v2,...; write id,f1,...,fH")
	flags.Float64Var(&f.interval, "interval", 0, "with --m4: then the bounds of this `SHARE` too, l1,...,lH,u1,...,uH")
	f.source.bind(flags)
	return cmd
}

func runForecast(cmd *cobra.Command, f forecastFlags) error {
	if f.output != "csv" && f.output != "json" && f.output != "html" {
		return command.Inputf("--output: %q; want csv, json or html", f.output)
	}
	if f.horizon < 1 || f.horizon > forecaster.MaxHorizonSteps {
		return command.Inputf("--horizon: %d is not within 1 to %d", f.horizon, forecaster.MaxHorizonSteps)
	}
	if err := f.agree(cmd.Flags().Changed); err != nil {
		return command.Input(err)
	}
	if f.m4 {
		return forecastM4(cmd, f)
	}
	var at *origins
	if f.rolling {
		var err error
		if at, err = f.readOrigins(); err != nil {
			return command.Input(err)
		}
		f.source.stepRow = max(1, at.rows[0])
	}
	s, err := f.source.read(cmd.Context(), time.Now(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	seasons, err := parseSeasons(f.season, s.Step)
	if err != nil {
		return command.Input(err)
	}
	config := forecaster.Config{Step: s.Step, MaxSteps: f.horizon, Quantiles: f.quantiles, Seasons: seasons}
	if err := config.Validate(); err != nil {
		return command.Inputf("--%s", strings.ReplaceAll(err.Error(), "\n", "\n--")) // its fields are called as the flags are
	}
	first := slices.IndexFunc(s.Values, func(v float64) bool { return !math.IsNaN(v) })
	if first < 0 {
		return command.Inputf("%s: %d rows, and the %s is missing in all of them; want numbers", s.Name, len(s.Values), s.Column)
	}
	switch {
	case f.score:
		return scoreHistory(cmd, s, config)
	case f.rolling:
		rows, err := at.within(len(s.Times), first, f.every, s.Name)
		if err != nil {
			return command.Input(err)
		}
		return forecastRolling(cmd, s, config, rows)
	default:
		return forecastEnd(cmd, s, config, f.output)
	}
}

// agree refuses flags that would be passed over in silence.
func (f *forecastFlags) agree(given func(flag string) bool) error {
	var modes []string
	for _, flag := range []string{"m4", "rolling", "score"} {
		if given(flag) {
			modes = append(modes, "--"+flag)
		}
	}
	if f.origins != "" && !f.rolling {
		modes, f.rolling = append(modes, "--origins"), true
	}
	if len(modes) > 1 {
		return fmt.Errorf("%s: want one of them", strings.Join(modes, " and "))
	}
	if len(modes) > 0 && f.output != "csv" {
		return fmt.Errorf("--output: %s goes without %s, which has a form of its own", f.output, modes[0])
	}
	for _, flag := range []string{"from", "every"} {
		if given(flag) && (!f.rolling || f.origins != "") {
			return fmt.Errorf("--%s goes with --rolling, and without --origins", flag)
		}
	}
	if given("interval") {
		switch {
		case !f.m4:
			return fmt.Errorf("--interval goes with --m4; give --quantiles instead")
		case !(f.interval > 0 && f.interval < 1):
			return fmt.Errorf("--interval: %v is not within (0, 1); want a share such as 0.95", f.interval)
		}
	}
	if f.m4 {
		for _, flag := range []string{"column", "step", "quantiles", "prometheus", "query", "topic", "brokers", "kafka-config",
			"from-kafka", "name", "start", "end"} {
			if given(flag) {
				return fmt.Errorf("--%s: goes without --m4, which reads a file of one series a line and writes points", flag)
			}
		}
	}
	return nil
}

// parseSeasons reads durations, or whole numbers of steps.
func parseSeasons(texts []string, step time.Duration) ([]time.Duration, error) {
	var out []time.Duration
	for _, text := range texts {
		text = strings.TrimSpace(text)
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			if n > int(math.MaxInt64/step) {
				return nil, fmt.Errorf("--season: %q steps of %v: too long; want a number of steps such as 24", text, step)
			}
			out = append(out, time.Duration(n)*step)
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("--season: %q; want a duration such as 24h, or a number of steps", text)
		}
		out = append(out, d)
	}
	return out, nil
}

// origins are the rows to forecast at, rising.
type origins struct {
	rows  []int
	lines []int // of each row in the file; none where --from and --every gave them
	file  string
}

// readOrigins returns the origins of the flags. Those of --every go on for ever: within ends them.
func (f *forecastFlags) readOrigins() (*origins, error) {
	if f.origins == "" {
		if f.every < 1 {
			return nil, fmt.Errorf("--every: %d; want at least 1", f.every)
		}
		if f.from < 0 {
			return nil, fmt.Errorf("--from: row %d; want a row from 0 on", f.from)
		}
		return &origins{rows: []int{f.from}}, nil
	}
	if f.origins == f.source.file {
		return nil, fmt.Errorf("--origins: %s is the history; want another file, of one row index a line", f.origins)
	}
	in, err := history.Open(f.origins)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out := &origins{file: history.Name(f.origins)}
	scanner := bufio.NewScanner(in)
	for line := 1; scanner.Scan(); line++ {
		text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(scanner.Text(), "\ufeff")), ","))
		if text == "" || line == 1 && strings.EqualFold(text, "origin") {
			continue
		}
		o, err := strconv.Atoi(text)
		switch n := len(out.rows); {
		case err != nil || o < 0:
			return nil, fmt.Errorf("%s: line %d: %q is no row index; want a whole number from 0", out.file, line, text)
		case n > 0 && o <= out.rows[n-1]:
			return nil, fmt.Errorf("%s: line %d: origin %d does not rise above %d", out.file, line, o, out.rows[n-1])
		}
		out.rows, out.lines = append(out.rows, o), append(out.lines, line)
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", out.file, err)
	}
	if len(out.rows) == 0 {
		return nil, fmt.Errorf("%s: no origins; want one row index a line", out.file)
	}
	return out, nil
}

// within returns the origins in a file of so many rows, whose first known value is in the row `first`.
func (o *origins) within(rows, first, every int, path string) ([]int, error) {
	out := o.rows
	if o.file == "" {
		if out[0] >= rows {
			return nil, fmt.Errorf("--from: row %d is not in %s, whose rows are 0 to %d", out[0], path, rows-1)
		}
		for last := out[0]; every < rows-last; last += every {
			out = append(out, last+every)
		}
	} else if i := slices.IndexFunc(out, func(row int) bool { return row >= rows }); i >= 0 {
		return nil, fmt.Errorf("%s: line %d: origin %d is not in %s, whose rows are 0 to %d", o.file, o.lines[i], out[i], path, rows-1)
	}
	if out[0] < first {
		return nil, fmt.Errorf("%s: nothing is known up to origin %d; want origins from row %d on, the first with a number", path,
			out[0], first)
	}
	return out, nil
}

// observe gives the model a row as a rate per second, which is what models take.
func observe(m forecaster.Model, s *history.Series, row int) {
	m.Observe(s.Times[row], s.Values[row]/s.Step.Seconds())
}

// perStep turns a forecast's rates back into the file's own unit, in place.
func perStep(f *forecaster.Forecast) {
	for i := range f.PerStep {
		f.PerStep[i] *= f.Step.Seconds()
	}
	for i := range f.Max {
		f.Max[i] *= f.Step.Seconds()
	}
}

func levelNames(levels []float64) string {
	names := make([]string, len(levels))
	for i, q := range levels {
		names[i] = "q" + strconv.FormatFloat(q, 'g', -1, 64)
	}
	return strings.Join(names, ",")
}

func appendNumbers(b []byte, values []float64) []byte { return append(appendValues(b, values), '\n') }

func appendValues(b []byte, values []float64) []byte {
	for _, v := range values {
		b = append(b, ',')
		b = strconv.AppendFloat(b, v, 'g', 10, 64)
	}
	return b
}

func forecastRolling(cmd *cobra.Command, s *history.Series, config forecaster.Config, origins []int) error {
	model, err := catalog.New(config)
	if err != nil {
		return command.Input(err)
	}
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
	fmt.Fprintf(out, "origin,step,%s\n", levelNames(config.Quantiles))
	rows := origins[len(origins)-1] + 1
	progress := newProgress(cmd.ErrOrStderr(), "row", rows, rows >= manyRows)
	defer progress.done()
	var f forecaster.Forecast
	var line []byte
	next, n := 0, len(config.Quantiles)
	for row := 0; next < len(origins); row++ {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		observe(model, s, row)
		progress.at(row + 1)
		if row != origins[next] {
			continue
		}
		next++
		model.Forecast(&f, config.MaxSteps)
		perStep(&f)
		line = line[:0]
		for k := range f.Steps {
			line = strconv.AppendInt(line, int64(row), 10)
			line = append(line, ',')
			line = strconv.AppendInt(line, int64(k+1), 10)
			line = appendNumbers(line, f.PerStep[k*n:(k+1)*n])
		}
		line = strconv.AppendInt(line, int64(row), 10)
		line = append(line, ",max"...)
		line = appendNumbers(line, f.Max)
		if _, err := out.Write(line); err != nil {
			return err
		}
	}
	return out.Flush()
}

// finite replaces what JSON cannot hold.
func finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}
