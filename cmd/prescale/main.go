// Command prescale is the autoscaler's daemon (serve) and the commands that people type around it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/config"
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
		Long: `Scale Kafka-fed services on Kubernetes before the lag arrives.

Exit codes: 0 when all went well; 1 when something failed, or was found by check, replay or decide;
2 for a mistake in flags or files, of which nothing was carried out; 130 when a signal cut it short.`,
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
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return command.BadFlag(c.CommandPath(), err) })
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

// atMost makes more than n arguments the user's mistake: exit code 2, like a wrong flag.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return command.Inputf("unexpected argument %q; %s --help tells what it takes", args[n], cmd.CommandPath())
		}
		return nil
	}
}

// loadConfig reads a daemon's configuration. Every mistake is told under the name of the file.
func loadConfig(path string) (config.Config, error) {
	cfg, err := config.Load(path)
	if unread := (*fs.PathError)(nil); errors.As(err, &unread) && unread.Path == path {
		return cfg, command.Input(err) // and names the file
	}
	if err != nil {
		return cfg, command.Inputf("%s:\n%w", path, err)
	}
	return cfg, nil
}

// writeJSON writes v as an indented document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// required checks a flag that has no default.
func required(flag, value, what string) error {
	if value == "" {
		return command.Inputf("--%s: is missing: want a %s", flag, what)
	}
	return nil
}
