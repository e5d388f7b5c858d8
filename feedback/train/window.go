package train

import (
	"math/rand/v2"
)

// remember keeps the newest example in the ring.
func (l *Learner) remember(r row) {
	slot := int(l.Examples % int64(l.config.Window))
	l.Examples++
	for len(l.recent) <= slot {
		l.recent = append(l.recent, row{})
	}
	l.recent[slot] = r
	l.out.State[recentKey(slot)] = encodeRow(r)
}

// at returns the example of an index that the ring still holds.
func (l *Learner) at(index int64) row { return l.recent[index%int64(l.config.Window)] }

// kept is how many of the newest examples minibatches are drawn from.
func (l *Learner) kept() int64 { return min(l.Examples-l.Since, int64(l.config.Window)) }

// trainWhenFull trains after each Batch of new examples. The first time it makes the challenger, from four batches on, so that
// features can be standardised.
func (l *Learner) trainWhenFull() error {
	l.Untrained++
	if l.Untrained < int64(l.config.Batch) {
		return nil
	}
	if l.challenger == nil {
		if l.kept() < min(4*int64(l.config.Batch), int64(l.config.Window)) {
			return nil
		}
		if err := l.challenge(l.startWeights()); err != nil {
			return err
		}
	}
	if l.kept() < int64(l.config.Batch) { // right after a drift
		return nil
	}
	l.Untrained = 0
	return l.train(l.config.StepsPerBatch)
}

// train takes steps with minibatches of which half is drawn from the newest Batch examples and half from all that are kept.
// The draws depend on the seed and the number of the step alone.
func (l *Learner) train(steps int) error {
	batch, kept := l.config.Batch, l.kept()
	classes := make([]int, batch)
	for range steps {
		l.Trained++
		rng := rand.New(rand.NewPCG(l.config.Seed, uint64(l.Trained)))
		l.scratch = l.scratch[:0]
		for i := range batch {
			from := kept
			if i%2 == 0 {
				from = min(kept, int64(batch))
			}
			r := l.at(l.Examples - 1 - rng.Int64N(from))
			l.scratch = append(l.scratch, r.features...)
			classes[i] = r.class
		}
		if _, err := l.trainer.Step(l.scratch, classes); err != nil {
			// Such as a loss that is not finite. The log would bring the same examples again for ever, so the challenger
			// gives way, not the log.
			l.logger.Error("train: minibatch failed, the challenger starts over", "minibatch", l.Trained, "error", err)
			return l.challenge(l.startWeights())
		}
	}
	l.challenger = newContender(0, l.trainer.Snapshot())
	return nil
}
