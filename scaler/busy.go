package scaler

import (
	"math"

	"github.com/prescale/prescale/metrics/series"
)

// busyCheck finds a busy ratio that does not tell how busy the replicas are, such as that of an exporter that stands still or of
// consumers that count waiting as work: it stays the same while what a replica does changes by half, or while all of them have a backlog.
type busyCheck struct {
	Ratio float64 // what was told when the latest run of ratios that are the same began; 0 before the first
	Ticks int     // how many of the run left no backlog
	// Mean is what a replica did lately in those, in records a second, Least and Most its extremes since it was of busySpan ticks.
	Mean, Least, Most float64
	Idle              int // how many of the run told of replicas that are not busy though all of them had a backlog
}

const (
	// sameBusy is the share within which ratios are the same; workVaried how many times its least the most work of a run is from
	// which on they contradict it. What is told in whole per cent covers 1.2 times at busyTold, from which on ratios are checked.
	sameBusy   = 0.02
	workVaried = 1.5
	busyTold   = 0.05
	// busySpan is how many ticks the work is averaged over, for chance and for ratios that are told of the latest minutes, and how many
	// of replicas that have a backlog and are not busy are enough: those that wait for others that join are for some.
	busySpan = 20
	// A ratio of wholeBusy and more leaves no time, and what replicas do then is all that they can: it needs no average over more than
	// wholeSpan ticks, and varies by no more than when commits are made. The more there are of those that are always busy, the less
	// each does.
	wholeBusy, wholeSpan, wholeVaried = 0.999, 5, 1.25
)

// observe learns from one interval in which each replica did `work` records a second. kept says that they left no backlog, for with
// one the ratio is 1 whatever they do; full that all of them had one throughout.
func (b *busyCheck) observe(told series.Value, work float64, kept, full bool) {
	x, ok := told.Get()
	if !ok || x < busyTold || !(work > 0) {
		return
	}
	if math.Abs(x-b.Ratio) > sameBusy*b.Ratio {
		*b = busyCheck{Ratio: x}
	}
	if full && x < 1-resetRatio {
		b.Idle++
	}
	if !kept {
		return
	}
	b.Ticks++
	span, _ := b.varies()
	b.Mean += (work - b.Mean) / float64(min(b.Ticks, span))
	if b.Ticks <= span {
		b.Least, b.Most = b.Mean, b.Mean
	}
	b.Least, b.Most = min(b.Least, b.Mean), max(b.Most, b.Mean)
}

// varies returns how many ticks the work of the run is averaged over, and how many times its least contradict the ratio.
func (b *busyCheck) varies() (span int, most float64) {
	if b.Ratio >= wholeBusy {
		return wholeSpan, wholeVaried
	}
	return busySpan, workVaried
}

// contradicted reports whether the ratio is to be left out.
func (b *busyCheck) contradicted() bool {
	_, most := b.varies()
	return b.Idle >= busySpan || b.Most > most*b.Least
}
