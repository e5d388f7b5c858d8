package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/prescale/prescale/cmd/internal/hpacheck"
	"github.com/prescale/prescale/cmd/internal/pipeline"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/series"
	"github.com/prescale/prescale/scaler/v1alpha1"
)

// The reasons of the Ready condition.
const (
	reasonDeciding = "Deciding"
	reasonStale    = "Stale"
	reasonNotReady = "NotReady"
	reasonRefused  = "Refused"
)

// The reasons of the HPA condition; where something is wrong it is the code of the first finding.
const reasonFollowing = "Following"

// facts is what a status is made of.
type facts struct {
	policy   *v1alpha1.ScalePolicy
	refused  *refusal
	answer   readmodel.Status
	pods     Count
	pools    []PoolCount
	podsOK   bool
	findings []hpacheck.Finding
	sizing   sizing
	sizingOK bool
}

// newStatus returns the policy's status as of now. Conditions keep their transition times from the present one.
func newStatus(f facts, now time.Time) v1alpha1.ScalePolicyStatus {
	s := v1alpha1.ScalePolicyStatus{ObservedGeneration: f.policy.Generation}
	s.Conditions = slices.Clone(f.policy.Status.Conditions)
	setTo := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: cut(message, mostMessage),
			ObservedGeneration: f.policy.Generation, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
		})
	}
	set := func(kind string, ok bool, reason, message string) {
		status := metav1.ConditionFalse
		if ok {
			status = metav1.ConditionTrue
		}
		setTo(kind, status, reason, message)
	}
	if f.refused != nil {
		set(v1alpha1.ConditionAccepted, false, f.refused.reason, f.refused.message)
		set(v1alpha1.ConditionReady, false, reasonRefused, "the policy is not run: see the condition Accepted")
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionHPA)
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionVertical)
		if sized(f.policy) {
			s.Vertical = sizesOf(f)
		}
		return s
	}
	set(v1alpha1.ConditionAccepted, true, reasonAccepted, "the policy is valid and nobody else claims its target")

	var stale *readmodel.StaleError
	switch {
	case f.answer.Err == nil && f.answer.Has:
		message := "the metrics are fresh"
		if f.pods.Refused != "" {
			message += "; " + f.pods.Refused
		}
		set(v1alpha1.ConditionReady, true, reasonDeciding, message)
	case errors.As(f.answer.Err, &stale):
		set(v1alpha1.ConditionReady, false, reasonStale, f.answer.Err.Error())
	default:
		message := "no sample yet"
		if f.answer.Err != nil {
			message = f.answer.Err.Error()
		}
		set(v1alpha1.ConditionReady, false, reasonNotReady, message)
	}
	if len(f.findings) == 0 {
		set(v1alpha1.ConditionHPA, true, reasonFollowing, "an HPA reads the policy and will do what it says")
	} else {
		var lines []string
		for _, finding := range f.findings {
			lines = append(lines, finding.String())
		}
		set(v1alpha1.ConditionHPA, f.findings[0].Severity != hpacheck.Broken, string(f.findings[0].Code), strings.Join(lines, "\n"))
	}
	if f.policy.Spec.History == nil {
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionHistory)
	} else if f.answer.Err == nil && f.answer.Has { // else it stays as it was
		status, reason, message := historyOf(f.answer.Entry)
		setTo(v1alpha1.ConditionHistory, status, reason, message)
	}
	if f.podsOK && f.pods.Pending > 0 {
		s.PendingReplicas = pointer(int32(f.pods.Pending))
	}
	s.Pools = poolStatuses(f)
	if sized(f.policy) {
		sizingStatus(&s, f, set)
	} else {
		meta.RemoveStatusCondition(&s.Conditions, v1alpha1.ConditionVertical)
	}
	// An old number without its error beside it would be believed, so a stale policy shows none.
	if f.answer.Err == nil && f.answer.Has {
		decisionStatus(&s, f.answer.Entry)
	}
	return s
}

// The API server refuses conditions with longer messages and events with longer notes.
const mostMessage, mostNote = 32 << 10, 1 << 10

// cut shortens a text to at most so many bytes, at the end of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-3], "") + "..."
}

// The reasons of the History condition.
const (
	reasonImported    = "Imported"
	reasonNotImported = "NotImported"
	reasonWithout     = "DecidingWithout"
)

// historyOf says what has become of the history that the policy names.
func historyOf(e readmodel.Entry) (status metav1.ConditionStatus, reason, message string) {
	if n := e.Decision.HistorySamples; n > 0 {
		return metav1.ConditionTrue, reasonImported, fmt.Sprintf("the forecaster began with %d samples of it", n)
	}
	for _, p := range e.Observation.Problems {
		if strings.HasPrefix(p, pipeline.HistoryProblem) {
			return metav1.ConditionFalse, reasonNotImported, p
		}
	}
	return metav1.ConditionUnknown, reasonWithout,
		"the history is being read, or was passed over because the policy had seen a day itself, or more than it holds: " +
			"decisions do without it"
}

