package kube

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// TestANumberHasThreeDigits: also the smallest, to which a forecast sinks when nothing arrives for days. What JSON cannot hold would
// keep the whole status from being written.
func TestANumberHasThreeDigits(t *testing.T) {
	for _, tt := range []struct{ x, want float64 }{
		{0, 0}, {812.345, 812}, {-0.0123456, -0.0123}, {999.6, 1000}, {1e300, 1e300}, {1.2345e-320, 1.23e-320}, {math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64},
	} {
		if got := rounded(series.Of(tt.x)); got == nil || *got != tt.want {
			t.Errorf("%g: got %v, want %g", tt.x, *got, tt.want)
		}
	}
}

// TestTheConditionOfAHistory goes through what a history's import may come to.
func TestTheConditionOfAHistory(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	policy := &v1alpha1.ScalePolicy{}
	policy.Spec.History = &v1alpha1.History{Topic: true}
	answer := func(samples int, err error, problems ...string) readmodel.Status {
		return readmodel.Status{Has: true, Err: err, Entry: readmodel.Entry{
			Decision: scaler.Decision{HistorySamples: samples}, Observation: series.Observation{Problems: problems},
		}}
	}
	for _, tt := range []struct {
		name                  string
		answer                readmodel.Status
		status, reason, holds string
		event                 string // its type
	}{
		{"none yet", readmodel.Status{}, "", "", "", ""},
		{"under way or passed over", answer(0, nil), "Unknown", "DecidingWithout", "being read, or was passed over because the policy had seen a day itself", "Normal"},
		{"failed", answer(0, nil, "another", pipeline.HistoryProblem+"history.topic: topic orders: is not there; tried again at 12:00"), "False", "NotImported", "topic orders: is not there; tried again", "Warning"},
		{"stale", answer(0, errors.New("stale")), "False", "NotImported", "topic orders: is not there", ""}, // as it was
		{"imported", answer(80000, nil), "True", "Imported", "80000 samples", "Normal"},
	} {
		s := newStatus(facts{policy: policy, answer: tt.answer}, now)
		c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionHistory)
		switch {
		case c == nil:
			if tt.reason != "" {
				t.Errorf("%s: no condition", tt.name)
			}
		case c.Reason != tt.reason || !strings.Contains(c.Message, tt.holds) || string(c.Status) != tt.status:
			t.Errorf("%s: got %s %s: %s", tt.name, c.Status, c.Reason, c.Message)
		}
		event := ""
		for _, one := range changes(policy.Status, s, "") {
			if strings.HasPrefix(one.reason, v1alpha1.ConditionHistory) {
				event = one.kind
			}
		}
		if event != tt.event {
			t.Errorf("%s: an event of the type %q, want %q", tt.name, event, tt.event)
		}
		policy.Status = s
	}
	policy.Spec.History = nil
	if c := meta.FindStatusCondition(newStatus(facts{policy: policy, answer: answer(0, nil)}, now).Conditions, v1alpha1.ConditionHistory); c != nil {
		t.Errorf("without a history: %+v", c)
	}
}
