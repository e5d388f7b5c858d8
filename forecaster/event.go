package forecaster

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Event is a Span in which arrivals are known to come Factor times as fast as usual: a sale, or with a Factor below 1 a holiday.
type Event struct {
	Name string
	Span
	Factor float64
	// Learn says that Factor is only where learning begins: each past occurrence moves it towards what came.
	Learn bool `json:",omitempty"`
}

// The bounds of an Event's Factor. Below a hundredth too little of the usual level would be left to learn from.
const (
	MinFactor = 0.01
	MaxFactor = 1000
)

// The bounds of the resource's schema, so that a file may say no more.
const (
	maxEvents = 32
	maxName   = 63
)

// ValidateEvents joins all that is wrong with events, each problem with its key path: events[0].factor.
func ValidateEvents(events []Event) error {
	var problems []error
	if len(events) > maxEvents {
		problems = append(problems, fmt.Errorf("events: are %d: want at most %d", len(events), maxEvents))
	}
	names := map[string]bool{}
	for i, e := range events {
		at := fmt.Sprintf("events[%d]", i)
		switch {
		case e.Name == "":
			problems = append(problems, fmt.Errorf("%s.name: is empty: want a name such as sale", at))
		case utf8.RuneCountInString(e.Name) > maxName:
			problems = append(problems, fmt.Errorf("%s.name: %q: want at most %d characters", at, e.Name, maxName))
		case names[e.Name]:
			problems = append(problems, fmt.Errorf("%s.name: %q: is used twice", at, e.Name))
		}
		names[e.Name] = true
		problems = append(problems, e.Span.Validate(at))
		if !(e.Factor >= MinFactor && e.Factor <= MaxFactor) {
			problems = append(problems, fmt.Errorf("%s.factor: %v: want how many times the usual arrivals come, within %v to %v", at,
				e.Factor, MinFactor, MaxFactor))
		}
	}
	return errors.Join(problems...)
}
