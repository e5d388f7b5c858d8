// Package manifests holds no code: only the test that what is deployed is what Kubernetes takes.
package manifests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// foreign are kinds of other projects, whose types are not here to decode into.
var foreign = []string{"ServiceMonitor", "PrometheusRule", "ScaledObject"}

// rendered is one kustomization, decoded.
type rendered struct {
	dir     string
	objects []runtime.Object
}

// all returns every kustomization that can be applied, which must be good.
func all(t *testing.T) []rendered {
	t.Helper()
	out, err := renderOnce()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var renderOnce = sync.OnceValues(render)

// render renders and decodes strictly: a key that the type does not have fails.
func render() ([]rendered, error) {
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiregistrationv1.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(types); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(types, serializer.EnableStrict).UniversalDeserializer()
	dirs, err := filepath.Glob("overlays/*")
	if err != nil {
		return nil, err
	}
	var errs []error
	dirs = append(dirs, "crd", "base", "base/daemon", "base/workloads", "examples")
	var out []rendered
	for _, dir := range dirs {
		resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
			continue
		}
		r := rendered{dir: dir}
		for _, resource := range resources.Resources() {
			if slices.Contains(foreign, resource.GetKind()) {
				continue
			}
			text, err := resource.AsYAML()
			if err != nil {
				return nil, err
			}
			object, _, err := decoder.Decode(text, nil, nil)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s %s: %w", dir, resource.GetKind(), resource.GetName(), err))
				continue
			}
			r.objects = append(r.objects, object)
		}
		if len(r.objects) == 0 {
			errs = append(errs, fmt.Errorf("%s: renders nothing", dir))
		}
		out = append(out, r)
	}
	return out, errors.Join(errs...)
}