// poolStatuses returns what is known of each pool of the policy: its pods, and its share where the decision is fresh.
func poolStatuses(f facts) []v1alpha1.PoolStatus {
	var statuses []v1alpha1.PoolStatus
	for _, pool := range f.policy.Spec.Pools {
		s := v1alpha1.PoolStatus{Name: pool.Name}
		for _, c := range f.pools {
			if c.Name == pool.Name {
				s.ReadyReplicas = pointer(int32(c.Ready))
				if c.Pending > 0 {
					s.PendingReplicas = pointer(int32(c.Pending))
				}
			}
		}
		if f.answer.Err == nil && f.answer.Has {
			for _, d := range f.answer.Entry.Decision.Pools {
				if d.Name == pool.Name {
					s.DesiredReplicas = pointer(int32(d.DesiredReplicas))
				}
			}
		}
		statuses = append(statuses, s)
	}
	return statuses
}

func decisionStatus(s *v1alpha1.ScalePolicyStatus, e readmodel.Entry) {
	d := e.Decision
	s.DesiredReplicas = pointer(int32(d.DesiredReplicas))
	if n, ok := d.CurrentReplicas.Get(); ok {
		s.CurrentReplicas = pointer(int32(n))
	}
	s.Reason = string(d.Reason)
	if len(d.Terms) > 0 {
		s.Message = d.Terms[d.Binding()].Detail
	}
	for _, v := range d.Verdicts {
		s.Verdicts = append(s.Verdicts, string(v))
	}
	slices.Sort(s.Verdicts)
	s.VerdictSummary = strings.Join(s.Verdicts, ",")
	if n, ok := e.Observation.LagRecords.Get(); ok {
		s.LagRecords = pointer(int64(n))
	}
	if n, ok := e.Observation.Partitions.Get(); ok {
		s.Partitions = pointer(int32(n))
	}
	s.LagSeconds = rounded(e.Observation.LagSeconds)
	s.ArrivalRecordsPerSecond = rounded(e.Observation.ArrivalRate())
	s.CapacityRecordsPerSecond = rounded(d.CapacityPerReplica)
	s.LeadTimeSeconds = rounded(d.LeadTimeSeconds)
	for _, q := range d.ArrivalForecast {
		if q.Level == d.Level {
			if value := rounded(series.Of(q.Value)); value != nil {
				s.Forecast = &v1alpha1.ForecastStatus{RecordsPerSecond: *value, Level: q.Level, HorizonSteps: int32(d.HorizonSteps)}
			}
		}
	}
	s.DecidedAt = &metav1.Time{Time: d.At}
}

// rounded keeps three significant digits, or nil for a missing value: a status is for reading, and noise in the last digit
// would be a write.
func rounded(v series.Value) *float64 {
	x, ok := v.Get()
	if !ok {
		return nil
	}
	// By way of text, for there is no power of ten that the smallest numbers could be divided by.
	x, err := strconv.ParseFloat(strconv.FormatFloat(x, 'e', 2, 64), 64)
	if err != nil {
		return nil // The largest numbers may round beyond what there is.
	}
	return &x
}

func pointer[T any](v T) *T { return &v }

// urgency says how soon a changed status should be written.
type urgency int

const (
	unchanged urgency = iota
	// numbers have changed: they are refreshed at leisure.
	numbers
	// news: another decision, condition, verdict or generation.
	news
)

// compare says how much the new status differs from the old.
func compare(old, new v1alpha1.ScalePolicyStatus) urgency {
	if !equality.Semantic.DeepEqual(headline(old), headline(new)) {
		return news
	}
	if !equality.Semantic.DeepEqual(old, new) {
		return numbers
	}
	return unchanged
}

// headline is what is left of a status without its numbers.
func headline(s v1alpha1.ScalePolicyStatus) v1alpha1.ScalePolicyStatus {
	h := v1alpha1.ScalePolicyStatus{
		ObservedGeneration: s.ObservedGeneration, DesiredReplicas: s.DesiredReplicas, Reason: s.Reason,
		VerdictSummary: s.VerdictSummary, PendingReplicas: s.PendingReplicas,
	}
	for _, p := range s.Pools {
		p.ReadyReplicas = nil // a number: it follows
		h.Pools = append(h.Pools, p)
	}
	for _, c := range s.Conditions {
		// A message may count seconds; its reason is the news.
		h.Conditions = append(h.Conditions, metav1.Condition{Type: c.Type, Status: c.Status, Reason: c.Reason})
	}
	return h
}

// statusPatch returns the merge patch that turns the old status into the new: what is absent now is set to null.
func statusPatch(old, new v1alpha1.ScalePolicyStatus) ([]byte, error) {
	from, err := asMap(old)
	if err != nil {
		return nil, err
	}
	to, err := asMap(new)
	if err != nil {
		return nil, err
	}
	for key := range from {
		if _, ok := to[key]; !ok {
			to[key] = nil
		}
	}
	return json.Marshal(map[string]any{"status": to})
}

func asMap(s v1alpha1.ScalePolicyStatus) (map[string]any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	return m, nil
}
