package registry

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prescale/prescale/inference/model"
)

// Entry is one version, loaded and ready to predict. It never changes.
type Entry struct {
	Name    string
	Version int64
	Model   *model.Model
	Lineage Lineage
}

// Static is a source that always serves one entry, for a service without a registry.
type Static struct{ Entry *Entry }

// Champion returns the entry.
func (s Static) Champion() *Entry { return s.Entry }

// Version returns the entry if version is its own.
func (s Static) Version(version int64) (*Entry, error) {
	if version != s.Entry.Version {
		return nil, fmt.Errorf("model %s: there is no version %d, only %d", s.Entry.Name, version, s.Entry.Version)
	}
	return s.Entry, nil
}

// Versions lists the entry's.
func (s Static) Versions() []int64 { return []int64{s.Entry.Version} }

// Unserved is nil: the entry serves.
func (s Static) Unserved() error { return nil }

// keepLoaded is how many versions stay ready to predict; others are loaded again from their file when asked for.
const keepLoaded = 4

// store is what the topic says about one model name: the files by version, the champion, and the few versions loaded.
type store struct {
	name     string
	champion atomic.Pointer[Entry] // what serves; swapped, never changed

	mu     sync.Mutex // guards what follows
	files  map[int64][]byte
	wanted Champion // newest champion record
	unread error    // why a newer one is not it
	loaded []*Entry // most recently used first
}

func newStore(name string) *store { return &store{name: name, files: map[int64][]byte{}} }

// apply takes one record in. A record of another name is ignored. An error means that the record was refused and nothing
// changed.
func (s *store) apply(key, value []byte) error {
	name, version, err := parseKey(key)
	if err != nil || name != s.name {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case version == 0 && value == nil:
		return fmt.Errorf("model %s: the champion record was deleted; version %d stays", name, s.wanted.Version)
	case version == 0:
		c, err := parseChampion(value)
		if err != nil {
			s.unread = fmt.Errorf("model %s: %w", name, err)
			return s.unread
		}
		s.wanted, s.unread = c, nil
	case value == nil:
		delete(s.files, version)
		s.loaded = slices.DeleteFunc(s.loaded, func(e *Entry) bool { return e.Version == version })
	default:
		// Decoding is cheap and tells of a damaged file when it arrives, not when it is needed.
		if _, _, err := model.Decode(string(key), value); err != nil {
			return err
		}
		s.files[version] = slices.Clone(value)
	}
	return nil
}

// promote loads the wanted champion, if it is not serving yet, and reports whether it changed. With the file missing or
// refused the present champion stays.
func (s *store) promote() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	present := s.champion.Load()
	if s.wanted.Version == 0 || present != nil && present.Version == s.wanted.Version {
		return false, nil
	}
	e, err := s.load(s.wanted.Version)
	if err != nil {
		return false, err
	}
	s.champion.Store(e)
	return true, nil
}

// wantedError tells why the wanted champion cannot serve, nil when it can or none is wanted.
func (s *store) wantedError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread != nil || s.wanted.Version == 0 {
		return s.unread
	}
	_, err := s.load(s.wanted.Version)
	return err
}

// version returns one version, loading it if need be.
func (s *store) version(version int64) (*Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(version)
}

// load returns a version and notes that it was used. The caller holds mu.
func (s *store) load(version int64) (*Entry, error) {
	if i := slices.IndexFunc(s.loaded, func(e *Entry) bool { return e.Version == version }); i >= 0 {
		e := s.loaded[i]
		s.loaded = slices.Insert(slices.Delete(s.loaded, i, i+1), 0, e)
		return e, nil
	}
	file, ok := s.files[version]
	if !ok {
		return nil, fmt.Errorf("model %s: there is no version %d in the registry", s.name, version)
	}
	key := string(versionKey(s.name, version))
	m, err := model.Load(key, file)
	if err != nil {
		return nil, err
	}
	lineage, err := ParseLineage(m.Metadata)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", key, err)
	}
	e := &Entry{Name: s.name, Version: version, Model: m, Lineage: lineage}
	s.loaded = slices.Insert(s.loaded, 0, e)
	if len(s.loaded) > keepLoaded {
		s.loaded = slices.Delete(s.loaded, keepLoaded, len(s.loaded))
	}
	return e, nil
}

// versions lists the versions whose file is held, ascending.
func (s *store) versions() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]int64, 0, len(s.files))
	for v := range s.files {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}
