package readmodel

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prescale/prescale/metrics/series"
)

func TestPoliciesOverHTTP(t *testing.T) {
	now := start
	s := NewStore(func() time.Time { return now })
	s.Expect("ai/cold", tick)
	s.Publish(entryAt("ai/a", start, 7, 2))
	get := func(path string, into any) int {
		recorder := httptest.NewRecorder()
		Handler(s).ServeHTTP(recorder, httptest.NewRequest("GET", path, nil))
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
	if code := get("/api/v1/policies/ai/nobody", &one); code != 404 {
		t.Errorf("unknown: got %d, want 404", code)
	}
	now = start.Add(time.Hour)
	one = StatusMessage{}
	if code := get("/api/v1/policies/ai/a", &one); code != 200 || one.Entry == nil || !strings.Contains(one.Error, "the last sample is 1h0m0s old") {
		t.Errorf("stale: got %d, %+v, want the old entry and the error", code, one)
	}
	var all []StatusMessage
	if get("/api/v1/policies", &all); len(all) != 2 || all[1].Policy != "ai/cold" || all[1].Entry != nil || !strings.Contains(all[1].Error, "no sample yet") {
		t.Errorf("all: got %+v", all)
	}
}
