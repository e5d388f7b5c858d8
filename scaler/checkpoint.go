package scaler

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// checkpointMagic starts every checkpoint; the byte after it is StateVersion.
const checkpointMagic = "PSA"

// AppendCheckpoint appends the whole state, the model's included, to b in a versioned form. An Autoscaler with the same
// Config that restores it decides bit for bit as this one would.
func (a *Autoscaler) AppendCheckpoint(b []byte) []byte {
	state, err := json.Marshal(&a.state)
	if err != nil {
		// State holds finite numbers, times and slices of them.
		panic("scaler: state cannot be written: " + err.Error())
	}
	b = append(b, checkpointMagic...)
	b = append(b, StateVersion)
	b = binary.AppendUvarint(b, uint64(len(state)))
	b = append(b, state...)
	if a.model == nil {
		return append(b, 0)
	}
	return a.model.AppendCheckpoint(append(b, 1))
}

// Restore replaces the state with one that AppendCheckpoint wrote. On error nothing is changed.
func (a *Autoscaler) Restore(checkpoint []byte) error {
	rest := checkpoint
	if len(rest) < len(checkpointMagic)+1 || string(rest[:len(checkpointMagic)]) != checkpointMagic {
		return fmt.Errorf("%w: does not start with %q", errCheckpoint, checkpointMagic)
	}
	if version := rest[len(checkpointMagic)]; version != StateVersion {
		return fmt.Errorf("%w: version %d: want %d", errCheckpoint, version, StateVersion)
	}
	rest = rest[len(checkpointMagic)+1:]
	size, n := binary.Uvarint(rest)
	if n <= 0 || size >= uint64(len(rest)-n) {
		return fmt.Errorf("%w: is cut short", errCheckpoint)
	}
	rest = rest[n:]
	var state State
	if err := json.Unmarshal(rest[:size], &state); err != nil {
		return fmt.Errorf("%w: %w", errCheckpoint, err)
	}
	if state.Work.Unit != a.config.Work {
		return fmt.Errorf("%w: is of work in %q, wanted: %q", errCheckpoint, state.Work.Unit, a.config.Work)
	}
	hasModel, rest := rest[size] == 1, rest[size+1:]
	if hasModel != (a.model != nil) {
		return fmt.Errorf("%w: with a model: %v, wanted: %v", errCheckpoint, hasModel, a.model != nil)
	}
	if hasModel {
		if err := a.model.Restore(rest); err != nil {
			return fmt.Errorf("%w: forecaster: %w", errCheckpoint, err)
		}
	}
	state.matchPools(a.config.Pools)
	state.derive(&a.config)
	a.state, a.asked = state, false
	return nil
}
