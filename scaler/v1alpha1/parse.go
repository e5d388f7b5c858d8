package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/prescale/prescale/forecaster"
	"github.com/prescale/prescale/scaler"
)

// The group, version and kind of a ScalePolicy.
const (
	APIVersion = "prescale.dev/v1alpha1"
	Kind       = "ScalePolicy"
)

// Parse reads one ScalePolicy from YAML or JSON: the whole object, or its spec alone. Unknown keys and wrong types are
// errors, all of them reported, each with its key path. It does not validate; ScalerConfig does.
func Parse(data []byte) (*ScalePolicy, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("the policy is empty: want a ScalePolicy or its spec")
	}
	asJSON, err := toJSON(data)
	if err != nil {
		return nil, err
	}
	var keys map[string]any
	if err := json.Unmarshal(asJSON, &keys); err != nil || keys == nil {
		return nil, errors.New("it has no keys: want a ScalePolicy or its spec, in YAML or JSON")
	}
	if _, ok := keys["clusters"]; ok {
		return nil, errors.New("it has clusters, as the daemon's configuration has: want a ScalePolicy or its spec, " +
			"such as one of its policies in a file of its own")
	}
	var p ScalePolicy
	whole := false
	for _, key := range []string{"apiVersion", "kind", "metadata", "spec"} {
		if _, ok := keys[key]; ok {
			whole = true
		}
	}
	if !whole {
		p.APIVersion, p.Kind = APIVersion, Kind
		if err := Decode(data, &p.Spec); err != nil {
			return nil, err
		}
		return &p, nil
	}
	// Of another object every key would be an unknown one.
	if version, ok := keys["apiVersion"].(string); ok && version != "" && version != APIVersion {
		return nil, fmt.Errorf("apiVersion: %q: want %q", version, APIVersion)
	}
	if kind, ok := keys["kind"].(string); ok && kind != "" && kind != Kind {
		return nil, fmt.Errorf("kind: %q: want %q", kind, Kind)
	}
	if err := Decode(data, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

// PolicyName returns "namespace/name", with "default" for a namespace that is not given.
func (p *ScalePolicy) PolicyName() string {
	namespace := p.Namespace
	if namespace == "" {
		namespace = "default"
	}
	return namespace + "/" + p.ObjectMeta.Name
}

// ScalerConfig returns what the scaler needs to know of p, with the defaults filled in. The error joins every problem, each
// with its key path below spec.
func (p *ScalePolicy) ScalerConfig() (scaler.Config, error) {
	s := &p.Spec
	c := scaler.DefaultConfig()
	c.Policy = p.PolicyName()
	if s.Interval != nil {
		c.Interval = s.Interval.Duration
	}
	if s.LeadTime.Initial != nil {
		c.InitialLeadTime = s.LeadTime.Initial.Duration
	}
	c.ObjectiveLag = seconds(s.Objective.LagSeconds)
	if s.Objective.ViolationRatio != nil {
		c.ViolationRatio = *s.Objective.ViolationRatio
	}
	c.ObjectiveLatency = seconds(s.Objective.LatencySeconds)
	if s.Replicas.Min != nil {
		c.MinReplicas = int(*s.Replicas.Min)
	}
	c.MaxReplicas = int(s.Replicas.Max)
	c.Observe, c.Paused = s.Mode == Observe, s.Paused
	c.Work = s.Sources.Work()
	c.Pools, c.Schedules = s.pools(), s.schedules()
	if s.Budget != nil {
		c.BudgetReplicaHoursPerDay = max(s.Budget.ReplicaHoursPerDay, 0)
	}
	c.Sizes = s.Vertical == VerticalRecommend || s.Vertical == VerticalInPlace
	err := errors.Join(s.validate(), forecaster.ValidateSeasons(p.Seasons(), c.Interval), forecaster.ValidateEvents(p.Events()),
		c.Validate())
	if err != nil {
		return scaler.Config{}, err
	}
	return c, nil
}

// pools leaves out a speed that validate refuses: 0 means 1 to the scaler.
func (s *ScalePolicySpec) pools() []scaler.Pool {
	var pools []scaler.Pool
	for _, pool := range s.Pools {
		one := scaler.Pool{Name: pool.Name, MaxReplicas: int(pool.Max), Price: 1}
		if pool.Price != nil {
			one.Price = *pool.Price
		}
		if pool.Speed != nil && withinReason(*pool.Speed) {
			one.Speed = *pool.Speed
		}
		pools = append(pools, one)
	}
	return pools
}

func (s *ScalePolicySpec) schedules() []scaler.Schedule {
	var schedules []scaler.Schedule
	for _, schedule := range s.Schedules {
		schedules = append(schedules, scaler.Schedule{
			Span:        forecaster.Span{Start: schedule.Start, Duration: schedule.Duration.Duration, TimeZone: schedule.TimeZone},
			MinReplicas: int(schedule.MinReplicas),
		})
	}
	return schedules
}

// validate reports what the scaler and the forecaster do not look at.
func (s *ScalePolicySpec) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if i := s.Interval; i != nil {
		check(i.Duration <= 0 || i.Duration >= time.Second, "interval: %v: want 1s or more: brokers are asked that often", i.Duration)
		check(i.Duration <= longestInterval, "interval: %v: want at most %v, such as 15s", i.Duration, longestInterval)
	}
	check(s.Replicas.Max <= mostReplicas, "replicas.max: %d: want at most %d", s.Replicas.Max, mostReplicas)
	check(s.Mode == "" || s.Mode == Active || s.Mode == Observe, "mode: %q: want Active or Observe", s.Mode)
	for i, pool := range s.Pools {
		if speed := pool.Speed; speed != nil {
			check(withinReason(*speed), "pools[%d].speed: %v: want %g to %g, such as 10, or leave it out", i, *speed, minSpeed, maxSpeed)
		}
		check(pool.Name == "" || len(validation.IsValidLabelValue(pool.Name)) == 0,
			"pools[%d].name: %q: want the value of a label, such as gpu: at most 63 letters, digits, ., _ and -", i, pool.Name)
		errs = append(errs, pool.ScaleTargetRef.validate(fmt.Sprintf("pools[%d].scaleTargetRef", i)))
	}
	if b := s.Budget; b != nil {
		check(b.ReplicaHoursPerDay > 0, "budget.replicaHoursPerDay: %v: want more than 0, or leave budget out", b.ReplicaHoursPerDay)
	}
	check(s.Vertical == "" || s.Vertical == VerticalNone || s.Vertical == VerticalRecommend || s.Vertical == VerticalInPlace,
		"vertical: %q: want None, Recommend or InPlace", s.Vertical)
	if m := s.VerticalMax; m != nil {
		check(m.CPU == nil || m.CPU.Sign() > 0, "verticalMax.cpu: %s: want more than 0, such as 2", m.CPU)
		check(m.Memory == nil || m.Memory.Sign() > 0, "verticalMax.memory: %s: want more than 0, such as 2Gi", m.Memory)
	}
	for i, topic := range s.Kafka.Topics {
		check(namesTopic(topic), "kafka.topics[%d]: %q: %s", i, topic, topicWanted)
	}
	return errors.Join(append(errs, s.ScaleTargetRef.validate("scaleTargetRef"), s.Sources.validate(), s.History.validate(&s.Kafka))...)
}

