package main

import (
	"strings"
	"testing"

	"github.com/prescale/prescale/metrics/eventlog"
)

// A log that another version wrote, as before an upgrade, is not one that has lost something.
func TestWhatIsWrongWithALog(t *testing.T) {
	for _, tt := range []struct {
		report eventlog.Report
		want   string // empty: nothing
	}{
		{eventlog.Report{Derived: 9}, ""},
		{eventlog.Report{Derived: 9, DerivedOtherwise: 2, ViolationCount: 2}, "nothing is lost or written twice, but 2 of 9 decisions"},
		{eventlog.Report{Derived: 9, DerivedOtherwise: 2, ViolationCount: 3}, "the log is broken: 3 violations"},
		{eventlog.Report{ViolationCount: 1}, "the log is broken: 1 violation"},
	} {
		err := broken(&tt.report)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %q", tt.report, err, tt.want)
		}
	}
}
