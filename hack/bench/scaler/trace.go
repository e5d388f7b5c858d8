package main

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/forecaster/catalog"
	"github.com/prescale/prescale/scaler/sim"
)

// traces with a step of at most a minute, with the column that is the arrivals. The quickest come first.
var traces = []struct{ file, column string }{
	{"azure_llm_conv_2023", "requests"}, {"daedalus_traffic_6h", "messages_per_s"},
	{"nasa_http_aug95_60s", "requests"}, {"crane_metric_02", "value"}, {"crane_metric_11", "value"},
	{"nasa_http_jul95_60s", "requests"}, {"crane_metric_01", "value"}, {"crane_metric_06", "value"},
	{"crane_metric_08", "value"}, {"crane_metric_14", "value"}, {"alibaba_lora_requests", "requests"},
	{"nasa_http_aug95_15s", "requests"}, {"nasa_http_jul95_15s", "requests"},
}

func matchesAny(name string, parts string) bool {
	for p := range strings.SplitSeq(parts, ",") {
		if strings.Contains(name, p) {
			return true
		}
	}
	return false
}

func (o *options) load(file, column string) (*sim.Trace, error) {
	f, err := os.Open(filepath.Join(o.data, "traces", file+".csv.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, err
	}
	at := -1
	for i, name := range rows[0] {
		if name == column {
			at = i
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("%s: no column %q", file, column)
	}
	t0, _ := strconv.ParseFloat(rows[1][0], 64)
	t1, _ := strconv.ParseFloat(rows[2][0], 64)
	step := t1 - t0
	rates := make([]float64, 0, len(rows))
	for _, row := range rows[1:] {
		x, err := strconv.ParseFloat(row[at], 64)
		if err != nil || !(x >= 0) {
			x = 0
		}
		rates = append(rates, 1000*x/step)
	}
	if n := int(o.from * 86400 / step); n > 0 {
		if len(rates) < 2*n {
			return nil, errTooShort
		}
		rates = rates[n:]
	}
	if n := int(o.days * 86400 / step); n > 0 && n < len(rates) {
		rates = rates[:n]
	}
	return sim.NewTrace(file, step, rates)
}

// errTooShort says that a trace has not twice the days that are to be left out.
var errTooShort = errors.New("the trace is too short")

// longestLead is the longest lead time of the grid, in seconds: forecasts are recorded for it whatever leads are asked for.
const longestLead = 300

// forecasts records the standard model's forecasts over a trace, or takes them from the cache. They depend on the arrivals
// alone, so that one recording serves every lead time, promise, partition count and seed.
func (o *options) forecasts(s *sim.Scenario) (*sim.Forecasts, error) {
	steps := int(math.Ceil(1.25*longestLead/s.Tick)) + 4
	path := ""
	if o.cache != "" {
		path = filepath.Join(o.cache, fmt.Sprintf("%s-%d-%g-%d", s.Trace.Name, len(s.Trace.Rates), s.Tick, steps))
		if o.from > 0 {
			path += fmt.Sprintf("-from-%g", o.from)
		}
		path += ".forecasts"
		if f, err := os.Open(path); err == nil {
			defer f.Close()
			return sim.ReadForecasts(f)
		}
	}
	model, err := catalog.New(forecaster.Config{
		Step: time.Duration(s.Tick * float64(time.Second)), MaxSteps: steps, Quantiles: forecaster.DefaultQuantiles(),
	})
	if err != nil {
		return nil, err
	}
	f := sim.Record(s, model, steps, nil)
	if path == "" {
		return f, nil
	}
	// Written under another name first: a run that is cut off must leave no half of a recording.
	file, err := os.Create(path + ".part")
	if err != nil {
		return nil, err
	}
	if err := f.Write(file); err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	return f, os.Rename(path+".part", path)
}
