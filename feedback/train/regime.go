package train

import (
	"encoding/binary"
	"fmt"

	"github.com/prescale/prescale/feedback/score"
	"github.com/prescale/prescale/feedback/stage"
)

// regime is a frozen sample of the examples between two drifts.
type regime struct {
	number int64 // of the drift that ended it
	rows   []row
}

const (
	regimeRows  = 256 // examples of one regime, enough to tell a loss that is 5 % higher from noise
	keepRegimes = 8   // newest regimes that are kept
)

// freezeRegime keeps a sample, evenly spread, of the examples before the change.
func (l *Learner) freezeRegime(changed int64) {
	oldest := max(l.Since, l.Examples-min(l.Examples, int64(len(l.recent))))
	recordRows := stage.RecordBytes / int64(4*l.config.Architecture.Inputs+binary.MaxVarintLen32) // one record holds it
	n := min(changed-oldest, regimeRows, recordRows)
	if n <= 0 {
		return
	}
	r := regime{number: l.Drifts}
	for i := range n {
		r.rows = append(r.rows, l.at(oldest+i*(changed-oldest)/n))
	}
	l.regimes = append(l.regimes, r)
	l.out.State[regimeKey(r.number)] = encodeRows(r.rows)
	if len(l.regimes) > keepRegimes {
		l.out.State[regimeKey(l.regimes[0].number)] = nil
		l.regimes = l.regimes[1:]
	}
}

// regimeForbids tells which past regime the challenger would do worse on than the champion, "" for none.
func (l *Learner) regimeForbids() (string, error) {
	if !l.config.ProtectPast {
		return "", nil
	}
	for _, r := range l.regimes {
		champion, err := l.meanLoss(l.champion, r.rows)
		if err != nil {
			return "", err
		}
		challenger, err := l.meanLoss(l.challenger, r.rows)
		if err != nil {
			return "", err
		}
		if challenger > champion*(1+l.config.RegimeTolerance) {
			return fmt.Sprintf("the loss on %d examples of the regime before drift %d would rise from %.3f to %.3f nats",
				len(r.rows), r.number, champion, challenger), nil
		}
	}
	return "", nil
}

func (l *Learner) meanLoss(c *contender, rows []row) (float64, error) {
	var x []float32
	for _, r := range rows {
		x = append(x, r.features...)
	}
	classes := c.weights.Architecture.Classes
	scores := make([]float32, len(rows)*classes)
	if err := c.plan.Predict(x, len(rows), scores); err != nil {
		return 0, err
	}
	var sum float64
	for i, r := range rows {
		sum += score.LogLoss(scores[i*classes:(i+1)*classes], r.class)
	}
	return sum / float64(len(rows)), nil
}