// The speeds of pools that are within reason. With smaller ones the count that a load needs is more than a number holds.
const (
	minSpeed = 0.001
	maxSpeed = 1000.0
)

func withinReason(speed float64) bool { return speed >= minSpeed && speed <= maxSpeed }

// What a tick does for each replica or each moment of an interval takes no time within these bounds.
const (
	longestInterval = time.Hour
	mostReplicas    = 1_000_000
)

// topicName matches what Kafka allows (org.apache.kafka.common.internals.Topic).
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

const topicWanted = "want a topic's name, neither . nor ..: 1 to 249 letters, digits, ., _ and -"

func namesTopic(name string) bool { return topicName.MatchString(name) && name != "." && name != ".." }

func (r *TargetRef) validate(at string) error {
	var errs []error
	if r != nil && r.Kind == "" {
		errs = append(errs, fmt.Errorf("%s.kind: missing: want one that can be scaled, such as Deployment", at))
	}
	if r != nil && r.Name == "" {
		errs = append(errs, fmt.Errorf("%s.name: missing: name what the HPA scales", at))
	}
	return errors.Join(errs...)
}

// Seasons returns the season lengths that the policy states, for the forecaster.
func (p *ScalePolicy) Seasons() []time.Duration {
	var seasons []time.Duration
	for _, s := range p.Spec.Season {
		seasons = append(seasons, s.Duration)
	}
	return seasons
}

// Events returns the known events that the policy states, for the forecaster.
func (p *ScalePolicy) Events() []forecaster.Event {
	var events []forecaster.Event
	for _, e := range p.Spec.Events {
		event := forecaster.Event{
			Name: e.Name, Span: forecaster.Span{Start: e.Start, Duration: e.Duration.Duration, TimeZone: e.TimeZone}, Factor: 1,
			Learn: e.Learn || e.Factor == nil,
		}
		if e.Factor != nil {
			event.Factor = *e.Factor
		}
		events = append(events, event)
	}
	return events
}

// maxSeconds keeps a promise within what a time.Duration can hold.
const maxSeconds = 1e9

// seconds is x as a duration. What is promised does not become 0, which is no promise.
func seconds(x float64) time.Duration {
	if !(x < maxSeconds) {
		x = maxSeconds
	}
	d := time.Duration(x * float64(time.Second))
	if d == 0 && x > 0 {
		d = 1
	}
	return d
}
