package kube

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// announce records events for verdicts and conditions that have changed since the last look. What held when this replica
// took over is no news. refused says why pods are not made.
func (c *Controller) announce(p *v1alpha1.ScalePolicy, status v1alpha1.ScalePolicyStatus, refused string) {
	last, known := c.announced[objectOf(p)]
	if !known {
		last = p.Status
	}
	c.announced[objectOf(p)] = status
	if status.DesiredReplicas == nil {
		// Without a decision nothing is known of verdicts: what held before is still the last that was said.
		status.Verdicts = last.Verdicts
		c.announced[objectOf(p)] = status
	}
	// Reference resolution needs the kind, which the converter leaves to the object.
	p.SetGroupVersionKind(v1alpha1.GroupVersion().WithKind(v1alpha1.Kind))
	for _, change := range changes(last, status, refused) {
		c.recorder.Eventf(p, nil, change.kind, change.reason, "Decide", "%s", cut(change.message, mostNote))
	}
}

// change is one event.
type change struct{ kind, reason, message string }

// changes returns the events between two statuses.
func changes(last, next v1alpha1.ScalePolicyStatus, refused string) []change {
	var out []change
	had := map[string]bool{}
	for _, v := range last.Verdicts {
		had[v] = true
	}
	has := map[string]bool{}
	for _, v := range next.Verdicts {
		has[v] = true
		if !had[v] {
			message := "verdict " + v + " holds now: " + scaler.Verdict(v).Text()
			if scaler.Verdict(v) == scaler.VerdictUnschedulable && refused != "" {
				message += ": " + refused
			}
			out = append(out, change{corev1.EventTypeWarning, v, message})
		}
	}
	for _, v := range last.Verdicts {
		if !has[v] {
			out = append(out, change{corev1.EventTypeNormal, v + "Over", "verdict " + v + " holds no more"})
		}
	}
	for _, c := range next.Conditions {
		before := metav1.Condition{}
		for _, old := range last.Conditions {
			if old.Type == c.Type {
				before = old
			}
		}
		if before.Status == c.Status && before.Reason == c.Reason || before.Type == "" && c.Status == metav1.ConditionTrue {
			continue
		}
		kind := corev1.EventTypeNormal
		if c.Status == metav1.ConditionFalse {
			kind = corev1.EventTypeWarning
		}
		out = append(out, change{kind, c.Type + c.Reason, c.Message})
	}
	return out
}
