package scaler

import "testing"

func TestEveryCodeHasItsSentence(t *testing.T) {
	seen := map[string]bool{}
	check := func(code, text string) {
		if text == "" || seen[text] {
			t.Errorf("%s: %q: want a sentence of its own", code, text)
		}
		seen[text] = true
	}
	for _, r := range Reasons() {
		check(string(r), r.Text())
	}
	for _, v := range Verdicts() {
		check(string(v), v.Text())
	}
	if Reason("Other").Text() != "" || Verdict("Other").Text() != "" {
		t.Error("a code that is not in the set has a sentence")
	}
}
