package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/score"
)

// scoreHistory compares the model with naive methods on the last 30 % of the rows and says whether it is worth it.
func scoreHistory(cmd *cobra.Command, s *history.Series, config forecaster.Config) error {
	const least = 60
	if len(s.Times) < least+config.MaxSteps {
		return command.Inputf("%s: %d rows; --score wants at least %d", s.Name, len(s.Times), least+config.MaxSteps)
	}
	model, err := catalog.New(config)
	if err != nil {
		return command.Input(err)
	}
	progress := newProgress(cmd.ErrOrStderr(), len(s.Times))
	methods := []score.Method{{Name: "prescale", Model: model}}
	for _, naive := range score.Naive(config) {
		methods = append(methods, naive)
	}
	results := score.Compare(methods, config, s.Times, s.Values, progress.at)
	progress.done()
	out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "method\tloss %%\tof last value\tpeak loss %%\t")
	for _, q := range config.Quantiles {
		fmt.Fprintf(out, "under q%g\t", q)
	}
	fmt.Fprintln(out)
	reference := results[1].Loss()
	best := results[1]
	for i, r := range results {
		fmt.Fprintf(out, "%s\t%.2f\t%.3f\t%.2f\t", r.Name, 100*r.Loss(), r.Loss()/reference, 100*r.PeakLoss())
		for l := range config.Quantiles {
			fmt.Fprintf(out, "%.1f %%\t", 100*r.Cover(l))
		}
		fmt.Fprintln(out)
		if i > 0 && r.Loss() < best.Loss() {
			best = r
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	gain := 1 - results[0].Loss()/best.Loss()
	verdict := fmt.Sprintf("worth it: %.0f %% less loss than the best naive method here, %s", 100*gain, best.Name)
	if gain < 0.02 {
		verdict = fmt.Sprintf("not worth much here: %s does as well", best.Name)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "\n%d origins in the last 30 %% of %d rows, %d steps each. Forecasting is %s.\n",
		results[0].Origins, len(s.Times), config.MaxSteps, verdict)
	return err
}
