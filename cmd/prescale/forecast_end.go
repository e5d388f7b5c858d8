package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
)

// forecastEnd forecasts the steps after the file's last row.
func forecastEnd(cmd *cobra.Command, s *history.Series, config forecaster.Config, output string) error {
	model, err := catalog.New(config)
	if err != nil {
		return command.Input(err)
	}
	progress := newProgress(cmd.ErrOrStderr(), "row", len(s.Times), len(s.Times) >= manyRows)
	for row := range s.Times {
		if err := cmd.Context().Err(); err != nil {
			progress.done()
			return err
		}
		observe(model, s, row)
		progress.at(row + 1)
	}
	progress.done()
	var f forecaster.Forecast
	model.Forecast(&f, config.MaxSteps)
	perStep(&f)
	var text string
	switch output {
	case "json":
		text, err = forecastJSON(s, &f)
	case "html":
		text, err = forecastHTML(s, &f)
	default:
		text = forecastCSV(s, &f)
	}
	if err != nil {
		return err
	}
	if f.Reason != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "prescale: %s: %s\n", s.Name, f.Reason)
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

func forecastCSV(s *history.Series, f *forecaster.Forecast) string {
	n := len(f.Levels)
	b := []byte("step,time," + levelNames(f.Levels) + "\n")
	for k := range f.Steps {
		b = strconv.AppendInt(b, int64(k+1), 10)
		b = append(b, ',')
		b = append(b, s.FormatTime(f.At.Add(time.Duration(k+1)*f.Step))...)
		b = appendNumbers(b, f.PerStep[k*n:(k+1)*n])
	}
	b = append(b, "max,"...)
	return string(appendNumbers(b, f.Max))
}

func forecastJSON(s *history.Series, f *forecaster.Forecast) (string, error) {
	type step struct {
		Step      int            `json:"step"`
		Time      string         `json:"time"`
		Quantiles map[string]any `json:"quantiles"`
	}
	named := func(values []float64) map[string]any {
		m := map[string]any{}
		for i, q := range f.Levels {
			m[strconv.FormatFloat(q, 'g', -1, 64)] = finite(values[i])
		}
		return m
	}
	out := struct {
		File        string         `json:"file"`
		Column      string         `json:"column"`
		StepSeconds float64        `json:"stepSeconds"`
		LastTime    string         `json:"lastTime"`
		Samples     int            `json:"samples"`
		Warm        bool           `json:"warm"`
		Trusted     bool           `json:"trusted"`
		Reason      string         `json:"reason,omitempty"`
		Levels      []float64      `json:"levels"`
		Steps       []step         `json:"steps"`
		Max         map[string]any `json:"max"`
	}{
		File: s.Name, Column: s.Column, StepSeconds: f.Step.Seconds(), LastTime: s.FormatTime(f.At), Samples: f.Samples,
		Warm: f.Warm, Trusted: f.Trusted, Reason: f.Reason, Levels: f.Levels, Max: named(f.Max),
	}
	n := len(f.Levels)
	for k := range f.Steps {
		out.Steps = append(out.Steps, step{k + 1, s.FormatTime(f.At.Add(time.Duration(k+1) * f.Step)), named(f.PerStep[k*n : (k+1)*n])})
	}
	b, err := json.MarshalIndent(out, "", "  ")
	return string(b) + "\n", err
}
