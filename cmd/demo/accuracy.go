package main

import (
	"sync"

	"github.com/prescale/prescale/inference/event"
	"github.com/prescale/prescale/metrics/series"
)

// judgedWindow is how many predictions the accuracy is over: about a minute of the trace, which puts its standard error at
// 2 points.
const judgedWindow = 300

// accuracy judges predictions as their outcomes become known. It is safe for concurrent use.
type accuracy struct {
	mu        sync.Mutex
	predicted map[string]judgement
	observed  map[string]int
	right     [judgedWindow]bool
	judged    int
	sum       int
	// version is the newest that has predicted.
	version int64
}

type judgement struct {
	class   int
	version int64
}

func newAccuracy() *accuracy {
	return &accuracy{predicted: map[string]judgement{}, observed: map[string]int{}}
}

// predict takes one prediction and reports whether it is a new version's first.
func (a *accuracy) predict(p event.Prediction) (newVersion bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	newVersion = p.ModelVersion > a.version && a.version > 0
	a.version = max(a.version, p.ModelVersion)
	if class, known := a.observed[p.ID]; known {
		delete(a.observed, p.ID)
		a.judge(p.Class == class)
		return newVersion
	}
	a.predicted[p.ID] = judgement{p.Class, p.ModelVersion}
	return newVersion
}

// observe takes one outcome. It may come before its prediction.
func (a *accuracy) observe(o event.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, known := a.predicted[o.ID]
	if !known {
		a.observed[o.ID] = o.Class
		return
	}
	delete(a.predicted, o.ID)
	a.judge(p.class == o.Class)
}

// judge counts one answer. a.mu is held.
func (a *accuracy) judge(right bool) {
	slot := &a.right[a.judged%judgedWindow]
	if *slot {
		a.sum--
	}
	if *slot = right; right {
		a.sum++
	}
	a.judged++
}

// minJudged is how few judged predictions are too few to give a share.
const minJudged = 30

// state returns the newest version and the share of right answers among the latest judged ones, missing while they are few.
func (a *accuracy) state() (version int64, ratio series.Value) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.judged < minJudged {
		return a.version, series.Missing
	}
	return a.version, series.Of(float64(a.sum) / float64(min(a.judged, judgedWindow)))
}