// of returns the objects of one type.
func of[T runtime.Object](r rendered) []T {
	var found []T
	for _, object := range r.objects {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

func TestEveryKustomizationDecodesStrictly(t *testing.T) {
	if n := len(all(t)); n < 9 {
		t.Errorf("only %d kustomizations rendered", n)
	}
}

func TestAWrongKeyIsFound(t *testing.T) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	if _, _, err := decoder.Decode([]byte("apiVersion: apps/v1\nkind: Deployment\nspec: {replica: 2}\n"), nil, nil); err == nil {
		t.Error("replica: 2 was taken for a field of a Deployment")
	}
}

func TestPoliciesAreValid(t *testing.T) {
	for _, r := range all(t) {
		for _, policy := range of[*v1alpha1.ScalePolicy](r) {
			if _, err := policy.ScalerConfig(); err != nil {
				t.Errorf("%s: %s: %v", r.dir, policy.Name, err)
			}
		}
	}
}

// TestHPAsAskForMetricsOfPoliciesBesideThem follows each HPA to its policy and its target.
func TestHPAsAskForMetricsOfPoliciesBesideThem(t *testing.T) {
	seen := 0
	for _, r := range all(t) {
		policies := map[string]*v1alpha1.ScalePolicy{}
		for _, p := range of[*v1alpha1.ScalePolicy](r) {
			policies[p.Namespace+"/"+p.Name] = p
		}
		for _, c := range of[*corev1.ConfigMap](r) {
			var file struct {
				Policies []*v1alpha1.ScalePolicy `json:"policies"`
			}
			if err := yaml.Unmarshal([]byte(c.Data["config.yaml"]), &file); err != nil {
				t.Errorf("%s: %s: %v", r.dir, c.Name, err)
			}
			for _, p := range file.Policies {
				policies[p.Namespace+"/"+p.Name] = p
			}
		}
		deployments := map[string]bool{}
		for _, d := range of[*appsv1.Deployment](r) {
			deployments[d.Namespace+"/"+d.Name] = true
		}
		for _, hpa := range of[*autoscalingv2.HorizontalPodAutoscaler](r) {
			seen++
			name, pool := "nobody", ""
			for _, metric := range hpa.Spec.Metrics {
				switch metric.Type {
				case autoscalingv2.ExternalMetricSourceType:
					name, pool = metric.External.Metric.Selector.MatchLabels["policy"], metric.External.Metric.Selector.MatchLabels["pool"]
				case autoscalingv2.ObjectMetricSourceType:
					name = metric.Object.DescribedObject.Name
				}
			}
			policy := policies[hpa.Namespace+"/"+name]
			if policy == nil {
				t.Errorf("%s: HPA %s asks for policy %q, which is not there", r.dir, hpa.Name, name)
				continue
			}
			most := policy.Spec.Replicas.Max
			for _, p := range policy.Spec.Pools {
				if p.Name == pool {
					most = p.Max
				}
			}
			if most != hpa.Spec.MaxReplicas || *policy.Spec.Replicas.Min != *hpa.Spec.MinReplicas {
				t.Errorf("%s: HPA %s allows %d to %d, its policy %d to %d", r.dir, hpa.Name, *hpa.Spec.MinReplicas, hpa.Spec.MaxReplicas, *policy.Spec.Replicas.Min, most)
			}
			if target := hpa.Namespace + "/" + hpa.Spec.ScaleTargetRef.Name; r.dir != "examples" && !deployments[target] {
				t.Errorf("%s: HPA %s scales %s, which is not there", r.dir, hpa.Name, target)
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d HPAs seen", seen)
	}
}

// TestReferencesResolve checks that names which Kubernetes resolves only at run time lead somewhere.
func TestReferencesResolve(t *testing.T) {
	for _, r := range all(t) {
		names := map[string]bool{}
		for _, object := range r.objects {
			accessor, ok := object.(metav1.Object)
			if !ok {
				t.Fatalf("%T has no metadata", object)
			}
			names[fmt.Sprintf("%T %s/%s", object, accessor.GetNamespace(), accessor.GetName())] = true
		}
		want := func(by string, kind runtime.Object, namespace, name string) {
			if key := fmt.Sprintf("%T %s/%s", kind, namespace, name); !names[key] {
				t.Errorf("%s: %s refers to %s, which is not there", r.dir, by, key)
			}
		}
		if r.dir == "base/workloads" || r.dir == "examples" {
			continue // parts of a whole
		}
		var pods []labels.Set
		for _, d := range of[*appsv1.Deployment](r) {
			spec := d.Spec.Template.Spec
			want(d.Name, &corev1.ServiceAccount{}, d.Namespace, spec.ServiceAccountName)
			for _, v := range spec.Volumes {
				if v.ConfigMap != nil {
					want(d.Name, &corev1.ConfigMap{}, d.Namespace, v.ConfigMap.Name)
				}
			}
			for _, env := range spec.Containers[0].Env {
				if env.ValueFrom != nil && env.ValueFrom.ConfigMapKeyRef != nil {
					want(d.Name, &corev1.ConfigMap{}, d.Namespace, env.ValueFrom.ConfigMapKeyRef.Name)
				}
			}
			selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
			if err != nil || !selector.Matches(labels.Set(d.Spec.Template.Labels)) {
				t.Errorf("%s: %s does not select its own pods: %v", r.dir, d.Name, err)
			}
			pods = append(pods, d.Spec.Template.Labels)
			if d.Spec.Replicas == nil || *d.Spec.Replicas > 1 {
				want(d.Name, &policyv1.PodDisruptionBudget{}, d.Namespace, d.Name)
			}
		}
		for _, s := range of[*corev1.Service](r) {
			if !slices.ContainsFunc(pods, func(pod labels.Set) bool { return labels.SelectorFromSet(s.Spec.Selector).Matches(pod) }) {
				t.Errorf("%s: service %s selects no pod", r.dir, s.Name)
			}
		}
		for _, s := range of[*apiregistrationv1.APIService](r) {
			want(s.Name, &corev1.Service{}, s.Spec.Service.Namespace, s.Spec.Service.Name)
			if s.Spec.InsecureSkipTLSVerify {
				t.Errorf("%s: %s is not verified", r.dir, s.Name)
			}
		}
		for _, b := range of[*rbacv1.ClusterRoleBinding](r) {
			if !strings.HasPrefix(b.RoleRef.Name, "system:") {
				want(b.Name, &rbacv1.ClusterRole{}, "", b.RoleRef.Name)
			}
			want(b.Name, &corev1.ServiceAccount{}, b.Subjects[0].Namespace, b.Subjects[0].Name)
		}
	}
}

// TestGPUPool: with the component the workloads ask for a GPU, tolerate its taint and run nowhere else; without it they do
// not.
func TestGPUPool(t *testing.T) {
	for _, r := range all(t) {
		if r.dir != "base" && r.dir != "overlays/cpu" {
			continue
		}
		for _, d := range of[*appsv1.Deployment](r) {
			if d.Namespace != "ai" {
				continue
			}
			spec := d.Spec.Template.Spec
			gpus := spec.Containers[0].Resources.Limits["nvidia.com/gpu"]
			tolerates := slices.ContainsFunc(spec.Tolerations, func(tol corev1.Toleration) bool { return tol.Key == "nvidia.com/gpu" })
			onGPU := gpus.Value() == 1 && tolerates && spec.NodeSelector["nvidia.com/gpu.present"] == "true"
			onCPU := gpus.IsZero() && len(spec.Tolerations) == 0 && len(spec.NodeSelector) == 0
			if r.dir == "base" && !onGPU || r.dir == "overlays/cpu" && !onCPU {
				t.Errorf("%s: %s: gpus %s, tolerates %t, node selector %v", r.dir, d.Name, gpus.String(), tolerates, spec.NodeSelector)
			}
		}
	}
}

// TestLeastPrivilege: what the daemon may do is listed here a second time, so that a wider right needs two hands.
func TestLeastPrivilege(t *testing.T) {
	may := map[string]string{
		"/events": "none", "events.k8s.io/events": "create,patch", "prescale.dev/scalepolicies": "get,list,watch",
		"prescale.dev/scalepolicies/status": "patch", "/pods": "list,watch", "/nodes": "list,watch",
		"apps/deployments": "get,list,watch", "apps/statefulsets": "get,list,watch",
		"autoscaling/horizontalpodautoscalers": "list,watch", "apiregistration.k8s.io/apiservices": "get,patch",
	}
	for _, r := range all(t) {
		for _, role := range of[*rbacv1.ClusterRole](r) {
			if role.Name != "prescale" {
				continue
			}
			for _, rule := range role.Rules {
				for _, group := range rule.APIGroups {
					for _, resource := range rule.Resources {
						if got, want := strings.Join(rule.Verbs, ","), may[group+"/"+resource]; got != want {
							t.Errorf("%s: %s/%s: may %s, want %s", r.dir, group, resource, got, want)
						}
					}
				}
				if slices.Contains(rule.APIGroups, "apiregistration.k8s.io") && len(rule.ResourceNames) == 0 {
					t.Errorf("%s: may patch every APIService", r.dir)
				}
			}
		}
	}
}

// TestPodsAreRestricted holds every pod to the restricted Pod Security Standard's own list
// (kubernetes.io/docs/concepts/security/pod-security-standards, Restricted) and to a read-only root.
func TestPodsAreRestricted(t *testing.T) {
	seen := 0
	for _, r := range all(t) {
		for _, d := range of[*appsv1.Deployment](r) {
			seen++
			spec := d.Spec.Template.Spec
			for i, c := range slices.Concat(spec.Containers, spec.InitContainers) {
				s := c.SecurityContext
				if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
					s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
					t.Errorf("%s: %s: %s: %+v", r.dir, d.Name, c.Name, s)
				}
				if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
					t.Errorf("%s: %s: %s: no requests or limits", r.dir, d.Name, c.Name)
				}
				if !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
					return e.Name == "MEMORY_LIMIT_BYTES" && e.ValueFrom != nil && e.ValueFrom.ResourceFieldRef != nil && e.ValueFrom.ResourceFieldRef.Resource == "limits.memory"
				}) {
					t.Errorf("%s: %s: %s: it is not told of its memory limit", r.dir, d.Name, c.Name)
				}
				if i >= len(spec.Containers) {
					if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways || c.LivenessProbe == nil || c.ReadinessProbe != nil || c.StartupProbe != nil {
						t.Errorf("%s: %s: %s: want a sidecar that the pod's readiness does not wait for", r.dir, d.Name, c.Name)
					}
					continue
				}
				if c.ReadinessProbe == nil || c.LivenessProbe == nil || c.StartupProbe == nil {
					t.Errorf("%s: %s: %s: a probe is missing", r.dir, d.Name, c.Name)
				}
			}
			if p := spec.SecurityContext; p == nil || p.SeccompProfile == nil || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s: %s: no seccomp profile", r.dir, d.Name)
			}
		}
	}
	if seen == 0 {
		t.Error("no Deployment seen")
	}
}

// TestAlertsNameVerdictsThatThereAre: a rule on any other would never fire.
func TestAlertsNameVerdictsThatThereAre(t *testing.T) {
	rules, err := os.ReadFile("components/monitoring/prometheusrule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`verdict=~?"([^"]*)"`).FindAllSubmatch(rules, -1)
	if len(named) < 5 {
		t.Errorf("only %d rules name verdicts", len(named))
	}
	for _, match := range named {
		for name := range strings.SplitSeq(string(match[1]), "|") {
			if !slices.Contains(scaler.Verdicts(), scaler.Verdict(name)) {
				t.Errorf("%s: there is no verdict %q", match[0], name)
			}
		}
	}
}
