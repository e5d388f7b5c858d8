package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/config"
)

// newCheckCommand validates a configuration without opening a connection.
func newCheckCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Validate the configuration and report every problem with its key path",
		Args:  positional(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required("config", path); err != nil {
				return err
			}
			cfg, err := config.Load(path)
			if err != nil {
				return command.Input(fmt.Errorf("%s:\n%w", path, err))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok: %d clusters, %d policies\n", path, len(cfg.Clusters), len(cfg.Policies))
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration file")
	return cmd
}
