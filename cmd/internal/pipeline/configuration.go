package pipeline

import (
	"encoding/json"
	"fmt"
	"hash/fnv"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/metrics/collector"
	"github.com/prescale/prescale/scaler"
)

// configuration is all of a policy that its decisions depend on, in the form in which the log keeps it (JSON). What a later
// version adds reads as its default.
type configuration struct {
	Scaler scaler.Config     `json:"scaler"`
	Model  forecaster.Config `json:"model"`
}

// configuration returns the policy's.
func (p Policy) configuration() []byte {
	data, err := json.Marshal(configuration{p.Scaler, p.Model})
	if err != nil {
		panic(fmt.Sprintf("pipeline: policy %s cannot be written as JSON: %v", p.Name(), err))
	}
	return data
}

// recordedPolicy returns a policy that decides as the one did whose configuration was recorded. Nothing can be collected for it.
func recordedPolicy(name string, recorded []byte) (Policy, error) {
	c := configuration{Scaler: scaler.DefaultConfig()}
	if err := json.Unmarshal(recorded, &c); err != nil {
		return Policy{}, fmt.Errorf("read the recorded configuration of policy %s: %w", name, err)
	}
	return Policy{Target: collector.Target{Policy: name}, Scaler: c.Scaler, Model: c.Model}, nil
}

func fingerprint(configuration []byte) uint64 {
	h := fnv.New64a()
	h.Write(configuration)
	return h.Sum64()
}

// Fingerprint returns a hash of all of the policy that its decisions depend on.
func (p Policy) Fingerprint() uint64 { return fingerprint(p.configuration()) }
