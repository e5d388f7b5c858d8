// Command prescale is the autoscaler's daemon (serve) and the commands that people type around it.
package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
)

func main() { os.Exit(command.Main("prescale", run)) }

// run builds the command tree and executes it. Each subcommand has a file of its own.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "prescale",
		Short:         "Scale Kafka-fed services on Kubernetes before the lag arrives",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return command.Inputf("unknown command %q; prescale --help lists them", args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return command.Input(err) })
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(
		newServeCommand(),
		newCheckCommand(),
		newBacktestCommand(),
		newDecideCommand(),
		newExplainCommand(),
		newForecastCommand(),
		newLagCommand(),
		newLoadCommand(),
		newReplayCommand(),
	)
	return root.ExecuteContext(ctx)
}

// positional makes a wrong number of arguments the user's mistake: exit code 2, like a wrong flag.
func positional(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return command.Input(check(cmd, args)) }
}

// required checks a flag that has no default.
func required(flag, value string) error {
	if value == "" {
		return command.Inputf("--%s: missing", flag)
	}
	return nil
}
