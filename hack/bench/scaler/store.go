package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// key names one run of one policy in one world. Rule tells versions of the shipped rule apart; it is empty for the others,
// whose results stay true when the rule changes.
type key struct {
	Trace      string  `json:"trace"`
	From       float64 `json:"fromDays,omitempty"`
	Days       float64 `json:"days"`
	Partitions int     `json:"partitions"`
	Lead       float64 `json:"leadSeconds"`
	Policy     string  `json:"policy"`
	Setting    float64 `json:"setting"`
	Seed       int     `json:"seed"`
	Rule       string  `json:"rule,omitempty"`
}

// outcome is what a run cost, in units of the lower bound, and what share of the records came late.
type outcome struct {
	Cost       float64 `json:"cost"`
	Late       float64 `json:"lateRatio"`
	WaitP99    float64 `json:"waitP99Seconds"`
	ChangesDay float64 `json:"changesPerDay"`
	MovesDay   float64 `json:"movesPerDay"`
}

type record struct {
	key
	outcome
}

// store keeps outcomes, and appends each to a file as it comes, so that a sweep that was cut off goes on where it was.
type store struct {
	mu   sync.Mutex
	seen map[key]outcome
	file *os.File
}

// openStore reads what the file holds already; an empty path keeps outcomes in memory alone.
func openStore(path string) (*store, error) {
	s := &store{seen: map[key]outcome{}}
	if path == "" {
		return s, nil
	}
	f, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		defer f.Close()
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			var r record
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
			}
			s.seen[r.key] = r.outcome
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	s.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	return s, err
}

func (s *store) get(k key) (outcome, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.seen[k]
	return o, ok
}

func (s *store) put(k key, o outcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[k] = o
	if s.file == nil {
		return nil
	}
	b, err := json.Marshal(record{k, o})
	if err != nil {
		return err
	}
	_, err = s.file.Write(append(b, '\n'))
	return err
}

func (s *store) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
