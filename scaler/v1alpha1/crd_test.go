package v1alpha1

import (
	"context"
	"math"
	"os"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// admission is what the API server does with an object of a CustomResourceDefinition: defaults, schema, CEL rules.
type admission struct {
	schema *schema.Structural
	values validation.SchemaValidator
	rules  *cel.Validator
}

func loadCRD(t *testing.T) admission {
	t.Helper()
	data, err := os.ReadFile("../../manifests/crd/prescale.dev_scalepolicies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &v1); err != nil {
		t.Fatal(err)
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&v1)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&v1.Spec)
	var crd apiextensions.CustomResourceDefinition
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&v1, &crd, nil); err != nil {
		t.Fatal(err)
	}
	crd.Status.StoredVersions = []string{"v1alpha1"}
	// Includes the cost that the API server estimates for each CEL rule.
	if errs := crdvalidation.ValidateCustomResourceDefinition(context.Background(), &crd); len(errs) > 0 {
		t.Fatalf("the CustomResourceDefinition is refused: %v", errs.ToAggregate())
	}
	props := crd.Spec.Validation
	if props == nil {
		props = crd.Spec.Versions[0].Schema
	}
	structural, err := schema.NewStructural(props.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	values, _, err := validation.NewSchemaValidator(props.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	return admission{schema: structural, values: values, rules: cel.NewValidator(structural, true, math.MaxInt64)}
}

// admit returns the defaulted object or why it is refused.
func (a admission) admit(t *testing.T, text string) (map[string]any, error) {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	// As over the wire: whole numbers are int64.
	normalise(object)
	defaulting.Default(object, a.schema)
	errs := validation.ValidateCustomResource(nil, object, a.values)
	if len(errs) == 0 {
		celErrs, _ := a.rules.Validate(context.Background(), field.NewPath(""), a.schema, object, nil, math.MaxInt64)
		errs = append(errs, celErrs...)
	}
	return object, errs.ToAggregate()
}

func normalise(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			v[key] = normalise(member)
		}
	case []any:
		for i, member := range v {
			v[i] = normalise(member)
		}
	case float64:
		if v == math.Trunc(v) {
			return int64(v)
		}
	}
	return v
}

const least = "apiVersion: prescale.dev/v1alpha1\nkind: ScalePolicy\nmetadata: {name: p, namespace: ns}\nspec:\n"

