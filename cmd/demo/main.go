package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"

	"github.com/prescale/prescale/cmd/internal/command"
)

func main() { os.Exit(command.Main("demo", run)) }

// run parses the flags and runs the demo until its end or ctx's, which is a clean end too.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	config, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	var out printer = textPrinter{w: stdout, colour: wantsColour(stdout)}
	if config.Output == "json" {
		out = newJSONPrinter(stdout)
	}
	d, err := newDemo(config, out, logger)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// wantsColour reports whether w is a terminal whose owner has not said no (https://no-color.org).
func wantsColour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && command.IsTerminal(w)
}
