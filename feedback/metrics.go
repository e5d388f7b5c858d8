package feedback

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector turns the newest snapshot into metrics. What is not known is absent, not 0.
type collector struct{ service *Service }

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("prescale_feedback_"+name, help, nil, nil)
}

var (
	descMatched = prometheus.NewDesc("prescale_feedback_joined_total",
		"Join results of this instance (matched, expired: no outcome in time, unknown: no prediction, undecodable).",
		[]string{"result"}, nil)
	descHeld = prometheus.NewDesc("prescale_feedback_held_records",
		"Events that wait for their counterpart (prediction, outcome).", []string{"kind"}, nil)
	descExamples    = describe("examples_total", "Labelled examples learned from, by whichever instance.")
	descRefused     = describe("examples_refused_total", "Labelled examples that did not fit the model.")
	descVersion     = describe("champion_version", "Version that the trainer holds for champion.")
	descAccuracy    = describe("accuracy_ratio", "Faded share of served predictions that turned out right.")
	descLoss        = describe("loss_nats", "Faded mean log-loss of served predictions.")
	descCalibration = describe("calibration_error_ratio", "Expected calibration error of served predictions.")
	descDelay       = describe("label_delay_seconds", "Faded mean time from prediction to outcome.")
	descEvidence    = describe("evidence", "Capital of the bet that the challenger is better; it is promoted at evidence_needed.")
	descNeeded      = describe("evidence_needed", "Capital that promotes.")
	descDrifts      = describe("drifts_total", "Drifts found.")
	descPromotions  = describe("promotions_total", "Versions made champion because they were better.")
	descRollbacks   = describe("rollbacks_total", "Champions replaced by the one before.")
	descBlocked     = describe("promotions_blocked_total", "Promotions that a past regime forbade.")
)

func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descMatched, descHeld, descExamples, descRefused, descVersion, descAccuracy, descLoss,
		descCalibration,
		descDelay, descEvidence, descNeeded, descDrifts, descPromotions, descRollbacks, descBlocked} {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	c.service.mu.Lock()
	all := c.service.joined
	for _, n := range c.service.joins {
		all.Predictions += n.counts.Predictions
		all.Outcomes += n.counts.Outcomes
	}
	c.service.mu.Unlock()
	send(descMatched, prometheus.CounterValue, float64(all.Matched), "matched")
	send(descMatched, prometheus.CounterValue, float64(all.Expired), "expired")
	send(descMatched, prometheus.CounterValue, float64(all.Unknown), "unknown")
	send(descMatched, prometheus.CounterValue, float64(all.Undecodable), "undecodable")
	send(descHeld, prometheus.GaugeValue, float64(all.Predictions), "prediction")
	send(descHeld, prometheus.GaugeValue, float64(all.Outcomes), "outcome")
	s, ok := c.service.Snapshot()
	if !ok {
		return
	}
	send(descExamples, prometheus.CounterValue, float64(s.Examples))
	send(descRefused, prometheus.CounterValue, float64(s.Refused))
	send(descVersion, prometheus.GaugeValue, float64(s.Version))
	send(descEvidence, prometheus.GaugeValue, s.Evidence)
	send(descNeeded, prometheus.GaugeValue, s.EvidenceNeeded)
	send(descDrifts, prometheus.CounterValue, float64(s.Drifts))
	send(descPromotions, prometheus.CounterValue, float64(s.Promotions))
	send(descRollbacks, prometheus.CounterValue, float64(s.Rollbacks))
	send(descBlocked, prometheus.CounterValue, float64(s.Blocked))
	if s.Scored {
		send(descAccuracy, prometheus.GaugeValue, s.Accuracy)
		send(descLoss, prometheus.GaugeValue, s.LossNats)
		send(descCalibration, prometheus.GaugeValue, s.Calibration)
		send(descDelay, prometheus.GaugeValue, s.Delay.Seconds())
	}
}