// TestTheAPIServerRefusesWhatTheDaemonWould runs the same specs through the CustomResourceDefinition and through Parse and
// ScalerConfig: whoever lets one pass that the other refuses is wrong.
func TestTheAPIServerRefusesWhatTheDaemonWould(t *testing.T) {
	crd := loadCRD(t)
	for _, test := range []struct {
		spec string
		ok   bool
	}{
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 0.5, violationRatio: 0.01, latencySeconds: 0.2}, replicas: {min: 0, max: 1}, interval: 1m30s, season: [24h, 168h], mode: Observe, paused: true, vertical: InPlace", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, budget: {replicaHoursPerDay: 10}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 0}, replicas: {max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: -1}, replicas: {max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, violationRatio: 1}, replicas: {max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, violationRatio: -0.1}, replicas: {max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, violationRatio: 0}, replicas: {max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, interval: 0s", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, leadTime: {initial: 0s}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu, max: 4, price: 0}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu, max: 4, speed: 0}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: -1}, replicas: {max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 0}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {min: -1, max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {min: 5, max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, interval: -15s", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, interval: 999ms", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, interval: 1s", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, interval: 1h", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, interval: 61m", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 1000000}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 1000001}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, interval: soon", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, leadTime: {initial: -1s}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, season: [10s]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, season: [168h, 24h]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, season: [24h, 24h]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, season: [20s]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, season: [30s]", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, season: [8h, 24h, 168h]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, mode: Off", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, vertical: 'Off'", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, budget: {replicaHoursPerDay: 0}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4.5}", false},
		{"kafka: {group: g, topics: a}, objective: {lagSeconds: 30}, replicas: {max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu, max: 0}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu, max: 2, price: -1}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, schedules: [{start: '0 8 * * *', duration: 0s, minReplicas: 2}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, schedules: [{start: '0 8 *', duration: 1h, minReplicas: 2}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, schedules: [{start: '0 8 * * 1-5', duration: 1h, minReplicas: 2}]", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, schedules: [{start: '0 8 * * 1-5', duration: 1h, minReplicas: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, schedules: [{start: '0 8 * * 1-5', duration: 1h, minReplicas: 0}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, schedules: [{start: '0 8 1 1 *', duration: 745h, minReplicas: 2}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', duration: 1h, factor: 5}]", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', duration: 744h, timeZone: Europe/Paris, factor: 0.01}, {name: flash, start: '30 9 * * 1-5', duration: 10m, factor: 1000}]", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{start: '0 9 * * *', duration: 1h, factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: '', start: '0 9 * * *', duration: 1h, factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * *', duration: 1h, factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '@daily', duration: 1h, factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: 'TZ=UTC 0 9 * * *', duration: 1h, factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, duration: 1h, factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', duration: 0s, factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', duration: 745h, factor: 5}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', duration: 1h}, {name: flash, start: '0 12 * * *', duration: 1h, factor: 5, learn: true}]", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', duration: 1h, factor: 0}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', duration: 1h, factor: 1001}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: sale, start: '0 9 * * *', duration: 1h, factor: lots}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, schedules: [{start: '@daily', duration: 1h, minReplicas: 2}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, events: [{name: " + strings.Repeat("a", 64) + ", start: '0 9 * * *', duration: 1h, factor: 5}]", false},
		{"kafka: {group: g, topics: [a, b]}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {topic: true}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {prometheus: {query: 'sum(rate(x[1m]))'}, span: 168h}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {prometheus: {server: other, query: q}, topic: false}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {file: {path: a.csv, column: requests}}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {topic: true}", false},
		{"kafka: {group: g, topics: [a]}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {topic: true, prometheus: {query: q}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {prometheus: {query: ''}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {file: {path: ''}}", false},
		{"kafka: {group: g, topics: [a]}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {topic: true, span: -1h}", false},
		{"kafka: {group: g, topics: [a]}, objective: {lagSeconds: 30}, replicas: {max: 4}, history: {topic: true, span: 9000h}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu, max: 2}, {name: cpu, max: 2}]", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: A-100.80_GB, max: 2, speed: 1000}, {name: cpu, max: 2, speed: 0.001}]", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: a b, max: 2}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu-, max: 2}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu, max: 2, speed: 1e-300}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu, max: 2, speed: 1001}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, pools: [{name: gpu, max: 2, scaleTargetRef: {kind: Deployment}}]", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, scaleTargetRef: {name: orders}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, scaleTargetRef: {kind: Deployment, name: orders}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, sources: {headers: {topic: 'a b', header: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 1e-12, latencySeconds: 1e-12}, replicas: {max: 4}", true},
		{"kafka: {group: g, topics: [a.b_c-D]}, objective: {lagSeconds: 30}, replicas: {max: 4}", true},
		{"kafka: {group: g, topics: [a b]}, objective: {lagSeconds: 30}, replicas: {max: 4}", false},
		{"kafka: {group: g, topics: ['']}, objective: {lagSeconds: 30}, replicas: {max: 4}", false},
		{"kafka: {group: g, topics: ['.']}, objective: {lagSeconds: 30}, replicas: {max: 4}", false},
		{"kafka: {group: g, topics: ['..']}, objective: {lagSeconds: 30}, replicas: {max: 4}", false},
		{"kafka: {group: g, topics: [.a, '...', a., -]}, objective: {lagSeconds: 30}, replicas: {max: 4}", true},
		{"kafka: {group: g, topics: [a b]}, objective: {lagSeconds: 30}, replicas: {max: 4}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, vertical: InPlace, verticalMax: {cpu: 2, memory: 1Gi}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, verticalMax: {cpu: 1500m}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, verticalMax: {cpu: 0}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, verticalMax: {memory: -1Gi}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, verticalMax: {memory: lots}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {headers: {topic: out, header: requested-at-ms}}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {latencyQuantile: 0.5, headers: {topic: out, header: h}, prometheus: {port: 8080, busyCounter: busy}}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {prometheus: {urls: ['http://a:1/metrics'], path: /m, latencyHistogram: h, labels: {a: b}}}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {latencyQuantile: 1, headers: {topic: out, header: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {latencyQuantile: -0.1, headers: {topic: out, header: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {headers: {topic: out}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {headers: {topic: '', header: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {headers: {topic: .., header: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {headers: {topic: out, header: h}, prometheus: {port: 8080, latencyHistogram: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {prometheus: {port: 8080}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, sources: {prometheus: {port: 8080, workCounter: tokens_total, recordsCounter: requests_total}}", true},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, sources: {prometheus: {port: 8080, workCounter: tokens_total}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, sources: {prometheus: {port: 8080, busyCounter: b, recordsCounter: requests_total}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {prometheus: {latencyHistogram: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {prometheus: {port: 8080, urls: ['http://a:1'], latencyHistogram: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {prometheus: {port: 70000, latencyHistogram: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {prometheus: {urls: ['a:1'], latencyHistogram: h}}", false},
		{"kafka: {group: g}, objective: {lagSeconds: 30, latencySeconds: 2}, replicas: {max: 4}, sources: {prometheus: {port: 8080, path: m, latencyHistogram: h}}", false},
	} {
		text := least + "  {" + test.spec + "}\n"
		_, refused := crd.admit(t, text)
		if (refused == nil) != test.ok {
			t.Errorf("%s: the API server says %v, want ok %t", test.spec, refused, test.ok)
		}
		policy, err := Parse([]byte(text))
		if err == nil {
			_, err = policy.ScalerConfig()
		}
		if (err == nil) != test.ok {
			t.Errorf("%s: the daemon says %v, want ok %t", test.spec, err, test.ok)
		}
	}
	// The daemon checks these in its own configuration, next to the list of clusters.
	for _, spec := range []string{
		"kafka: {group: ''}, objective: {lagSeconds: 30}, replicas: {max: 4}",
		"kafka: {group: g, reset: never}, objective: {lagSeconds: 30}, replicas: {max: 4}",
		"objective: {lagSeconds: 30}, replicas: {max: 4}",
	} {
		if _, refused := crd.admit(t, least+"  {"+spec+"}\n"); refused == nil {
			t.Errorf("%s: the API server takes it", spec)
		}
	}
}

func TestDefaultsOfTheAPIServerAreTheDaemons(t *testing.T) {
	text := least + "  {kafka: {group: g}, objective: {lagSeconds: 30}, replicas: {max: 4}, leadTime: {}}\n"
	object, err := loadCRD(t).admit(t, text)
	if err != nil {
		t.Fatal(err)
	}
	defaulted, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var configs []string
	for _, data := range []string{text, string(defaulted)} {
		policy, err := Parse([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := policy.ScalerConfig()
		if err != nil {
			t.Fatal(err)
		}
		line, err := yaml.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, string(line))
	}
	if configs[0] != configs[1] {
		t.Errorf("without the API server's defaults:\n%s\nwith them:\n%s", configs[0], configs[1])
	}
	if !strings.Contains(string(defaulted), "interval: 15s") {
		t.Errorf("no defaults were filled in:\n%s", defaulted)
	}
}
