package train

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/feedback/drift"
	"github.com/prescale/prescale/feedback/join"
	"github.com/prescale/prescale/feedback/promote"
	"github.com/prescale/prescale/feedback/score"
	"github.com/prescale/prescale/feedback/stage"
	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/inference/model"
	"github.com/prescale/prescale/inference/registry"
)

// Existing is what the registry holds before a Learner's first example.
type Existing struct {
	Champion    *registry.Entry // nil for none
	LastVersion int64           // greatest version ever seen, 0 for none
}

// contender is a model that takes part: its plan and where it comes from.
type contender struct {
	version int64 // 0 for the challenger
	weights *model.Weights
	plan    *model.Plan
}

func newContender(version int64, w *model.Weights) *contender {
	return &contender{version: version, weights: w, plan: model.NewPlan(w)}
}

// Learner learns one model. It implements stage.Processor.
type Learner struct {
	config   Config
	logger   *slog.Logger
	existing Existing

	tally              // what is small and stored as JSON
	champion, previous *contender
	challenger         *contender // nil until the first examples
	trainer            *model.Trainer
	recent             []row // ring of the last Window examples; recent[i%Window]
	regimes            []regime

	out     stage.Output // of the call in progress
	scores  []float32
	scratch []float32
}

// tally is everything about a Learner that is small.
type tally struct {
	V           int    `json:"v"`
	Model       string `json:"model"` // name in the registry; a state without it is taken for the configured model's
	LastVersion int64  `json:"lastVersion"`
	Champion    int64  `json:"champion"`
	Previous    int64  `json:"previous"` // version that comes back if the champion proves worse, 0 for none

	Examples  int64 `json:"examples"`  // kept so far; the next gets this index
	Refused   int64 `json:"refused"`   // could not be used
	Trained   int64 `json:"trained"`   // minibatches, over all challengers
	Since     int64 `json:"since"`     // index of the first example that minibatches may hold
	Untrained int64 `json:"untrained"` // examples since the last minibatch
	NewestAt  int64 `json:"newestAtMillis"`

	Served     score.Prequential `json:"served"`     // of the predictions that were served
	OfChampion score.Prequential `json:"ofChampion"` // of the present champion, whichever version served

	Adwin       drift.ADWIN       `json:"adwin"`
	PageHinkley drift.PageHinkley `json:"pageHinkley"`
	For         promote.Evidence  `json:"for"`     // challenger against champion
	Against     promote.Evidence  `json:"against"` // previous champion against champion

	DelaySum     float64 `json:"delaySumSeconds"` // faded sum, from prediction to outcome; Served.B is its count
	Drifting     bool    `json:"drifting"`        // a drift was found and the champion is still the same
	Drifts       int64   `json:"drifts"`
	Promotions   int64   `json:"promotions"`
	Rollbacks    int64   `json:"rollbacks"`
	Blocked      int64   `json:"blocked"` // promotions that a past regime forbade
	LastChange   string  `json:"lastChange"`
	LastChangeAt int64   `json:"lastChangeAtMillis"`
}

// row is one example as training needs it.
type row struct {
	features []float32
	class    int
}

// New returns the learner of the examples' partition. The config is valid.
func New(c Config, existing Existing, logger *slog.Logger) (*Learner, error) {
	l := &Learner{config: c, logger: logger, existing: existing, recent: make([]row, 0, c.Window)}
	evidence, err := promote.New(c.LossScaleNats, c.Alpha)
	if err != nil {
		return nil, err
	}
	l.tally = tally{V: stateVersion, Model: c.Registry.Name, Served: score.New(score.Fading), OfChampion: score.New(score.Fading),
		For: evidence, Against: evidence,
		Adwin: drift.NewADWIN(), PageHinkley: drift.NewPageHinkley()}
	return l, nil
}

