package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

// TestExplainPastTheEnd: what is explained for a moment after the last observation is that observation's decision, and said to be.
func TestExplainPastTheEnd(t *testing.T) {
	policy := writeInput(t, "policy.yaml", "kafka: {group: g, topics: [t]}\nreplicas: {min: 1, max: 4}\nobjective: {lagSeconds: 30}\n")
	ticks := writeInput(t, "ticks.jsonl", `{"t": 90, "intervalSeconds": 15, "arrivalRecords": 1}
{"t": 105, "intervalSeconds": 15, "arrivalRecords": 1}
`)
	for _, tt := range []struct {
		at, of string
		last   bool
	}{{"100", "at t = 90:", false}, {"105", "at t = 105:", false}, {"900", "at t = 105:", true}, {"", "at t = 105:", false}} {
		args := []string{"explain", "--policy", policy, "--observations", ticks}
		if tt.at != "" {
			args = append(args, "--at", tt.at)
		}
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, &out); err != nil {
			t.Fatalf("--at %q: %v", tt.at, err)
		}
		if got := out.String(); !strings.Contains(got, tt.of) || strings.Contains(got, "nothing later is known") != tt.last {
			t.Errorf("--at %q: want %q and that nothing later is known %v, in:\n%s", tt.at, tt.of, tt.last, got)
		}
	}
}

// TestExplainSaysNothingOfAnUnknownError: where the last value never erred there is nothing to compare the median's error with.
func TestExplainSaysNothingOfAnUnknownError(t *testing.T) {
	for _, tt := range []struct {
		mase series.Value
		want bool
	}{{series.Value{}, false}, {series.Of(0.75), true}} {
		var out bytes.Buffer
		printAccuracy(&out, &scaler.ForecastAccuracy{Outcomes: 40, MASE: tt.mase})
		if got := out.String(); strings.Contains(got, "0.75 times that of") != tt.want || strings.Contains(got, "missing") {
			t.Errorf("an error of %v: got\n%s", tt.mase, got)
		}
	}
}
