package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/prescale/prescale/metrics/series"
)

// tickLine is one line of input.
type tickLine struct {
	T                       *float64       `json:"t"`
	IntervalSeconds         series.Value   `json:"intervalSeconds"`
	ArrivalRecords          series.Value   `json:"arrivalRecords"`
	ArrivalWork             series.Value   `json:"arrivalWork"`
	ConsumedRecords         series.Value   `json:"consumedRecords"`
	LagRecords              series.Value   `json:"lagRecords"`
	LagSeconds              series.Value   `json:"lagSeconds"`
	ReadyReplicas           series.Value   `json:"readyReplicas"`
	StartingReplicas        series.Value   `json:"startingReplicas"`
	UnschedulableReplicas   series.Value   `json:"unschedulableReplicas"`
	Partitions              series.Value   `json:"partitions"`
	PartitionLagRecords     []series.Value `json:"partitionLagRecords"`
	PartitionArrivalRecords []series.Value `json:"partitionArrivalRecords"`
	BusyRatio               series.Value   `json:"busyRatio"`
	ReplicaCPUCores         series.Value   `json:"replicaCpuCores"`
	LatencySeconds          series.Value   `json:"latencySeconds"`
	StartupSeconds          []series.Value `json:"startupSeconds"`
	ProvisionedSeconds      []series.Value `json:"provisionedStartupSeconds"`
	Rebalancing             *bool          `json:"rebalancing"`
	Pools                   []poolLine     `json:"pools"`
}

type poolLine struct {
	Name                  string         `json:"name"`
	ReadyReplicas         series.Value   `json:"readyReplicas"`
	StartingReplicas      series.Value   `json:"startingReplicas"`
	UnschedulableReplicas series.Value   `json:"unschedulableReplicas"`
	ConsumedRecords       series.Value   `json:"consumedRecords"`
	BusyRatio             series.Value   `json:"busyRatio"`
	StartupSeconds        []series.Value `json:"startupSeconds"`
}

// maxTime bounds t in seconds either way: year 5138.
const maxTime = 1e11

// check reports the first value that cannot be.
func (l *tickLine) check() error {
	if l.T != nil && !(*l.T >= -maxTime && *l.T <= maxTime) {
		return fmt.Errorf("t: %g: want seconds within 1e11", *l.T)
	}
	if x := l.IntervalSeconds.Or(0); x > 1e7 {
		return fmt.Errorf("intervalSeconds: %g: want at most 1e7", x)
	}
	for _, v := range []keyed{
		{"intervalSeconds", l.IntervalSeconds}, {"arrivalRecords", l.ArrivalRecords}, {"arrivalWork", l.ArrivalWork},
		{"consumedRecords", l.ConsumedRecords},
		{"lagRecords", l.LagRecords}, {"lagSeconds", l.LagSeconds}, {"busyRatio", l.BusyRatio}, {"latencySeconds", l.LatencySeconds},
		{"replicaCpuCores", l.ReplicaCPUCores},
	} {
		if err := v.check(); err != nil {
			return err
		}
	}
	for _, v := range []keyed{
		{"readyReplicas", l.ReadyReplicas}, {"startingReplicas", l.StartingReplicas}, {"unschedulableReplicas", l.UnschedulableReplicas},
		{"partitions", l.Partitions},
	} {
		if err := v.checkCount(); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		key    string
		values []series.Value
	}{
		{"partitionLagRecords", l.PartitionLagRecords}, {"partitionArrivalRecords", l.PartitionArrivalRecords},
		{"startupSeconds", l.StartupSeconds}, {"provisionedStartupSeconds", l.ProvisionedSeconds},
	} {
		if err := checkList(list.key, list.values); err != nil {
			return err
		}
	}
	for i := range l.Pools {
		p, at := &l.Pools[i], fmt.Sprintf("pools[%d].", i)
		if p.Name == "" {
			return fmt.Errorf("%sname: is missing: want a name of the policy's pools", at)
		}
		for _, v := range []keyed{{at + "consumedRecords", p.ConsumedRecords}, {at + "busyRatio", p.BusyRatio}} {
			if err := v.check(); err != nil {
				return err
			}
		}
		for _, v := range []keyed{
			{at + "readyReplicas", p.ReadyReplicas}, {at + "startingReplicas", p.StartingReplicas},
			{at + "unschedulableReplicas", p.UnschedulableReplicas},
		} {
			if err := v.checkCount(); err != nil {
				return err
			}
		}
		if err := checkList(at+"startupSeconds", p.StartupSeconds); err != nil {
			return err
		}
	}
	return nil
}

// keyed is a value with the key that it was given under.
type keyed struct {
	key   string
	value series.Value
}

func (v keyed) check() error {
	if x, ok := v.value.Get(); ok && (x < 0 || x > 1e15) {
		return fmt.Errorf("%s: %g: want between 0 and 1e15, or null where it is not known", v.key, x)
	}
	return nil
}

// checkCount is check for what is counted: half a replica is a mean over a while or over pods, and not what there is now.
func (v keyed) checkCount() error {
	if x, ok := v.value.Get(); ok && x != math.Trunc(x) {
		return fmt.Errorf("%s: %g: want a whole number, or null where it is not known", v.key, x)
	}
	return v.check()
}

func checkList(key string, values []series.Value) error {
	for i, v := range values {
		if x, ok := v.Get(); ok && (x < 0 || x > 1e15) {
			return fmt.Errorf("%s[%d]: %g: want between 0 and 1e15, or null where it is not known", key, i, x)
		}
	}
	return nil
}

// unknownKeys returns the keys of a line that mean nothing here, sorted. Keys are matched as encoding/json does, whatever
// their case.
func unknownKeys(line []byte) []string {
	var keys map[string]json.RawMessage
	if json.Unmarshal(line, &keys) != nil {
		return nil
	}
	var unknown []string
	for key := range keys {
		meant := false
		for i := range reflect.TypeFor[tickLine]().NumField() {
			meant = meant || strings.EqualFold(key, reflect.TypeFor[tickLine]().Field(i).Tag.Get("json"))
		}
		if !meant {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// explainJSON puts a decoder's message in the terms of the line.
func explainJSON(line []byte, err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		want, ok := map[reflect.Kind]string{reflect.Slice: "a list", reflect.Bool: "true or false", reflect.String: "a name",
			reflect.Struct: "keys and values"}[wrong.Type.Kind()]
		if !ok {
			want = "a number"
		}
		return fmt.Errorf("%s: got a %s: want %s, or null where it is not known", wrong.Field, wrong.Value, want)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(line, &members) != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		one, _ := json.Marshal(map[string]json.RawMessage{key: members[key]})
		if err := json.Unmarshal(one, new(tickLine)); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return err
}

func known(values []series.Value) []float64 {
	var numbers []float64
	for _, v := range values {
		if x, ok := v.Get(); ok {
			numbers = append(numbers, x)
		}
	}
	return numbers
}
