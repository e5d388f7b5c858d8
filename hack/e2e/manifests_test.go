//go:build integration

package e2e

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// foreign are kinds of other projects, whose definitions are not installed here.
var foreign = []string{"ServiceMonitor", "PrometheusRule", "ScaledObject"}

// Everything that we ship is taken by the API server itself: defaulting, validation, the CRD's own rules, admission. Nothing but
// the definition of ScalePolicy and the namespaces is made.
func TestManifestsAreTakenByTheAPIServer(t *testing.T) {
	c := cluster(t)
	kubectl(t, c, "apply", "--server-side", "-k", "../../manifests/crd")
	kubectl(t, c, "wait", "--for=condition=Established", "crd/scalepolicies.prescale.dev", "--timeout=1m")
	dirs, err := filepath.Glob("../../manifests/overlays/*")
	if err != nil {
		t.Fatal(err)
	}
	dirs = append(dirs, "../../manifests/crd", "../../manifests/base", "../../manifests/examples")
	if len(dirs) < 6 {
		t.Fatalf("only %v found", dirs)
	}
	for _, dir := range dirs {
		objects := decode(t, kubectl(t, c, "kustomize", dir))
		objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return slices.Contains(foreign, o.GetKind()) })
		// A dry run makes no namespace for what comes after it. The namespaces' labels matter: they say what pods may do.
		namespaces := map[string]*unstructured.Unstructured{}
		for _, o := range objects {
			if o.GetKind() == "Namespace" {
				namespaces[o.GetName()] = o
			} else if name := o.GetNamespace(); name != "" && namespaces[name] == nil {
				n := &unstructured.Unstructured{}
				n.SetAPIVersion("v1")
				n.SetKind("Namespace")
				n.SetName(name)
				namespaces[name] = n
			}
		}
		if len(namespaces) > 0 {
			apply(t, c, encode(t, slices.Collect(maps.Values(namespaces))...))
		}
		file := filepath.Join(t.TempDir(), "all.yaml")
		if err := os.WriteFile(file, []byte(encode(t, objects...)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := c.Kubectl(t.Context(), "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors", "-f", file); err != nil {
			t.Errorf("%s: %v", dir, err)
		} else if got := strings.Count(out, "serverside-applied"); got != len(objects) {
			t.Errorf("%s: %d of %d objects were taken:\n%s", dir, got, len(objects), out)
		}
	}
}

// decode reads a stream of YAML documents.
func decode(t testing.TB, text string) []*unstructured.Unstructured {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var objects []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		switch err := decoder.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return objects
		case err != nil:
			t.Fatal(err)
		case o.Object != nil:
			objects = append(objects, o)
		}
	}
}

// encode writes objects as one document each.
func encode(t testing.TB, objects ...*unstructured.Unstructured) string {
	t.Helper()
	var b strings.Builder
	for _, o := range objects {
		text, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return b.String()
}
