package event

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	asked     = time.UnixMilli(1767225600123).UTC()
	predicted = asked.Add(12 * time.Millisecond)
)

func TestEventsReadBackAsWritten(t *testing.T) {
	for _, id := range []string{"r-17", `quote "`, `\`, "line\n", "naïve"} {
		r := Request{ID: id, RequestedAt: asked, Features: []float32{1.5, -7e-12, math.MaxFloat32, 0.1}}
		if got, err := DecodeRequest(r.Append(nil)); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("request %q: got %+v, %v", id, got, err)
		}
		p := Prediction{ID: id, RequestedAt: asked, PredictedAt: predicted, Model: "default", ModelVersion: 3,
			Features: r.Features, Scores: []float32{0.25, 0.75}, Class: 1}
		if got, err := DecodePrediction(p.Append(nil)); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("prediction %q: got %+v, %v", id, got, err)
		}
		o := Outcome{ID: id, ObservedAt: predicted, Class: 0}
		if got, err := DecodeOutcome(o.Append(nil)); err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("outcome %q: got %+v, %v", id, got, err)
		}
	}
}

func TestDecodeRequestNamesTheFault(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":[1]}`, ""},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":[ 1 ,` + "\t2\t,\r\n3\n,4\r" + `],"extra":{}}`, ""},
		{``, "not a JSON object"},
		{`[]`, "not a JSON object of this schema: got JSON's array: want an object"},
		{`{"v":1,"id":5,"requestedAtMillis":1767225600000,"features":[1]}`, "id: got JSON's number: want a string"},
		{`{"v":1,"id":"a","requestedAtMillis":5.5,"features":[1]}`, "requestedAtMillis: got JSON's number 5.5: want a whole number"},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":{}}`, "request: features: not an array of numbers"},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":[1]`, "unexpected end"},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":[1,null]}`, `request: features: element 1: "null"`},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":[1e39]}`, `element 0: "1e39"`},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":["1"]}`, "element 0"},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":[]}`, "features: missing or empty"},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":null}`, "features: missing or empty"},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000}`, "features: missing or empty"},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":1}`, "features: not an array of numbers"},
		{`{"v":1,"id":"a","features":[1]}`, "requestedAtMillis: missing"},
		{`{"v":1,"id":"a","requestedAtMillis":0,"features":[1]}`, "requestedAtMillis: 0 is no Unix time"},
		{`{"v":1,"id":"a","requestedAtMillis":1767225600000000,"features":[1]}`, "no Unix time in milliseconds"},
		{`{"v":1,"requestedAtMillis":1767225600000,"features":[1]}`, "id: missing"},
		{`{"v":1,"id":"","requestedAtMillis":1767225600000,"features":[1]}`, "id: missing"},
		{`{"v":1,"id":"` + strings.Repeat("x", 256) + `","requestedAtMillis":1767225600000,"features":[1]}`, ""},
		{`{"v":1,"id":"` + strings.Repeat("x", 257) + `","requestedAtMillis":1767225600000,"features":[1]}`, "id: 257 bytes"},
		{`{"id":"a","requestedAtMillis":1767225600000,"features":[1]}`, "v: missing; this program reads version 1"},
		{`{"v":2,"id":"a"}`, "request: v: 2; this program reads version 1"},
	} {
		_, err := DecodeRequest([]byte(tt.in))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%.80s: %v", tt.in, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%.80s: got %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestDecodeTellsEveryFaultAtOnce(t *testing.T) {
	_, err := DecodePrediction([]byte(`{"v":1,"id":"a","class":2,"scores":[0.5,0.5]}`))
	for _, want := range []string{"requestedAtMillis", "predictedAtMillis", "features", "model", "version", "class: 2, but there are 2 scores"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not tell of %q", err, want)
		}
	}
}

func TestDecodePredictionNamesTheFault(t *testing.T) {
	const good = `{"v":1,"id":"a","requestedAtMillis":1767225600000,"predictedAtMillis":1767225600000,"model":"m","version":1,"features":[1],"scores":[0.5,0.5],"class":1}`
	for _, tt := range []struct{ old, new, want string }{
		{"", "", ""},
		{`"m"`, `""`, "prediction: model: missing"},
		{`"version":1`, `"version":0`, "prediction: version: missing or below 1"},
		{`"class":1`, `"class":2`, "prediction: class: 2, but there are 2 scores"},
		{`"class":1`, `"class":-1`, "prediction: class: -1 is below 0"},
		{`,"class":1`, ``, "prediction: class: missing"},
		{`[0.5,0.5]`, `[]`, "prediction: scores: missing or empty"},
		{`"v":1,"id":"a"`, `"v":3`, "prediction: v: 3; this program reads version 1"}, // and nothing of what else that version has
		{`{"v":1`, `{`, "not a JSON object"},
	} {
		got := ""
		if _, err := DecodePrediction([]byte(strings.Replace(good, tt.old, tt.new, 1))); err != nil {
			got = err.Error()
		}
		if got != tt.want && !(tt.want == "not a JSON object" && strings.Contains(got, tt.want)) {
			t.Errorf("%s for %s: got %q, want %q", tt.new, tt.old, got, tt.want)
		}
	}
	if _, err := DecodeOutcome([]byte(`{"v":1,"id":"a","observedAtMillis":1767225600000}`)); err == nil || err.Error() != "outcome: class: missing" {
		t.Errorf("an outcome without a class: %v", err)
	}
}

func TestArgmax(t *testing.T) {
	for _, tt := range []struct {
		in   []float32
		want int
	}{{nil, -1}, {[]float32{0.5, 0.5}, 0}, {[]float32{0.1, 0.7, 0.2}, 1}} {
		if got := Argmax(tt.in); got != tt.want {
			t.Errorf("Argmax(%v) = %d, want %d", tt.in, got, tt.want)
		}
	}
}

// FuzzDecode checks that no input panics and that what decodes survives a round trip.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":[1,2.5e-3]}`))
	f.Add([]byte(`{"v":1,"id":"a","requestedAtMillis":1767225600000,"features":[1,null]}`))
	f.Add([]byte(`{"v":1,"id":"a","observedAtMillis":1767225600000,"class":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeRequest(b); err == nil {
			again, err := DecodeRequest(r.Append(nil))
			if err != nil || !reflect.DeepEqual(r, again) {
				t.Fatalf("%s: %+v then %+v, %v", b, r, again, err)
			}
		}
		_, _ = DecodePrediction(b)
		if o, err := DecodeOutcome(b); err == nil {
			again, err := DecodeOutcome(o.Append(nil))
			if err != nil || o != again {
				t.Fatalf("%s: %+v then %+v, %v", b, o, again, err)
			}
		}
	})
}

func BenchmarkDecodeRequest(b *testing.B) {
	in := Request{ID: "r-1234567", RequestedAt: asked, Features: []float32{1.25, 7.5, 3.375}}.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRequest(in); err != nil {
			b.Fatal(err)
		}
	}
}
