package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/prescale/prescale/feedback/drift"
	"github.com/prescale/prescale/feedback/score"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// driftGain spreads the usual losses over [0, 1]: one of MaxLoss/12 = ln 4 nats or more, the true class given a quarter or
// less, counts as 1. So the mean is near the share of surprises, which is what changes.
const driftGain = 12

// drifted feeds the champion's loss, normalised to [0, 1], to both detectors and reports a rise. A cut of ADWIN after which the
// mean is lower is an improvement, not a drift.
func (l *Learner) drifted(loss float64) bool {
	loss = min(1, loss)
	before := l.Adwin.Mean()
	cut := l.Adwin.Add(loss) && l.Adwin.Mean() > before
	return l.PageHinkley.Add(loss) || cut
}

// startOver drops the examples of before the change, keeps a sample of them as a past regime, and starts a new challenger from
// the champion. Until another version is champion the loss stays high, and what the detectors cut off then is more of the same
// drift: it is dropped too, and the challenger goes on.
func (l *Learner) startOver(at time.Time) error {
	changed := l.Examples - min(l.Adwin.Width, l.kept()) // index of the first example since the change
	if l.Drifting {
		l.Since = changed
		return nil
	}
	l.Drifting = true
	l.Drifts++
	l.freezeRegime(changed)
	l.Since = changed
	l.note(at, fmt.Sprintf("drift: the champion's loss rose to %.3f nats over the last %d examples",
		l.Adwin.Mean()*score.MaxLoss/driftGain, l.Adwin.Width))
	l.PageHinkley = drift.NewPageHinkley()
	l.For.Reset()
	if l.challenger == nil {
		return nil
	}
	if err := l.challenge(l.startWeights()); err != nil {
		return err
	}
	if l.kept() < int64(l.config.Batch) {
		return nil // the next full batch trains it
	}
	return l.train(l.config.DriftSteps)
}

// promote publishes the challenger as a new version and makes it champion, unless a past regime forbids it.
func (l *Learner) promote(at time.Time, position string) error {
	if blocked, err := l.regimeForbids(); err != nil {
		return err
	} else if blocked != "" {
		l.Blocked++
		l.note(at, "promotion blocked: "+blocked)
		l.For.Reset()
		return nil
	}
	reason := fmt.Sprintf("promoted: evidence %.0f of %.0f on %d examples it had not been trained on, better by %.3f nats on average",
		l.For.K(), 1/l.For.Alpha, l.For.Count, l.For.Sum/float64(l.For.Count)*l.For.Scale)
	loss, _ := l.OfChampion.LossNats()
	accuracy, _ := l.OfChampion.Accuracy()
	lineage := registry.Lineage{
		Parent: l.Champion, CreatedAt: at, Examples: l.Examples, Position: position,
		LossNats: max(0, loss-l.For.Sum/float64(l.For.Count)*l.For.Scale), Accuracy: accuracy, Evaluated: l.For.Count, Description: reason,
	}
	dropped := l.Previous
	l.previous, l.Previous = l.champion, l.Champion
	l.out.State[previousKey] = model.Encode(l.previous.weights, nil)
	l.Promotions++
	l.publish(l.trainer.Snapshot(), lineage, at, reason)
	if dropped > 0 && dropped < l.LastVersion-int64(l.config.KeepVersions) { // it was kept beyond its turn
		l.out.Records = append(l.out.Records, registry.RetireRecord(l.config.Registry.Topic, l.config.Registry.Name, dropped))
	}
	l.storeChampion()
	l.newReign()
	return nil
}

