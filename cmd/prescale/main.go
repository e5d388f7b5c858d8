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

// run builds the command tree and executes it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// newRootCommand returns the command tree. Each subcommand has a file of its own.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "prescale",
		Short: "Scale Kafka-fed services on Kubernetes before the lag arrives",
		Example: `  prescale lag --brokers kafka:9092
  prescale forecast requests.csv --score
  prescale serve --config prescale.yaml`,
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
	root.SetUsageTemplate(usageTemplate)
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
	for _, c := range root.Commands() {
		c.Flags().SortFlags = false // they stand by what they belong to
	}
	return root
}

// usageTemplate is Cobra's without what is not used here, and with the examples last, where one sees them.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" tells more of a command.{{end}}
`

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
