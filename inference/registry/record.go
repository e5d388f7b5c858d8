package registry

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/inference/model"
)

// Topic is the default name of the registry's topic.
const Topic = "inference.models"

// schemaVersion is written into champion records and lineages. Raise it when a field changes its meaning.
const schemaVersion = 1

// metaLineage is the key of a model file's metadata that holds its Lineage as JSON.
const metaLineage = "prescale.lineage"

// Lineage tells where a version comes from.
type Lineage struct {
	Parent      int64     // version that training started from, 0 for none
	CreatedAt   time.Time // event time of the last example; millisecond resolution
	Examples    int64     // examples trained on since the first version
	Position    string    // where in the examples' log training stood, "topic/partition@offset"
	LossNats    float64   // mean log-loss on examples before they were trained on; 0 with Evaluated 0
	Accuracy    float64   // ratio right on the same
	Evaluated   int64     // how many those were
	Description string
}

// Champion says which version serves.
type Champion struct {
	Version  int64     // at least 1
	Previous int64     // champion before, 0 for none
	Reason   string    // for people
	At       time.Time // event time of the decision; millisecond resolution
}

type lineageJSON struct {
	V           int     `json:"v"`
	Parent      int64   `json:"parent"`
	CreatedAt   int64   `json:"createdAtMillis"`
	Examples    int64   `json:"examples"`
	Position    string  `json:"position,omitempty"`
	LossNats    float64 `json:"lossNats"`
	Accuracy    float64 `json:"accuracyRatio"`
	Evaluated   int64   `json:"evaluated"`
	Description string  `json:"description,omitempty"`
}

type championJSON struct {
	V        int    `json:"v"`
	Version  int64  `json:"champion"`
	Previous int64  `json:"previous"`
	Reason   string `json:"reason"`
	At       int64  `json:"atMillis"`
}

// validateName refuses names that cannot be keys: 1 to 128 of a-z, 0-9, '-', '_' and '.'.
func validateName(name string) error {
	if name == "" || len(name) > 128 {
		return fmt.Errorf("model name %q: give 1 to 128 characters", name)
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("model name %q: %q is not one of a-z, 0-9, '-', '_', '.'", name, c)
		}
	}
	return nil
}

// File returns the model file of a version: weights with their lineage. Equal arguments give equal bytes.
func File(w *model.Weights, l Lineage) []byte {
	j, err := json.Marshal(lineageJSON{V: schemaVersion, Parent: l.Parent, CreatedAt: l.CreatedAt.UnixMilli(), Examples: l.Examples,
		Position: l.Position, LossNats: l.LossNats, Accuracy: l.Accuracy, Evaluated: l.Evaluated, Description: l.Description})
	if err != nil {
		panic(err) // only NaN or an infinity can do this, which a loss of finite weights is not
	}
	return model.Encode(w, map[string]string{metaLineage: string(j)})
}

// VersionRecord returns the record that publishes a version's file.
func VersionRecord(topic, name string, version int64, file []byte) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: versionKey(name, version), Value: file}
}

// RetireRecord returns the tombstone of a version.
func RetireRecord(topic, name string, version int64) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: versionKey(name, version)}
}

// ChampionRecord returns the record that makes c serve.
func ChampionRecord(topic, name string, c Champion) *kgo.Record {
	value, err := json.Marshal(championJSON{V: schemaVersion, Version: c.Version, Previous: c.Previous, Reason: c.Reason,
		At: c.At.UnixMilli()})
	if err != nil {
		panic(err) // ints and strings always marshal
	}
	return &kgo.Record{Topic: topic, Key: []byte(name), Value: value}
}

func versionKey(name string, version int64) []byte {
	return append(append([]byte(name), '/'), strconv.FormatInt(version, 10)...)
}

// parseKey splits a key into the model's name and the version, 0 for a champion record.
func parseKey(key []byte) (name string, version int64, err error) {
	name, number, isVersion := strings.Cut(string(key), "/")
	if err := validateName(name); err != nil {
		return "", 0, err
	}
	if !isVersion {
		return name, 0, nil
	}
	version, err = strconv.ParseInt(number, 10, 64)
	if err != nil || version < 1 || strconv.FormatInt(version, 10) != number {
		return "", 0, fmt.Errorf("key %q: %q is not a version number from 1 on", key, number)
	}
	return name, version, nil
}

// ParseLineage reads the lineage out of a model file's metadata. A file without one gives the zero Lineage.
func ParseLineage(metadata map[string]string) (Lineage, error) {
	text, ok := metadata[metaLineage]
	if !ok {
		return Lineage{}, nil
	}
	var j lineageJSON
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return Lineage{}, fmt.Errorf("metadata %s: %w", metaLineage, err)
	}
	if j.V != schemaVersion {
		return Lineage{}, fmt.Errorf("metadata %s: v: %d; this program reads version %d", metaLineage, j.V, schemaVersion)
	}
	return Lineage{Parent: j.Parent, CreatedAt: time.UnixMilli(j.CreatedAt).UTC(), Examples: j.Examples, Position: j.Position,
		LossNats: j.LossNats, Accuracy: j.Accuracy, Evaluated: j.Evaluated, Description: j.Description}, nil
}

// parseChampion reads the value of a champion record.
func parseChampion(value []byte) (Champion, error) {
	var j championJSON
	if err := json.Unmarshal(value, &j); err != nil {
		return Champion{}, fmt.Errorf("champion record: %w", err)
	}
	if j.V != schemaVersion {
		return Champion{}, fmt.Errorf("champion record: v: %d; this program reads version %d", j.V, schemaVersion)
	}
	if j.Version < 1 {
		return Champion{}, fmt.Errorf("champion record: champion: %d is not a version from 1 on", j.Version)
	}
	return Champion{Version: j.Version, Previous: j.Previous, Reason: j.Reason, At: time.UnixMilli(j.At).UTC()}, nil
}
