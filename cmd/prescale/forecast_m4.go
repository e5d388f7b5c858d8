package main

import (
	"bufio"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/forecaster/batch"
)

// forecastM4 reads one series a line and writes one line each: id,f1,…,fH and, where an interval is asked for, after them
// l1,…,lH,u1,…,uH.
func forecastM4(cmd *cobra.Command, f forecastFlags) error {
	if f.interval != 0 && !(f.interval > 0 && f.interval < 1) {
		return command.Inputf("--interval: %v is not within (0, 1); want a share such as 0.95", f.interval)
	}
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
	lines, err := history.ReadM4(in, f.source.file, 3)
	if err != nil {
		return command.Input(err)
	}
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
	progress := newProgress(cmd.ErrOrStderr(), 100*len(lines))
	var b []byte
	for i, line := range lines {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		forecast := batch.Forecast(line.Values, batch.Config{Horizon: f.horizon, Seasons: seasons, Interval: f.interval})
		b = appendValues(append(b[:0], line.ID...), forecast.Points)
		b = appendValues(appendValues(b, forecast.Lower), forecast.Upper)
		b = append(b, '\n')
		if _, err := out.Write(b); err != nil {
			return err
		}
		progress.at(100 * (i + 1))
	}
	progress.done()
	return out.Flush()
}
