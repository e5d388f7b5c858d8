package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/kube"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// errFindings makes check exit with 1 when it found something.
var errFindings = errors.New("not all is well: see what was found")

type checkOptions struct {
	config, kubeconfig, namespace, output string
	connect                               bool
}

// newCheckCommand validates a configuration, and looks at what it names where that is asked for: the Kafka clusters, the HPAs of a
// Kubernetes cluster.
func newCheckCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [--config FILE [--connect]] [--kubeconfig FILE]",
		Short: "Find what is wrong with a configuration, its Kafka clusters and the HPAs that read it",
		Long: `Find mistakes in a daemon's configuration, what its Kafka clusters lack, and HPAs of a Kubernetes
cluster that will not follow their policy.

With --config, every problem of the configuration is reported with its key path. No connection is
opened.

With --connect, the clusters of the configuration are asked too, as the daemon would ask: whether
they answer with its security, whether groups and topics of the policies are there, whether its user
has the rights, and whether the topics of the event log are kept as they should be: partitions,
cleanup.policy, retention, replicas, min.insync.replicas. Each Prometheus server is asked the
histories of the policies that name it. Nothing is changed or created.

With --kubeconfig, the cluster's ScalePolicies and HPAs are read, and what keeps an HPA from doing
what its policy says is reported: its tolerance, a target of the wrong type, bounds, more replicas
than partitions, several controllers on one target, a metrics API that does not answer. These are
the rules of the policy's conditions Accepted and HPA. With --config, the policies of the file are
looked at too, and with --connect what the cluster's policies need of Kafka.

Exit code: 0 when all is well, 1 when something was found (but for what needs no remedy) or the
cluster cannot be asked, 2 for a mistake in the configuration or the flags.`,
		Example: `  prescale check --config prescale.yaml
  prescale check --config prescale.yaml --connect
  prescale check --kubeconfig ~/.kube/config --namespace ai`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	cmd.Flags().StringVar(&o.config, "config", "", "configuration `FILE` of a daemon")
	cmd.Flags().BoolVar(&o.connect, "connect", false, "ask the Kafka clusters and Prometheus servers of --config too")
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
	case o.connect && o.config == "":
		return command.Inputf("--connect: want --config with it")
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
	var report *kube.Report
	if o.kubeconfig != "" {
		clients, err := kube.Connect(o.kubeconfig)
		if err != nil {
			return command.Input(err)
		}
		var file []*v1alpha1.ScalePolicy
		for i := range cfg.Policies {
			file = append(file, &cfg.Policies[i])
		}
		if report, err = kube.Look(cmd.Context(), clients, o.namespace, file); err != nil {
			return err
		}
	}
	var found, servers []finding // nil where nobody asked
	if o.connect {
		policies, err := checkedPolicies(cfg, report)
		if err != nil {
			return err
		}
		if found, err = lookAtKafka(cmd.Context(), cfg, policies); err != nil {
			return err
		}
		if servers, err = lookAtPrometheus(cmd.Context(), cfg, policies); err != nil {
			return err
		}
	}
	if err := o.print(cmd.OutOrStdout(), cfg, report, found, servers); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(f finding) bool { return !f.Note }) || len(servers) > 0 || report != nil && !report.Good() {
		return errFindings
	}
	return nil
}

// checkedPolicies returns the policies of the file and those of the Kubernetes cluster that can run with this configuration; of
// the others the cluster tells by itself, in their condition Accepted.
func checkedPolicies(cfg config.Config, report *kube.Report) ([]pipeline.Policy, error) {
	policies, err := cfg.PipelinePolicies()
	if err != nil || report == nil {
		return policies, err
	}
	one := cfg
	for _, p := range report.Accepted {
		one.Policies = []v1alpha1.ScalePolicy{*p}
		if usable, err := one.PipelinePolicies(); err == nil &&
			!slices.ContainsFunc(policies, func(q pipeline.Policy) bool { return q.Name() == p.PolicyName() }) {
			policies = append(policies, usable...)
		}
	}
	return policies, nil
}

// print writes the report of a Kubernetes cluster where there is one, else what the configuration holds, and what was found on Kafka
// and of the Prometheus servers.
func (o *checkOptions) print(w io.Writer, cfg config.Config, report *kube.Report, found, servers []finding) error {
	if o.output == "json" {
		if report != nil {
			return writeJSON(w, struct {
				*kube.Report
				Kafka      []finding `json:"kafka,omitzero"`
				Prometheus []finding `json:"prometheus,omitzero"`
			}{report, found, servers})
		}
		return writeJSON(w, struct {
			Config     string    `json:"config"`
			Clusters   int       `json:"clusters"`
			Policies   int       `json:"policies"`
			Kafka      []finding `json:"kafka,omitzero"`
			Prometheus []finding `json:"prometheus,omitzero"`
		}{o.config, len(cfg.Clusters), len(cfg.Policies), found, servers})
	}
	if report == nil {
		fmt.Fprintf(w, "%s: ok: %s, %s\n", o.config, howMany(len(cfg.Clusters), "cluster", "clusters"),
			howMany(len(cfg.Policies), "policy", "policies"))
	} else if err := printReport(w, report); err != nil {
		return err
	}
	if o.connect {
		return printFound(w, cfg, found, servers)
	}
	return nil
}

// printFound prints a line for each finding, and one for each cluster and each Prometheus server of which nothing is wrong.
func printFound(w io.Writer, cfg config.Config, kafka, prometheus []finding) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "CLUSTER\tFOUND")
	show := func(name string, found []finding, of func(finding) bool) {
		well := true
		for _, f := range found {
			if of(f) {
				well = well && f.Note
				fmt.Fprintf(table, "%s\t%s\n", name, f)
			}
		}
		if well {
			fmt.Fprintf(table, "%s\tok\n", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Clusters)) {
		show(name, kafka, func(f finding) bool { return f.Cluster == name })
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Prometheus)) {
		show("prometheus."+name, prometheus, func(f finding) bool { return f.Server == name })
	}
	return table.Flush()
}

func printReport(w io.Writer, report *kube.Report) error {
	if len(report.Policies) == 0 {
		_, err := fmt.Fprintf(w, "Kubernetes %s: no policies\n", report.Version)
		return err
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(table, "POLICY\tFOUND\tKubernetes %s\n", report.Version)
	for _, f := range report.Findings {
		fmt.Fprintf(table, "all\t%s\t%s\n", f.Severity, f)
	}
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

// howMany says how many of something there are.
func howMany(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
