package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Report is what Check found.
type Report struct {
	// Policies, Ticks, TakeOvers and Derived count what was looked at; Derived are the decisions that were made again from
	// the observations before them, and DerivedOtherwise those of them that were not the same, which are violations too.
	Policies         int `json:"policies"`
	Ticks            int `json:"ticks"`
	TakeOvers        int `json:"takeOvers"`
	Derived          int `json:"derived"`
	DerivedOtherwise int `json:"derivedOtherwise"`
	// Writers counts the ticks that each process wrote.
	Writers map[string]int `json:"writers"`
	// SetBacks counts the ticks whose time is before that of the one before: the owner's clock was set back, or another's was ahead.
	SetBacks int `json:"setBacks"`
	// LongestGap is the longest time between two ticks of one policy, and GapPolicy whose.
	LongestGap time.Duration `json:"longestGapNanos"`
	GapPolicy  string        `json:"gapPolicy"`
	// Violations says in words what is wrong, at most maxViolations of them, of ViolationCount.
	Violations     []string `json:"violations"`
	ViolationCount int      `json:"violationCount"`
}

// maxViolations bounds a Report.
const maxViolations = 50

func (r *Report) violate(format string, args ...any) {
	r.ViolationCount++
	if len(r.Violations) < maxViolations {
		r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
	}
}

// Deriver makes decisions again. It returns in words how the recorded one differs, empty when it does not; ok is false
// where it cannot tell.
type Deriver interface {
	Derive(e *Event) (difference string, ok bool)
}

// Check reads the whole log and proves that it is one line: in each shard the terms never fall and each has one writer; the
// ticks of each policy are numbered without gap or repetition, and no two that follow one another have the same time; each tick has
// its one decision, by the same writer in the same term; and each decision is what deriver makes of the observations before it (nil leaves
// that out). Decisions that stand before the first observation of their shard have outlived theirs, as they should.
// Violations are in the Report; the error is of reading.
func Check(ctx context.Context, client *kgo.Client, cfg Config, deriver Deriver) (*Report, error) {
	r := &Report{Writers: map[string]int{}}
	for shard := range int32(cfg.Shards) {
		c := shardCheck{report: r, shard: shard, last: map[string]Stamp{}, writers: map[uint64]string{}, deriver: deriver}
		for e, err := range History(ctx, client, cfg, shard, "") {
			if err != nil {
				return r, err
			}
			c.take(&e)
		}
		r.Policies += len(c.last)
		r.TakeOvers += len(c.writers)
	}
	return r, nil
}

type shardCheck struct {
	report  *Report
	shard   int32
	term    uint64
	writers map[uint64]string
	last    map[string]Stamp
	deriver Deriver
}

func (c *shardCheck) take(e *Event) {
	s := *e.Stamp()
	where := fmt.Sprintf("shard %d: policy %s tick %d", c.shard, s.Policy, s.Seq)
	if e.Tick.Seq == 0 {
		if len(c.writers) == 0 {
			return
		}
		c.report.violate("%s: a decision without an observation, by %s in term %d", where, s.Writer, s.Term)
		return
	}
	c.report.Ticks++
	c.report.Writers[s.Writer]++
	if s.Term < c.term {
		c.report.violate("%s: term %d (%s) after term %d (%s)", where, s.Term, s.Writer, c.term, c.writers[c.term])
	}
	c.term = max(c.term, s.Term)
	if writer, ok := c.writers[s.Term]; !ok {
		c.writers[s.Term] = s.Writer
	} else if writer != s.Writer {
		c.report.violate("%s: term %d has two writers, %s and %s", where, s.Term, writer, s.Writer)
	}
	if last, known := c.last[s.Policy]; known {
		if s.Seq != last.Seq+1 {
			c.report.violate("%s: follows tick %d", where, last.Seq)
		}
		switch s.At.Compare(last.At) {
		case 0:
			c.report.violate("%s: at %v, as the one before", where, s.At)
		case -1:
			c.report.SetBacks++
		}
		if gap := s.At.Sub(last.At); gap > c.report.LongestGap {
			c.report.LongestGap, c.report.GapPolicy = gap, s.Policy
		}
	}
	c.last[s.Policy] = s
	switch {
	case e.Decision.Seq == 0:
		c.report.violate("%s: an observation without a decision", where)
		return
	case e.Decision.Stamp != s:
		c.report.violate("%s: the decision's stamp %+v differs from the observation's %+v", where, e.Decision.Stamp, s)
	}
	if c.deriver == nil {
		return
	}
	if difference, ok := c.deriver.Derive(e); ok {
		c.report.Derived++
		if difference != "" {
			c.report.DerivedOtherwise++
			c.report.violate("%s: the decision does not follow from the observations: %s", where, difference)
		}
	}
}
