package kafka

import (
	"testing"
	"time"
)

// TestCommitsDoNotVanishAtOneWord steps a group that had commits through answers without any.
func TestCommitsDoNotVanishAtOneWord(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	place := &groupTopic{position: []int64{unknown, 90}, seenTick: 1}
	g := &group{topics: map[string]*groupTopic{"t": place}}
	for _, tt := range []struct {
		name  string
		tick  int
		after time.Duration
		seen  bool
		want  bool
	}{
		{"an answer that holds the topic", 1, 0, true, false},
		{"the first empty answer", 2, time.Second, false, true},
		{"still empty, short of the time", 3, time.Second + vanishedFor - time.Nanosecond, false, true},
		{"commits again", 4, 40 * time.Second, true, false},
		{"empty anew: the time begins anew", 5, 41 * time.Second, false, true},
		{"empty for long enough", 6, 41*time.Second + vanishedFor, false, false},
	} {
		if tt.seen {
			place.seenTick = tt.tick
		}
		if got := g.vanished(tt.tick, start.Add(tt.after)); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	never := &group{topics: map[string]*groupTopic{"t": {position: []int64{unknown}}}}
	if never.vanished(9, start) {
		t.Error("a group that never committed: its empty answer is the truth")
	}
}
