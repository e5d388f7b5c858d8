package main

import (
	"math/rand/v2"
	"time"
)

// The shape of the stream that the model learns.
const (
	streamInputs  = 8
	streamClasses = 3
	// streamNoise is the standard deviation of what is added to each class's score, of which the signal's is about 2.8: it
	// leaves about nine of ten answers to be had.
	streamNoise = 0.5
)

// stream gives each request its features and the class that they mean. The meaning is linear, and from driftAt on it is
// another one: a model that is not trained again is then wrong more often than not. Example i depends on the seed, i and
// the side of the drift alone.
type stream struct {
	seed          uint64
	driftAt       time.Duration
	before, after [streamClasses][streamInputs]float64
}

func newStream(seed uint64, driftAt time.Duration) *stream {
	s := &stream{seed: seed, driftAt: driftAt}
	random := rand.New(rand.NewPCG(seed, 0))
	for c := range s.before {
		for k := range s.before[c] {
			s.before[c][k] = random.NormFloat64()
		}
	}
	// Every other feature means the opposite: related to what was, and wrong about half of the time.
	s.after = s.before
	for c := range s.after {
		for k := 1; k < streamInputs; k += 2 {
			s.after[c][k] = -s.before[c][k]
		}
	}
	return s
}

// example returns the features of request i, which arrives at the offset, and their true class.
func (s *stream) example(i int, offset time.Duration) (features []float32, class int) {
	random := rand.New(rand.NewPCG(s.seed, 1+uint64(i)))
	meaning := &s.before
	if offset >= s.driftAt {
		meaning = &s.after
	}
	features = make([]float32, streamInputs)
	var scores [streamClasses]float64
	for k := range features {
		x := random.NormFloat64()
		features[k] = float32(x)
		for c := range scores {
			scores[c] += meaning[c][k] * x
		}
	}
	for c := range scores {
		scores[c] += streamNoise * random.NormFloat64()
		if scores[c] > scores[class] {
			class = c
		}
	}
	return features, class
}
