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
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return command.Input(err) })
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand()
	return root.ExecuteContext(ctx)
}
