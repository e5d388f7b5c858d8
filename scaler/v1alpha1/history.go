package v1alpha1

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// History says where a new policy's past arrivals are, so that its forecaster need not learn them by waiting. It is read once,
// when the policy is new, and is then part of what the event log holds.
//
// +kubebuilder:validation:XValidation:rule="(has(self.topic) && self.topic ? 1 : 0) + (has(self.prometheus) ? 1 : 0) + (has(self.file) ? 1 : 0) == 1",message="want one of topic, prometheus and file"
type History struct {
	// Topic takes the timestamps of the records that are still in kafka.topics. No record is read.
	// +optional
	Topic bool `json:"topic,omitempty"`
	// Prometheus asks a server of the daemon's configuration.
	// +optional
	Prometheus *HistoryQuery `json:"prometheus,omitempty"`
	// File is a CSV file of the daemon's: only in policies of the daemon's own configuration, since the daemon would read any file
	// for whoever may write a policy.
	// +optional
	File *HistoryFile `json:"file,omitempty"`
	// Span is how far back it is looked. Default 336h: two weeks show a week twice.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('8784h')",message="want more than 0 and at most 8784h, such as 336h"
	// +kubebuilder:default="336h"
	// +optional
	Span metav1.Duration `json:"span,omitzero"`
}

// HistoryQuery is a range query.
type HistoryQuery struct {
	// Server is a name under prometheus in the daemon's configuration. Default main.
	// +kubebuilder:default=main
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Server string `json:"server,omitempty"`
	// Query is PromQL of one series: what arrives per second, in records or in the policy's unit of work.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Query string `json:"query"`
}

// HistoryFile is a CSV file with a time, with its date, and a value a row: what arrived in the step that begins at the time.
type HistoryFile struct {
	// Path is relative to the configuration file. One that ends in .gz is unpacked.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Path string `json:"path"`
	// Column names the value column. Default the first that is not the time.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Column string `json:"column,omitempty"`
}

// The bounds of History.Span.
const (
	defaultHistorySpan = 14 * 24 * time.Hour
	maxHistorySpan     = 366 * 24 * time.Hour
)

// Reach returns how far back is looked, the default filled in.
func (h *History) Reach() time.Duration {
	if h.Span.Duration == 0 {
		return defaultHistorySpan
	}
	return h.Span.Duration
}

// validate joins every problem, each with its key path below spec.
func (h *History) validate(k *KafkaSource) error {
	if h == nil {
		return nil
	}
	var errs []error
	given := 0
	if h.Topic {
		given++
		if len(k.Topics) == 0 {
			errs = append(errs, errors.New("history.topic: true: want kafka.topics too, to say which"))
		}
	}
	if h.Prometheus != nil {
		given++
		if h.Prometheus.Query == "" {
			errs = append(errs, errors.New("history.prometheus.query: missing: want PromQL of what arrives per second"))
		}
	}
	if h.File != nil {
		given++
		if h.File.Path == "" {
			errs = append(errs, errors.New("history.file.path: missing: want a CSV file with a time and a value a row"))
		}
	}
	if given != 1 {
		errs = append(errs, fmt.Errorf("history: %d sources: want one of topic, prometheus and file", given))
	}
	if s := h.Span.Duration; s < 0 || s > maxHistorySpan {
		errs = append(errs, fmt.Errorf("history.span: %v: want more than 0 and at most 8784h, such as 336h", s))
	}
	return errors.Join(errs...)
}
