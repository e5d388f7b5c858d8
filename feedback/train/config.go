package train

import (
	"errors"
	"fmt"
	"math"

	"github.com/prescale/prescale/feedback/stage"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// Config of a Learner.
type Config struct {
	Registry     registry.Config
	Architecture model.Architecture // of new models
	Seed         uint64             // of the first weights and of the draws of minibatches

	Batch         int     // examples of one minibatch, default 64
	StepsPerBatch int     // minibatches trained each time Batch new examples have come, default 4; more learns faster and costs more
	DriftSteps    int     // minibatches trained at once on the examples since a drift, default 100
	LearningRate  float64 // Adam's α, default 3e-3
	Window        int     // newest examples that minibatches are drawn from, default 2048

	Alpha         float64 // bound on the chance that a promotion is false, default 0.01
	LossScaleNats float64 // difference of log-loss that counts as 1 in the evidence, default 1

	// ProtectPast blocks a promotion that raises the mean loss on the frozen examples of any past regime by more than
	// RegimeTolerance. It is for meanings that come back, such as weekdays and weekends; where the meaning has changed for
	// good the old labels are wrong, and it would block every recovery. Default false.
	ProtectPast     bool
	RegimeTolerance float64 // default 0.05

	KeepVersions int // newest versions that stay in the registry beside the champion and the one before it, default 20
}

// DefaultConfig leaves only Architecture to be set.
func DefaultConfig() Config {
	return Config{
		Registry: registry.DefaultConfig(), Seed: 1,
		Batch: 64, StepsPerBatch: 4, DriftSteps: 100, LearningRate: 3e-3, Window: 2048,
		Alpha: 0.01, LossScaleNats: 1, RegimeTolerance: 0.05, KeepVersions: 20,
	}
}

// Validate tells everything that is wrong with c.
func (c Config) Validate() error {
	errs := []error{c.Registry.Validate()}
	if err := c.Architecture.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("train: %w", err))
	} else if size := model.StateBytes(c.Architecture); size > stage.RecordBytes {
		errs = append(errs, fmt.Errorf(
			"train: architecture: %s takes %d bytes with what its training has to remember, and a Kafka record has room for %d: "+
				"take fewer or narrower layers", c.Architecture, size, stage.RecordBytes))
	}
	for _, field := range []struct {
		key         string
		value, from int
	}{{"batch", c.Batch, 1}, {"stepsPerBatch", c.StepsPerBatch, 1}, {"driftSteps", c.DriftSteps, 0}, {"window", c.Window, c.Batch},
		{"keepVersions", c.KeepVersions, 1}} {
		if field.value < field.from || field.value > 1<<20 {
			errs = append(errs, fmt.Errorf("train: %s: %d is outside %d to %d", field.key, field.value, field.from, 1<<20))
		}
	}
	for _, field := range []struct {
		key   string
		value float64
	}{{"learningRate", c.LearningRate}, {"alpha", c.Alpha}, {"lossScaleNats", c.LossScaleNats}} {
		if !(field.value > 0) || math.IsInf(field.value, 0) {
			errs = append(errs, fmt.Errorf("train: %s: %v is not above 0", field.key, field.value))
		}
	}
	if c.Alpha >= 1 {
		errs = append(errs, fmt.Errorf("train: alpha: %v is not below 1", c.Alpha))
	}
	if !(c.RegimeTolerance >= 0) {
		errs = append(errs, fmt.Errorf("train: regimeTolerance: %v is below 0", c.RegimeTolerance))
	}
	return errors.Join(errs...)
}