// Start implements stage.Processor. The first time ever it adopts the registry's champion, or publishes version 1: untrained,
// every class with the same score, so that the service can answer and examples come.
func (l *Learner) Start() (stage.Output, error) {
	l.out = stage.Output{State: map[string][]byte{}}
	if l.champion != nil {
		return l.out, nil
	}
	l.LastVersion = l.existing.LastVersion
	if e := l.existing.Champion; e != nil {
		l.champion = newContender(e.Version, e.Model.Weights)
		l.Champion = e.Version
		l.LastVersion = max(l.LastVersion, e.Version)
		if err := l.fits(); err != nil {
			return stage.Output{}, err
		}
	} else {
		rng := rand.New(rand.NewPCG(l.config.Seed, 0))
		l.publish(model.NewWeights(l.config.Architecture, rng), registry.Lineage{Description: "untrained"}, time.UnixMilli(0),
			"first version")
	}
	l.storeChampion()
	return l.out, l.storeTally()
}

// Process implements stage.Processor.
func (l *Learner) Process(records []*kgo.Record) (stage.Output, error) {
	l.out = stage.Output{State: map[string][]byte{}}
	for _, r := range records {
		e, err := join.DecodeExample(r.Value)
		if err == nil {
			err = l.usable(e)
		}
		if err != nil {
			l.Refused++
			l.logger.Warn("train: passed over an example", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
			continue
		}
		if err := l.learn(e, fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)); err != nil {
			return stage.Output{}, err
		}
	}
	if l.trainer != nil {
		l.out.State[challengerKey] = l.trainer.State()
	}
	return l.out, l.storeTally()
}

// scoreSlack is how far above 1 the rounding of a softmax may come.
const scoreSlack = 1e-3

// usable refuses what does not fit the models.
func (l *Learner) usable(e join.Example) error {
	a := l.champion.weights.Architecture
	switch {
	case len(e.Prediction.Features) != l.config.Architecture.Inputs || len(e.Prediction.Features) != a.Inputs:
		return fmt.Errorf("example %s: %d features, the model takes %d", e.Prediction.ID, len(e.Prediction.Features), a.Inputs)
	case e.Outcome.Class >= l.config.Architecture.Classes || e.Outcome.Class >= a.Classes:
		return fmt.Errorf("example %s: class %d, the model knows %d", e.Prediction.ID, e.Outcome.Class, a.Classes)
	}
	for i, p := range e.Prediction.Scores { // what is measured of the served predictions would be wrong for thousands of them
		if !(p >= 0 && p <= 1+scoreSlack) {
			return fmt.Errorf("example %s: score %v of class %d is no probability", e.Prediction.ID, p, i)
		}
	}
	return nil
}

// learn takes one example through the five steps of the package comment.
func (l *Learner) learn(e join.Example, position string) error {
	x, truth := e.Prediction.Features, e.Outcome.Class
	at := e.Outcome.ObservedAt
	l.NewestAt = max(l.NewestAt, at.UnixMilli())
	l.Served.Add(e.Prediction.Scores, e.Prediction.Class, truth)
	l.DelaySum = max(0, e.Delay().Seconds()) + score.Fading*l.DelaySum

	championLoss, err := l.loss(l.champion, x, truth)
	if err != nil {
		return err
	}
	l.OfChampion.Add(l.scores, event.Argmax(l.scores), truth)
	if l.drifted(championLoss / score.MaxLoss * driftGain) {
		if err := l.startOver(at); err != nil {
			return err
		}
	}
	if l.previous != nil {
		previousLoss, err := l.loss(l.previous, x, truth)
		if err != nil {
			return err
		}
		if l.Against.Add(championLoss, previousLoss) {
			if err := l.rollBack(at); err != nil {
				return err
			}
		}
	}
	if l.challenger != nil {
		loss, err := l.loss(l.challenger, x, truth)
		if err != nil {
			return err
		}
		if l.For.Add(championLoss, loss) {
			if err := l.promote(at, position); err != nil {
				return err
			}
		}
	}
	l.remember(row{features: x, class: truth})
	return l.trainWhenFull()
}

// loss returns the log-loss of c on one example, and leaves its scores in l.scores.
func (l *Learner) loss(c *contender, x []float32, truth int) (float64, error) {
	classes := c.weights.Architecture.Classes
	if cap(l.scores) < classes {
		l.scores = make([]float32, classes)
	}
	l.scores = l.scores[:classes]
	if err := c.plan.Predict(x, 1, l.scores); err != nil {
		return 0, err
	}
	return score.LogLoss(l.scores, truth), nil
}
