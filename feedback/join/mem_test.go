package join

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/inference/event"
)

// TestAHeldPredictionTakesWhatIsSaid: memory limits and Config.MaxHeld go by it.
func TestAHeldPredictionTakesWhatIsSaid(t *testing.T) {
	const n = 20_000
	p := New(DefaultConfig(), slog.New(slog.DiscardHandler))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		at := start.Add(time.Duration(i) * time.Millisecond)
		e := event.Prediction{ID: fmt.Sprintf("3f2504e0-4f89-11d3-9a0c-%012d", i), RequestedAt: at, PredictedAt: at, Model: "default", ModelVersion: 7,
			Features: []float32{1.25, 7.5123, 3.375}, Scores: []float32{0.123456, 0.876544}, Class: 1}
		if _, err := p.Process([]*kgo.Record{{Topic: event.TopicPredictions, Value: e.Append(nil), Timestamp: at}}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (after.HeapAlloc - before.HeapAlloc) / n; each < 200 || each > 600 || p.Counts().Predictions != n {
		t.Errorf("%d predictions take %d bytes each, want about 500", p.Counts().Predictions, each)
	}
}
