package readmodel

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler"
)

func TestPoliciesOverHTTP(t *testing.T) {
	now := start
	s := NewStore(func() time.Time { return now })
	s.Expect("ai/cold", tick)
	s.Publish(entryAt("ai/a", start, 7, 2))
	s.Publish(entryAt("ai/elsewhere", start, 7, 2))
	explain := func(_ context.Context, policy string) (Explained, bool) {
		return Explained{Decision: scaler.Decision{DesiredReplicas: 3}, WhatIf: []scaler.WhatIf{{If: "it rained", Replicas: 4}}}, policy == "ai/a"
	}
	get := func(path string, into any) int {
		recorder := httptest.NewRecorder()
		Handler(s, explain).ServeHTTP(recorder, httptest.NewRequest("GET", path, nil))
		if recorder.Code == 200 {
			if err := json.Unmarshal(recorder.Body.Bytes(), into); err != nil {
				t.Fatalf("%s: %v in %s", path, err, recorder.Body)
			}
		}
		return recorder.Code
	}
	var one StatusMessage
	if code := get("/api/v1/policies/ai/a", &one); code != 200 || one.Entry == nil || one.Entry.Observation.LagRecords != series.Of(7) || one.Entry.Decision.DesiredReplicas != 2 || one.Error != "" {
		t.Errorf("fresh: got %d, %+v", code, one)
	}
	if x := one.Explained; x == nil || x.Decision.DesiredReplicas != 3 || len(x.WhatIf) != 1 || x.WhatIf[0].Replicas != 4 {
		t.Errorf("decided here: got %+v, want the explanation", x)
	}
	one = StatusMessage{}
	if code := get("/api/v1/policies/ai/elsewhere", &one); code != 200 || one.Entry == nil || one.Explained != nil {
		t.Errorf("decided elsewhere: got %d, %+v, want the entry without an explanation", code, one)
	}
	if code := get("/api/v1/policies/ai/nobody", &one); code != 404 {
		t.Errorf("unknown: got %d, want 404", code)
	}
	s.Refuse(map[string]string{"ai/refused": "spec.color: unknown key"})
	recorder := httptest.NewRecorder()
	Handler(s, explain).ServeHTTP(recorder, httptest.NewRequest("GET", "/api/v1/policies/ai/refused", nil))
	if recorder.Code != 404 || !strings.Contains(recorder.Body.String(), "spec.color: unknown key") {
		t.Errorf("refused: got %d, %s, want 404 and why", recorder.Code, recorder.Body)
	}
	now = start.Add(time.Hour)
	one = StatusMessage{}
	if code := get("/api/v1/policies/ai/a", &one); code != 200 || one.Entry == nil || !strings.Contains(one.Error, "the last sample is 1h0m0s old") {
		t.Errorf("stale: got %d, %+v, want the old entry and the error", code, one)
	}
	var all []StatusMessage
	if get("/api/v1/policies", &all); len(all) != 3 || all[0].Explained != nil || all[1].Policy != "ai/cold" || all[1].Entry != nil || !strings.Contains(all[1].Error, "no sample yet") {
		t.Errorf("all: got %+v", all)
	}
}
