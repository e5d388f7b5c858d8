package pipeline

import (
	"bytes"
	"testing"

	"github.com/prescale/prescale/metrics/eventlog"
)

// TestADecisionWithoutVerdicts of an older program, which wrote them as null, is the same as one of today.
func TestADecisionWithoutVerdicts(t *testing.T) {
	var texts [2][]byte
	for i, verdicts := range []string{"null", "[]"} {
		payload := []byte(`{"decision":{"policy":"ai/a","desiredReplicas":3,"level":0.95,"leadTimeSeconds":76.25,"verdicts":` + verdicts + `}}`)
		var err error
		if _, texts[i], err = recordedDecision(&eventlog.Decision{Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(texts[0], texts[1]) || !bytes.Contains(texts[0], []byte(`"verdicts":[]`)) {
		t.Errorf("got %s and %s", texts[0], texts[1])
	}
}

// TestARecordedDecisionIsComparedToTheByte: what this program does not know of, or would write otherwise, is a difference.
func TestARecordedDecisionIsComparedToTheByte(t *testing.T) {
	const recorded = `{"policy":"ai/a","desiredReplicas":3,"capacity":7,"level":0.950,"verdicts":["Stale"]}`
	_, text, err := recordedDecision(&eventlog.Decision{Payload: []byte(`{"decision":` + recorded + `}`)})
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != recorded {
		t.Errorf("got %s, want %s", text, recorded)
	}
}
