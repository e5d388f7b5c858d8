package drift

// PageHinkley is the test for a rise of the mean: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954), in the
// form of Gama et al., "A survey on concept drift adaptation", ACM Computing Surveys 46 (2014), section 3.2.2: m_T sums
// x_t - mean_t - δ, and an alarm is m_T - min m_t > λ.
type PageHinkley struct {
	Lambda float64 `json:"lambda"` // λ: how much above its least the sum must be
	Delta  float64 `json:"delta"`  // δ: change of the mean that is let pass
	Least  int64   `json:"least"`  // values before the first alarm

	Seen int64   `json:"seen"`
	Mean float64 `json:"mean"`
	Sum  float64 `json:"sum"`
	Min  float64 `json:"min"`
}

// NewPageHinkley returns a test with λ = 50, δ = 0.005 and no alarm within 30 values.
func NewPageHinkley() PageHinkley { return PageHinkley{Lambda: 50, Delta: 0.005, Least: 30} }

// Add takes one value in and reports an alarm, after which the test begins anew.
func (p *PageHinkley) Add(x float64) bool {
	p.Seen++
	p.Mean += (x - p.Mean) / float64(p.Seen)
	p.Sum += x - p.Mean - p.Delta
	p.Min = min(p.Min, p.Sum)
	if p.Seen < p.Least || p.Sum-p.Min <= p.Lambda {
		return false
	}
	*p = PageHinkley{Lambda: p.Lambda, Delta: p.Delta, Least: p.Least}
	return true
}
