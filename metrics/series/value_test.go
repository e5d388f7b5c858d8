package series

import (
	"encoding/json"
	"math"
	"testing"
)

func TestMissingIsNotZero(t *testing.T) {
	for _, tt := range []struct {
		name string
		got  Value
		want Value
	}{
		{"zero value is missing", Value{}, Missing},
		{"nan is missing", Of(math.NaN()), Missing},
		{"infinity is missing", Of(math.Inf(1)), Missing},
		{"missing plus one", Missing.Plus(Of(1)), Missing},
		{"one plus missing", Of(1).Plus(Missing), Missing},
		{"missing times two", Missing.Times(2), Missing},
		{"two plus three", Of(2).Plus(Of(3)), Of(5)},
		{"max of missing and zero", Missing.Max(Of(0)), Of(0)},
		{"max of two and three", Of(2).Max(Of(3)), Of(3)},
		{"integer", OfInt(int64(7)), Of(7)},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if Missing == Of(0) {
		t.Error("missing equals zero")
	}
	if !math.IsNaN(Missing.NaN()) {
		t.Error("missing as NaN: got a number")
	}
}

func TestValueJSON(t *testing.T) {
	type holder struct {
		A Value `json:"a"`
		B Value `json:"b,omitzero"`
	}
	for _, tt := range []struct{ in, out string }{
		{`{"a":1.5,"b":2}`, `{"a":1.5,"b":2}`},
		{`{"a":null}`, `{"a":null}`},
		{`{"b":null}`, `{"a":null}`},
		{`{"a":0,"b":0}`, `{"a":0,"b":0}`},
	} {
		var h holder
		if err := json.Unmarshal([]byte(tt.in), &h); err != nil {
			t.Fatalf("%s: %v", tt.in, err)
		}
		out, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != tt.out {
			t.Errorf("%s: got %s, want %s", tt.in, out, tt.out)
		}
	}
	var h holder
	if err := json.Unmarshal([]byte(`{"a":"x"}`), &h); err == nil {
		t.Error("text in a number: no error")
	}
}