// rollBack makes the previous champion champion again; its version is in the registry.
func (l *Learner) rollBack(at time.Time) error {
	l.Rollbacks++
	reason := fmt.Sprintf("rolled back: evidence %.0f of %.0f on %d examples that version %d is worse than version %d",
		l.Against.K(), 1/l.Against.Alpha, l.Against.Count, l.Champion, l.Previous)
	l.out.Records = append(l.out.Records, registry.ChampionRecord(l.config.Registry.Topic, l.config.Registry.Name,
		registry.Champion{Version: l.Previous, Previous: l.Champion, Reason: reason, At: at}))
	l.champion, l.Champion = l.previous, l.Previous
	l.previous, l.Previous = nil, 0
	l.out.State[previousKey] = nil
	l.storeChampion()
	l.note(at, reason)
	l.newReign()
	if l.challenger == nil {
		return nil
	}
	return l.challenge(l.startWeights())
}

// newReign starts everything that is measured against the champion anew. The detectors go on: a better champion's lower loss
// is no drift to them, and forgetting at each promotion what the loss used to be would hide a drift that comes soon after.
func (l *Learner) newReign() {
	l.For.Reset()
	l.Against.Reset()
	l.Drifting = false
	l.OfChampion = score.New(score.Fading)
}

// publish writes a new version and makes it champion.
func (l *Learner) publish(w *model.Weights, lineage registry.Lineage, at time.Time, reason string) {
	topic, name := l.config.Registry.Topic, l.config.Registry.Name
	l.LastVersion++
	l.out.Records = append(l.out.Records,
		registry.VersionRecord(topic, name, l.LastVersion, registry.File(w, lineage)),
		registry.ChampionRecord(topic, name, registry.Champion{Version: l.LastVersion, Previous: l.Champion, Reason: reason, At: at}))
	if old := l.LastVersion - int64(l.config.KeepVersions); old > 0 && old != l.Champion && old != l.Previous {
		l.out.Records = append(l.out.Records, registry.RetireRecord(topic, name, old))
	}
	l.champion, l.Champion = newContender(l.LastVersion, w), l.LastVersion
	l.note(at, reason)
}

func (l *Learner) note(at time.Time, change string) {
	l.LastChange, l.LastChangeAt = change, at.UnixMilli()
	l.logger.Info("train: "+change, "model", l.config.Registry.Name, "version", l.Champion, "at", at)
}

// challenge replaces the challenger and its trainer.
func (l *Learner) challenge(w *model.Weights) error {
	trainer, err := model.NewTrainer(w, l.config.Batch, l.config.LearningRate)
	if err != nil {
		return err
	}
	if l.trainer != nil {
		if err := l.trainer.Close(); err != nil {
			return fmt.Errorf("close trainer: %w", err)
		}
	}
	l.trainer, l.challenger = trainer, newContender(0, w)
	return nil
}

// startWeights are what a new challenger starts from: the champion's, or new ones when that has another architecture or has
// never been trained. New ones standardise the features as the recent examples are.
func (l *Learner) startWeights() *model.Weights {
	w := l.champion.weights
	if w.Architecture.Equal(l.config.Architecture) && !untrained(w) {
		return w.Clone()
	}
	w = model.NewWeights(l.config.Architecture, rand.New(rand.NewPCG(l.config.Seed, uint64(l.Examples))))
	first, n := l.Examples-l.kept(), float64(l.kept())
	if n < 2 {
		return w
	}
	for i := range w.Mean {
		var sum, squares float64
		for k := first; k < l.Examples; k++ {
			sum += float64(l.at(k).features[i])
		}
		mean := sum / n
		for k := first; k < l.Examples; k++ {
			d := float64(l.at(k).features[i]) - mean
			squares += d * d
		}
		w.Mean[i] = float32(mean)
		// What is less than a float32 of that size can tell is no variation: a feature that has been constant so far would be blown up.
		if deviation := math.Sqrt(squares / n); deviation > max(math.Abs(mean)/(1<<24), 1/math.MaxFloat32) {
			w.Scale[i] = float32(1 / deviation)
		}
	}
	return w
}

// untrained tells a model whose last layer is still zero.
func untrained(w *model.Weights) bool {
	last := w.Layers[len(w.Layers)-1]
	for _, v := range last.W {
		if v != 0 {
			return false
		}
	}
	return true
}
