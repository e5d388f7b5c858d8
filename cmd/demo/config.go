package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"flag"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/trace"
)

// Config is what the demo can be told. All spans but Duration are in the trace's time.
type Config struct {
	// Speed is how many seconds of the trace pass in a second. Default 20: the hour takes three minutes.
	Speed float64
	// Duration is how long to run, in the wall's time; 0 means to the end of the trace.
	Duration time.Duration
	// Seed makes everything random repeatable: the requests' features, start-up delays, outcomes' delays.
	Seed uint64
	// Output is text or json.
	Output string
	// Address is where the page and /metrics are served; empty serves neither.
	Address string
	// Trace is a trace's name or file.
	Trace string

	// Interval is the time between decisions, SyncPeriod that between two looks of an HPA.
	Interval, SyncPeriod time.Duration
	// Objective is how long a record may wait.
	Objective time.Duration
	// StartUp is the least time that a replica takes to start; each takes up to half as much again.
	StartUp time.Duration
	// Service is how long a replica works on one request: what a GPU would take.
	Service time.Duration
	// WarmUp is how much of the start is left out of the summary.
	WarmUp time.Duration
	// Replicas is how many replicas run at the start, MaxReplicas how many there may be.
	Replicas, MaxReplicas int
	// Partitions is how many the topic of requests has.
	Partitions int
}

// DefaultConfig returns what the README shows.
func DefaultConfig() Config {
	return Config{
		Speed: 20, Seed: 1, Output: "text", Address: "127.0.0.1:8080", Trace: trace.AzureName,
		Interval: 15 * time.Second, SyncPeriod: 15 * time.Second, Objective: 30 * time.Second,
		StartUp: 45 * time.Second, Service: time.Second, WarmUp: 5 * time.Minute,
		Replicas: 6, MaxReplicas: 16, Partitions: 96,
	}
}

// maxSpeed is where the rest of the machine, and not the modelled service time, would bound a replica.
const maxSpeed = 200

// Validate reports every problem, each with its flag.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Speed > 0 && c.Speed <= maxSpeed, "--speed: %v: want more than 0 and at most %d", c.Speed, maxSpeed)
	check(c.Duration >= 0, "--duration: %v: want 0 (the whole trace) or more", c.Duration)
	check(c.Output == "text" || c.Output == "json", "-o: %q: want text or json", c.Output)
	return errors.Join(errs...)
}

// parse reads the flags over the defaults. Problems are input errors; -h is flag.ErrHelp.
func parse(args []string, stderr io.Writer) (Config, error) {
	c := DefaultConfig()
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Float64Var(&c.Speed, "speed", c.Speed, "seconds of the trace that pass in one `second`")
	flags.DurationVar(&c.Duration, "duration", c.Duration, "how long to run, such as 1m; 0 runs to the end of the trace (58 min / speed)")
	flags.Uint64Var(&c.Seed, "seed", c.Seed, "seed of all that is random")
	flags.StringVar(&c.Output, "o", c.Output, "output: text, or json for one JSON object a line")
	flags.StringVar(&c.Address, "addr", c.Address, "`host:port` of the page and /metrics; empty for none")
	flags.StringVar(&c.Trace, "trace", c.Trace, "the bundled trace, or a CSV `file` with columns t_s and, for binned counts, requests")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stderr, "Usage: demo [flags]\n\nRuns Prescale on recorded traffic in one process: an in-process Kafka, "+
			"inference replicas, a metrics API, an HPA.\n\n")
		flags.SetOutput(stderr)
		flags.PrintDefaults()
		return c, err
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%w; demo -h lists the flags", err)
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q; demo takes flags only, see -h", flags.Arg(0))
	default:
		err = c.Validate()
	}
	return c, command.Input(err)
}
