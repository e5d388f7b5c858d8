package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/prescale/prescale/cmd/internal/hpacheck"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// Report is what a look at a cluster found.
type Report struct {
	// Version is the cluster's, such as v1.36.3.
	Version string `json:"version"`
	// Findings are of no single policy: a metrics API that HPAs read and that does not answer.
	Findings []hpacheck.Finding `json:"findings,omitempty"`
	// Policies are sorted by name.
	Policies []PolicyReport `json:"policies"`
	// Accepted are the policies that are not refused, in no order.
	Accepted []*v1alpha1.ScalePolicy `json:"-"`
}

// PolicyReport is what was found for one policy.
type PolicyReport struct {
	// Policy is "namespace/name".
	Policy string `json:"policy"`
	// Refused says why the policy is not run, in the words of its condition Accepted; empty when it is.
	Refused string `json:"refused,omitempty"`
	// Findings are worst first; empty when HPAs follow the policy.
	Findings []hpacheck.Finding `json:"findings"`
}

// Good reports whether nothing at all was found.
func (r *Report) Good() bool {
	return len(r.Findings) == 0 && !slices.ContainsFunc(r.Policies,
		func(p PolicyReport) bool { return p.Refused != "" || len(p.Findings) > 0 })
}

// Look reads the ScalePolicies and HPAs of a namespace (empty: all) once and checks them as a Controller does for the
// conditions. Policies of the daemon's file are checked beside those of the cluster and win over one of the same name.
func Look(ctx context.Context, clients Clients, namespace string, file []*v1alpha1.ScalePolicy) (*Report, error) {
	version, err := clients.Kubernetes.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its version: %w", err)
	}
	minor, err := serverMinor(clients.Kubernetes)
	if err != nil {
		return nil, err
	}
	policies, unreadable, err := listPolicies(ctx, clients, namespace, len(file) == 0)
	if err != nil {
		return nil, err
	}
	policies = slices.DeleteFunc(policies, func(p *v1alpha1.ScalePolicy) bool {
		return slices.ContainsFunc(file, func(f *v1alpha1.ScalePolicy) bool { return f.PolicyName() == p.PolicyName() })
	})
	for _, p := range file {
		delete(unreadable, p.PolicyName())
		if ns, _, _ := strings.Cut(p.PolicyName(), "/"); namespace == "" || ns == namespace {
			policies = append(policies, p)
		}
	}
	list, err := clients.Kubernetes.AutoscalingV2().HorizontalPodAutoscalers(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list HorizontalPodAutoscalers: %w", err)
	}
	hpas := make([]*autoscalingv2.HorizontalPodAutoscaler, len(list.Items))
	for i := range list.Items {
		hpas[i] = &list.Items[i]
	}
	accepted, refused := accept(policies, unreadable)
	report := &Report{Version: version.GitVersion, Findings: metricsAPIs(ctx, clients, hpas), Policies: []PolicyReport{},
		Accepted: accepted}
	names := map[string][]string{}
	for _, p := range accepted {
		names[p.Namespace] = append(names[p.Namespace], p.Name)
	}
	for _, p := range accepted {
		facts := hpacheck.Facts{ServerMinor: minor, Policies: names[p.Namespace]}
		if p.Status.Partitions != nil {
			facts.Partitions = int(*p.Status.Partitions)
		}
		findings := hpacheck.Check(p, hpas, facts)
		if findings == nil {
			findings = []hpacheck.Finding{}
		}
		report.Policies = append(report.Policies, PolicyReport{Policy: p.PolicyName(), Findings: findings})
	}
	for name, r := range refused {
		report.Policies = append(report.Policies, PolicyReport{Policy: name, Refused: r.reason + ": " + r.message,
			Findings: []hpacheck.Finding{}})
	}
	slices.SortFunc(report.Policies, func(a, b PolicyReport) int { return strings.Compare(a.Policy, b.Policy) })
	return report, nil
}

// metricsAPIs asks the API server for each metrics API through which one of the HPAs reads a value of ours.
func metricsAPIs(ctx context.Context, clients Clients, hpas []*autoscalingv2.HorizontalPodAutoscaler) []hpacheck.Finding {
	readers := map[string]string{} // an HPA by API
	for _, hpa := range hpas {
		for _, m := range hpa.Spec.Metrics {
			switch {
			case m.External != nil && strings.Contains(m.External.Metric.Name, hpacheck.DesiredReplicas):
				readers["external.metrics.k8s.io/v1beta1"] = hpa.Name
			case m.Object != nil && m.Object.DescribedObject.Kind == v1alpha1.Kind:
				readers["custom.metrics.k8s.io/v1beta2"] = hpa.Name
			}
		}
	}
	var found []hpacheck.Finding
	for _, api := range slices.Sorted(maps.Keys(readers)) {
		_, err := clients.Kubernetes.Discovery().RESTClient().Get().AbsPath("/apis/" + api).DoRaw(ctx)
		group, version, _ := strings.Cut(api, "/")
		f := hpacheck.Finding{Severity: hpacheck.Broken, Code: hpacheck.NoMetricsAPI, HPA: readers[api]}
		switch {
		case err == nil:
			continue
		case apierrors.IsNotFound(err):
			f.Message = fmt.Sprintf("it reads %s, which the cluster does not serve", api)
			f.Remedy = "Deploy the daemon with its APIServices: kubectl apply -k manifests/base"
		default:
			f.Message = fmt.Sprintf("it reads %s, which does not answer: %v", api, err)
			f.Remedy = fmt.Sprintf("See whether the daemon is ready, and what kubectl get apiservice %s.%s says", version, group)
		}
		found = append(found, f)
	}
	return found
}

// listPolicies returns the cluster's policies, and by name what is wrong with those that cannot be read. Where the cluster does not know
// the type that is an error, if it is wanted.
func listPolicies(ctx context.Context, clients Clients, namespace string,
	wanted bool) (policies []*v1alpha1.ScalePolicy, unreadable map[string]error, err error) {
	list, err := clients.Dynamic.Resource(v1alpha1.Resource()).Namespace(namespace).List(ctx, metav1.ListOptions{})
	switch {
	case apierrors.IsNotFound(err) && !wanted:
		return nil, nil, nil
	case apierrors.IsNotFound(err):
		return nil, nil, fmt.Errorf("the cluster knows no ScalePolicy: install the CustomResourceDefinition (kubectl apply "+
			"--server-side -k manifests/crd): %w", err)
	case err != nil:
		return nil, nil, fmt.Errorf("list ScalePolicies: %w", err)
	}
	unreadable = map[string]error{}
	for i := range list.Items {
		p, err := fromUnstructured(&list.Items[i])
		if err != nil {
			unreadable[p.PolicyName()] = err
		}
		policies = append(policies, p)
	}
	return policies, unreadable, nil
}

// serverMinor returns the cluster's minor version, 36 for 1.36.
func serverMinor(client kubernetes.Interface) (int, error) {
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return 0, fmt.Errorf("ask the cluster for its version: %w", err)
	}
	// A vendor may write 36+.
	minor, err := strconv.Atoi(strings.TrimRight(version.Minor, "+"))
	if err != nil {
		return 0, fmt.Errorf("the cluster's minor version %q: %w", version.Minor, err)
	}
	return minor, nil
}
