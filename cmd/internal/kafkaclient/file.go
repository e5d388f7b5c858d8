package kafkaclient

import (
	"errors"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// Flags returns the cluster that a pair of flags names: --brokers alone, a --kafka-config file, or, with neither (brokers is nil),
// localhost:9092. The result is valid.
func Flags(brokers []string, file string) (Config, error) {
	switch {
	case len(brokers) > 0 && file != "":
		return Config{}, errors.New("--brokers and --kafka-config: give one of them")
	case file != "":
		return load(file)
	case brokers == nil:
		brokers = []string{"localhost:9092"}
	}
	c := Config{Brokers: brokers}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("--%w", err)
	}
	return c, nil
}

// load reads a YAML file of one Config. Unknown keys are errors.
func load(file string) (Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("--kafka-config: %w", err)
	}
	var c Config
	if err := yaml.UnmarshalStrict(b, &c); err != nil {
		return Config{}, fmt.Errorf("--kafka-config %s: %w", file, err)
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("--kafka-config %s: %w", file, err)
	}
	return c, nil
}
