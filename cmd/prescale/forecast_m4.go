package main

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster/batch"
)

// forecastM4 reads one series a line, forecasts on every processor and writes one line each, in the order of the file: id,f1,…,fH
// and, where an interval is asked for, after them l1,…,lH,u1,…,uH.
func forecastM4(cmd *cobra.Command, f forecastFlags) error {
	seasons := []int{24, 168}
	if len(f.season) > 0 {
		seasons = seasons[:0]
		for _, text := range f.season {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			switch {
			case err != nil || n < 2:
				return command.Inputf("--season: %q; want a whole number of steps with --m4, 2 at least, such as 24", text)
			case len(seasons) == 2:
				return command.Inputf("--season: %q is the third; want at most two, such as 24,168", text)
			case len(seasons) == 1 && n <= seasons[0]:
				return command.Inputf("--season: %q is not longer than %d; want the shortest first", text, seasons[0])
			}
			seasons = append(seasons, n)
		}
	}
	if f.source.file == "" {
		return command.Inputf("--m4: name a file of one series a line: id,v1,v2,…")
	}
	in, err := history.Open(f.source.file)
	if err != nil {
		return command.Input(err)
	}
	defer in.Close()
	lines, err := history.ReadM4(in, history.Name(f.source.file), 3)
	if err != nil {
		return command.Input(err)
	}
	progress := newProgress(cmd.ErrOrStderr(), "series", len(lines), len(lines) >= 50)
	defer progress.done()
	texts := make([][]byte, len(lines))
	g, ctx := errgroup.WithContext(cmd.Context())
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, line := range lines {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			forecast := batch.Forecast(line.Values, batch.Config{Horizon: f.horizon, Seasons: seasons, Interval: f.interval})
			b := appendValues([]byte(line.ID), forecast.Points)
			texts[i] = append(appendValues(appendValues(b, forecast.Lower), forecast.Upper), '\n')
			progress.one()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(bytes.Join(texts, nil))
	return err
}
