// Package score keeps the prequential measures of a classifier: test, then train, with a fading factor.
//
// J. Gama, R. Sebastião and P. P. Rodrigues, "On evaluating stream learning algorithms", Machine Learning 90 (2013),
// section 3: the mean of losses L_i fading by α is S_i/B_i with S_i = L_i + αS_{i-1} and B_i = 1 + αB_{i-1}.
package score

import "math"

// Fading is the default α: half of the weight lies on the last 346 examples.
const Fading = 0.998

// bins of the calibration error.
const bins = 10

// Prequential measures. The zero value measures nothing yet; set Alpha first. Its fields are exported to be stored.
type Prequential struct {
	Alpha float64 `json:"alpha"`
	Count int64   `json:"count"` // examples ever
	B     float64 `json:"b"`     // faded count
	Right float64 `json:"right"` // faded count of right answers
	Loss  float64 `json:"loss"`  // faded sum of log-losses, nats

	// By confidence of the answer, in bins of equal width: faded count, sum of confidences and count of right answers.
	BinB          [bins]float64 `json:"binB"`
	BinConfidence [bins]float64 `json:"binConfidence"`
	BinRight      [bins]float64 `json:"binRight"`
}

// New returns measures that fade by α.
func New(alpha float64) Prequential { return Prequential{Alpha: alpha} }

// LogLoss returns -ln of the probability that was given to the true class, at most MaxLoss.
func LogLoss(scores []float32, class int) float64 {
	if class < 0 || class >= len(scores) {
		return MaxLoss
	}
	loss := -math.Log(float64(scores[class]))
	if !(loss < MaxLoss) { // NaN too
		return MaxLoss
	}
	return max(loss, 0)
}

// MaxLoss bounds a single log-loss: a probability of 2⁻²⁴, below which a float32 of one minus it is one.
const MaxLoss = 24 * math.Ln2

// Add takes one scored answer in: the class it named, its scores, and what was true.
func (p *Prequential) Add(scores []float32, answer, truth int) {
	right := 0.0
	if answer == truth {
		right = 1
	}
	p.Count++
	p.B = 1 + p.Alpha*p.B
	p.Right = right + p.Alpha*p.Right
	p.Loss = LogLoss(scores, truth) + p.Alpha*p.Loss
	for i := range bins {
		p.BinB[i] *= p.Alpha
		p.BinConfidence[i] *= p.Alpha
		p.BinRight[i] *= p.Alpha
	}
	if answer >= 0 && answer < len(scores) {
		confidence := float64(scores[answer])
		i := max(0, min(bins-1, int(confidence*bins)))
		p.BinB[i]++
		p.BinConfidence[i] += confidence
		p.BinRight[i] += right
	}
}

// Accuracy is the faded share of right answers; false while there is none.
func (p *Prequential) Accuracy() (ratio float64, ok bool) {
	if p.B == 0 {
		return 0, false
	}
	return p.Right / p.B, true
}

// LossNats is the faded mean log-loss; false while there is none.
func (p *Prequential) LossNats() (nats float64, ok bool) {
	if p.B == 0 {
		return 0, false
	}
	return p.Loss / p.B, true
}

// CalibrationError is the expected calibration error: the mean distance, over bins of confidence weighted by their share,
// between how sure the answers were and how often they were right. False while there is none.
func (p *Prequential) CalibrationError() (ratio float64, ok bool) {
	if p.B == 0 {
		return 0, false
	}
	var sum, all float64
	for i := range bins {
		sum += math.Abs(p.BinConfidence[i] - p.BinRight[i])
		all += p.BinB[i]
	}
	if all == 0 {
		return 0, false
	}
	return sum / all, true
}
