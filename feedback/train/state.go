package train

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prescale/prescale/inference/model"
)

// stateVersion is written with a Learner's state. Raise it when a key or a field changes its meaning.
const stateVersion = 1

// Keys of the state. Champion and previous champion are model files, the challenger is the state of its trainer.
const (
	tallyKey      = "tally"
	championKey   = "champion"
	previousKey   = "previous"
	challengerKey = "challenger"
	recentPrefix  = "recent/"
	regimePrefix  = "regime/"
)

func recentKey(slot int) string          { return recentPrefix + strconv.Itoa(slot) }
func regimeKey(number int64) string      { return regimePrefix + strconv.FormatInt(number, 10) }
func (l *Learner) storeChampion()        { l.out.State[championKey] = model.Encode(l.champion.weights, nil) }
func instant(unixMillis int64) time.Time { return time.UnixMilli(unixMillis).UTC() }

func (l *Learner) storeTally() error {
	b, err := json.Marshal(l.tally)
	if err != nil {
		return fmt.Errorf("train: store: %w", err)
	}
	l.out.State[tallyKey] = b
	return nil
}

// Restore implements stage.Processor.
func (l *Learner) Restore(state map[string][]byte) error {
	b, ok := state[tallyKey]
	if !ok {
		return nil
	}
	var version struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return fmt.Errorf("train: state: %w", err)
	}
	if version.V != stateVersion {
		return fmt.Errorf("train: state: version %d; this program reads version %d", version.V, stateVersion)
	}
	alpha, scale := l.For.Alpha, l.For.Scale
	if err := json.Unmarshal(b, &l.tally); err != nil {
		return fmt.Errorf("train: state: %w", err)
	}
	l.For.Alpha, l.For.Scale, l.Against.Alpha, l.Against.Scale = alpha, scale, alpha, scale // as configured now
	if l.Model != l.config.Registry.Name {
		return fmt.Errorf("train: state is of model %s, not %s: give each model groups and topics of its own, the registry's aside",
			l.Model, l.config.Registry.Name)
	}
	w, _, err := model.Decode("state/champion", state[championKey])
	if err != nil {
		return err
	}
	l.champion = newContender(l.Champion, w)
	if err := l.fits(); err != nil {
		return err
	}
	if file, ok := state[previousKey]; ok {
		if w, _, err = model.Decode("state/previous", file); err != nil {
			return err
		}
		l.previous = newContender(l.Previous, w)
	}
	if err := l.restoreRows(state); err != nil {
		return err
	}
	if trainer, ok := state[challengerKey]; ok {
		a, err := model.StateArchitecture("state/challenger", trainer)
		if err != nil {
			return err
		}
		if !a.Equal(l.config.Architecture) { // configured anew: the bet was on another challenger
			l.For.Reset()
			return l.challenge(l.startWeights())
		}
		// The trainer's own state carries every weight, so what it starts from does not matter.
		if err := l.challenge(model.NewWeights(l.config.Architecture, rand.New(rand.NewPCG(l.config.Seed, 0)))); err != nil {
			return err
		}
		if err := l.trainer.Restore("state/challenger", trainer); err != nil {
			return err
		}
		l.challenger = newContender(0, l.trainer.Snapshot())
	}
	return nil
}

// fits refuses an architecture that could never take the champion's place: examples are of its features and classes.
func (l *Learner) fits() error {
	of, want := l.champion.weights.Architecture, l.config.Architecture
	if of.Inputs == want.Inputs && of.Classes == want.Classes {
		return nil
	}
	return fmt.Errorf(
		"train: architecture: %s, but the champion, version %d of model %s, is %s: begin and end with its %d features and %d classes, "+
			"or train another model, with groups and topics of its own", want, l.Champion, l.config.Registry.Name, of,
		of.Inputs, of.Classes)
}

func (l *Learner) restoreRows(state map[string][]byte) error {
	held := min(l.Examples, int64(l.config.Window))
	l.recent = make([]row, held, l.config.Window)
	for key, value := range state {
		slot, isRecent := strings.CutPrefix(key, recentPrefix)
		number, isRegime := strings.CutPrefix(key, regimePrefix)
		if !isRecent && !isRegime {
			continue
		}
		rows, err := decodeRows(value)
		if err != nil {
			return fmt.Errorf("train: state %s: %w", key, err)
		}
		if isRecent {
			number = slot
		}
		n, err := strconv.ParseInt(number, 10, 64)
		switch {
		case err != nil:
			return fmt.Errorf("train: state %s: %w", key, err)
		case isRegime:
			l.regimes = append(l.regimes, regime{number: n, rows: rows})
		case n < 0 || n >= held || len(rows) != 1:
			return fmt.Errorf("train: state %s: %d rows in slot %d of %d: was the window of %d examples another? set it back, "+
				"or begin anew: stop every instance, then delete the state topic and the group", key, len(rows), n, held, l.config.Window)
		default:
			l.recent[n] = rows[0]
		}
	}
	slices.SortFunc(l.regimes, func(a, b regime) int { return int(a.number - b.number) })
	for i, r := range l.recent {
		if r.features == nil {
			return fmt.Errorf("train: state: slot %d of %d is missing: was the window of %d examples another? set it back, "+
				"or begin anew: stop every instance, then delete the state topic and the group", i, held, l.config.Window)
		}
	}
	return nil
}

// Rows are stored as: inputs (uvarint), rows (uvarint), then per row the class (uvarint) and the features (float32, little
// endian).
func encodeRow(r row) []byte { return encodeRows([]row{r}) }

func encodeRows(rows []row) []byte {
	b := binary.AppendUvarint(nil, uint64(len(rows[0].features)))
	b = binary.AppendUvarint(b, uint64(len(rows)))
	for _, r := range rows {
		b = binary.AppendUvarint(b, uint64(r.class))
		for _, f := range r.features {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
	}
	return b
}

func decodeRows(b []byte) ([]row, error) {
	in := bytes.NewReader(b)
	inputs, err1 := binary.ReadUvarint(in)
	n, err2 := binary.ReadUvarint(in)
	if err1 != nil || err2 != nil || inputs == 0 || n > uint64(len(b)) || inputs > uint64(len(b)) {
		return nil, fmt.Errorf("%d bytes are no rows", len(b))
	}
	rows := make([]row, n)
	for i := range rows {
		class, err := binary.ReadUvarint(in)
		if err != nil || uint64(in.Len()) < 4*inputs {
			return nil, fmt.Errorf("cut short in row %d of %d", i, n)
		}
		rows[i] = row{features: make([]float32, inputs), class: int(class)}
		if err := binary.Read(in, binary.LittleEndian, rows[i].features); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	if in.Len() > 0 {
		return nil, fmt.Errorf("%d bytes too many", in.Len())
	}
	return rows, nil
}
