package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/kube"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// errFindings makes check exit with 1 when it found something.
var errFindings = errors.New("not every policy is followed: see the findings")

type checkOptions struct {
	config, kubeconfig, namespace, output string
}

// newCheckCommand validates a configuration without opening a connection, and looks at the HPAs of a cluster where one is given.
func newCheckCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [--config FILE] [--kubeconfig FILE]",
		Short: "Find mistakes in a configuration, and HPAs that will not follow their policy",
		Long: `Find mistakes in a daemon's configuration, and HPAs of a cluster that will not follow their policy.

With --config, every problem of the configuration is reported with its key path. No connection is
opened.

With --kubeconfig, the cluster's ScalePolicies and HPAs are read, and what keeps an HPA from doing
what its policy says is reported: its tolerance, a target of the wrong type, bounds, more replicas
than partitions, several controllers on one target. These are the rules of the policy's conditions
Accepted and HPA. With both, the policies of the file are looked at too.

Exit code: 0 when all is well, 1 when something was found or the cluster cannot be asked, 2 for a
mistake in the configuration or the flags.`,
		Example: `  prescale check --config prescale.yaml
  prescale check --kubeconfig ~/.kube/config --namespace ai`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().StringVar(&o.config, "config", "", "configuration `FILE` of a daemon")
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "cluster to look at: a kubeconfig `FILE`, or in-cluster")
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "", "look at this `NAMESPACE` only")
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "text or json")
	return cmd
}

func (o *checkOptions) run(cmd *cobra.Command) error {
	switch {
	case o.config == "" && o.kubeconfig == "":
		return command.Inputf("want --config FILE, --kubeconfig FILE or both")
	case o.output != "text" && o.output != "json":
		return command.Inputf("--output: %q; want text or json", o.output)
	case o.namespace != "" && o.kubeconfig == "":
		return command.Inputf("--namespace: want --kubeconfig with it")
	}
	var cfg config.Config
	if o.config != "" {
		var err error
		if cfg, err = loadConfig(o.config); err != nil {
			return err
		}
	}
	if o.kubeconfig == "" {
		return o.printConfig(cmd.OutOrStdout(), cfg)
	}
	clients, err := kube.Connect(o.kubeconfig)
	if err != nil {
		return command.Input(err)
	}
	var file []*v1alpha1.ScalePolicy
	for i := range cfg.Policies {
		file = append(file, &cfg.Policies[i])
	}
	report, err := kube.Look(cmd.Context(), clients, o.namespace, file)
	if err != nil {
		return err
	}
	if err := o.print(cmd.OutOrStdout(), report); err != nil {
		return err
	}
	if !report.Good() {
		return errFindings
	}
	return nil
}

func (o *checkOptions) printConfig(w io.Writer, cfg config.Config) error {
	if o.output == "json" {
		return json.NewEncoder(w).Encode(struct {
			Config   string `json:"config"`
			Clusters int    `json:"clusters"`
			Policies int    `json:"policies"`
		}{o.config, len(cfg.Clusters), len(cfg.Policies)})
	}
	_, err := fmt.Fprintf(w, "%s: ok: %d clusters, %d policies\n", o.config, len(cfg.Clusters), len(cfg.Policies))
	return err
}

func (o *checkOptions) print(w io.Writer, report *kube.Report) error {
	if o.output == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	if len(report.Policies) == 0 {
		_, err := fmt.Fprintf(w, "Kubernetes %s: no policies\n", report.Version)
		return err
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(table, "POLICY\tFOUND\tKubernetes %s\n", report.Version)
	for _, p := range report.Policies {
		switch {
		case p.Refused != "":
			fmt.Fprintf(table, "%s\tRefused\t%s\n", p.Policy, p.Refused)
		case len(p.Findings) == 0:
			fmt.Fprintf(table, "%s\tok\tits HPA follows it\n", p.Policy)
		}
		for _, f := range p.Findings {
			fmt.Fprintf(table, "%s\t%s\t%s\n", p.Policy, f.Severity, f)
		}
	}
	return table.Flush()
}
