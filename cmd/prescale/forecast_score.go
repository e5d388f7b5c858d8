package main

import (
	"fmt"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/forecaster/score"
)

// scoreHistory compares the model with naive methods on the last part of the rows and says whether it is worth it.
func scoreHistory(cmd *cobra.Command, s *history.Series, config forecaster.Config) error {
	const least = 60
	if len(s.Times) < least+config.MaxSteps {
		return command.Inputf("%s: %d rows; --score wants at least %d", s.Name, len(s.Times), least+config.MaxSteps)
	}
	model, err := catalog.New(config)
	if err != nil {
		return command.Input(err)
	}
	progress := newProgress(cmd.ErrOrStderr(), "row", len(s.Times), len(s.Times) >= manyRows)
	methods := []score.Method{{Name: "prescale", Model: model}}
	methods = append(methods, score.Naive(config)...)
	var results []score.Result
	err = command.Interruptible(cmd.Context(), func() {
		results = score.Compare(methods, config, s.Times, s.Values, progress.at)
	})
	progress.done()
	if err != nil {
		return err
	}
	reference, best := results[1].Loss(), results[1]
	if math.IsNaN(reference) || math.IsInf(reference, 0) {
		return command.Inputf("%s: from row %d on, where forecasts are scored, nothing came; want a history with arrivals to its end",
			s.Name, score.First(len(s.Times)))
	}
	out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "method\tloss\tto last value's\tpeak loss\t")
	for _, q := range config.Quantiles {
		fmt.Fprintf(out, "under q%g\t", q)
	}
	fmt.Fprintln(out)
	for i, r := range results {
		fmt.Fprintf(out, "%s\t%.2f %%\t%s\t%s\t", r.Name, 100*r.Loss(), ratio(r.Loss(), reference), percent(r.PeakLoss()))
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
	verdict := fmt.Sprintf("not worth much here: %s does as well", best.Name)
	if gain := 1 - results[0].Loss()/best.Loss(); gain >= 0.02 {
		verdict = fmt.Sprintf("worth it: %.0f %% less loss than the best naive method here, %s", 100*gain, best.Name)
	} else if more := 1 - best.Loss()/results[0].Loss(); more >= 0.02 {
		verdict = fmt.Sprintf("not worth it here: %s has %.0f %% less loss", best.Name, 100*more)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), `
%d origins from row %d of %d on, %d steps each. Loss is twice the mean quantile loss as a share of the mean value, peak loss that of
the maximum over the steps; "under q0.9" is how often the value was at or under that quantile (right is 90 %%).

Forecasting is %s.
`, results[0].Origins, score.First(len(s.Times)), len(s.Times), config.MaxSteps, verdict)
	return err
}

// ratio is a to b, or a dash where there is nothing to divide by.
func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return strconv.FormatFloat(a/b, 'f', 3, 64)
}

// percent is x in percent, or a dash where it is not known, as the loss of a maximum is where every window has a gap.
func percent(x float64) string {
	if math.IsNaN(x) {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", 100*x)
}
