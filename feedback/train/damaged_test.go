package train

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/prescale/prescale/feedback/streamtest"
)

// TestAStateThatCannotBeRightIsRefused: each row damages what a learner wrote, and a new one says what is wrong with it.
func TestAStateThatCannotBeRightIsRefused(t *testing.T) {
	w := newWorld(t, config(), 0.1)
	w.feed(600, w.concept(streamtest.Wide[0])) // fewer than the window
	tally := func(from, to string) func(map[string][]byte) {
		return func(state map[string][]byte) {
			if !bytes.Contains(state[tallyKey], []byte(from)) {
				t.Fatalf("no %s in %s", from, state[tallyKey])
			}
			state[tallyKey] = bytes.Replace(state[tallyKey], []byte(from), []byte(to), 1)
		}
	}
	set := func(key string, value []byte) func(map[string][]byte) {
		return func(state map[string][]byte) { state[key] = value }
	}
	one := w.state[recentKey(7)]
	for _, tt := range []struct {
		name   string
		damage func(map[string][]byte)
		want   string
	}{
		{"whole", func(map[string][]byte) {}, ""},
		{"of a later program", tally(fmt.Sprintf(`"v":%d`, stateVersion), `"v":99`), fmt.Sprintf("train: state: version 99; this program reads version %d", stateVersion)},
		{"no JSON", set(tallyKey, []byte("{")), "train: state: "},
		{"another model", tally(`"model":"default"`, `"model":"other"`), "train: state is of model other, not default"},
		{"no champion", set(championKey, nil), "state/champion"},
		{"a previous one that is none", set(previousKey, []byte("none")), "state/previous"},
		{"a challenger that is none", set(challengerKey, []byte("none")), "state/challenger"},
		{"an example cut short", set(recentKey(7), one[:len(one)-1]), "train: state recent/7: cut short in row 0 of 1"},
		{"an example with more after it", set(recentKey(7), append(bytes.Clone(one), 0)), "train: state recent/7: 1 bytes too many"},
		{"an example of nothing", set(recentKey(7), nil), "train: state recent/7: 0 bytes are no rows"},
		{"two examples in one's place", set(recentKey(7), encodeRows([]row{w.learner.at(1), w.learner.at(2)})), "train: state recent/7: 2 rows in slot 7"},
		{"an example too many", set(recentKey(600), one), "train: state recent/600: 1 rows in slot 600 of 600"},
		{"an example nowhere", set("recent/x", one), "train: state recent/x: "},
		{"an example before the first", set("recent/-1", one), "train: state recent/-1: 1 rows in slot -1"},
		{"an example that is gone", func(state map[string][]byte) { delete(state, recentKey(7)) }, "train: state: slot 7 of 600 is missing"},
		{"a regime of no number", set("regime/x", one), "train: state regime/x: "},
	} {
		state := maps.Clone(w.state)
		tt.damage(state)
		l, err := New(config(), Existing{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		err = l.Restore(state)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}
