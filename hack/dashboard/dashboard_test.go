package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// file is what users import.
const file = "../../manifests/components/monitoring/dashboard.json"

func TestCommittedFileIsWhatIsGenerated(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what main.go generates: run go run . %s", file, file)
	}
}

// model is the part of a dashboard that holds queries. It is decoded from the committed file and not taken from the SDK, so
// that what is tested is what users import.
type model struct {
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []panel
}

type panel struct {
	Title, Type string
	Targets     []struct{ Expr, RefID string }
	Panels      []panel
}

// queries returns every query of the dashboard by "panel refId".
func (m *model) queries() map[string]string {
	all := map[string]string{}
	var walk func([]panel)
	walk = func(panels []panel) {
		for _, p := range panels {
			for _, target := range p.Targets {
				all[p.Title+" "+target.RefID] = target.Expr
			}
			walk(p.Panels)
		}
	}
	walk(m.Panels)
	return all
}

func load(t *testing.T) *model {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var m model
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return &m
}
