package kube

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/prescale/prescale/cmd/internal/hpacheck"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// refusal is why a policy is not run.
type refusal struct {
	// reason is the code for the Accepted condition.
	reason, message string
}

// The reasons of the Accepted condition.
const (
	reasonAccepted = "Accepted"
	reasonInvalid  = "Invalid"
	reasonConflict = "Conflict"
	// reasonUnusable: the policy is valid by itself and this daemon cannot run it: it has no such Kafka cluster, say.
	reasonUnusable = "Unusable"
)

// accept sorts policies into those to run, by name, and those to refuse. Where several claim one target the oldest wins,
// and of two of one age the first by name: a new policy never takes a target from one that works. What is unreadable, by name, claims
// none.
func accept(policies []*v1alpha1.ScalePolicy, unreadable map[string]error) (accepted []*v1alpha1.ScalePolicy, refused map[string]refusal) {
	refused = map[string]refusal{}
	byAge := slices.Clone(policies)
	slices.SortFunc(byAge, func(a, b *v1alpha1.ScalePolicy) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.PolicyName(), b.PolicyName()))
	})
	claimed := map[string]string{}
	for _, p := range byAge {
		name := p.PolicyName()
		err := unreadable[name]
		if err == nil {
			_, err = p.ScalerConfig()
		}
		if err != nil {
			refused[name] = refusal{reasonInvalid, err.Error()}
			continue
		}
		if owner, target, conflict := claims(claimed, p); conflict {
			refused[name] = refusal{reasonConflict, fmt.Sprintf("%s is scaled by the older policy %s; remove one of the two",
				target, owner)}
			continue
		}
		for _, t := range hpacheck.Targets(p) {
			claimed[claim(p, t)] = p.Name
		}
		accepted = append(accepted, p)
	}
	slices.SortFunc(accepted, func(a, b *v1alpha1.ScalePolicy) int { return cmp.Compare(a.PolicyName(), b.PolicyName()) })
	return accepted, refused
}

func claims(claimed map[string]string, p *v1alpha1.ScalePolicy) (owner, target string, conflict bool) {
	for _, t := range hpacheck.Targets(p) {
		if owner, ok := claimed[claim(p, t)]; ok {
			return owner, t.Kind + " " + t.Name, true
		}
	}
	return "", "", false
}

func claim(p *v1alpha1.ScalePolicy, t v1alpha1.TargetRef) string {
	return p.Namespace + "/" + t.Kind + "/" + t.Name
}

// fromUnstructured returns the typed policy; with an error that says why it cannot be read, one of which as much is known as whose it
// is and what its status says.
func fromUnstructured(u *unstructured.Unstructured) (*v1alpha1.ScalePolicy, error) {
	var p v1alpha1.ScalePolicy
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &p)
	if err == nil {
		return &p, nil
	}
	p = v1alpha1.ScalePolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), Generation: u.GetGeneration(),
		CreationTimestamp: u.GetCreationTimestamp(),
	}}
	if status, ok := u.Object["status"].(map[string]any); ok &&
		runtime.DefaultUnstructuredConverter.FromUnstructured(status, &p.Status) != nil {
		p.Status = v1alpha1.ScalePolicyStatus{}
	}
	return &p, fmt.Errorf("it cannot be read, maybe for the CustomResourceDefinition being of another version than this program (apply "+
		"manifests/crd of the same): %w", err)
}
