package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prescale/prescale/metrics/collector/kafka"
	"github.com/prescale/prescale/metrics/series"
)

// print writes the report, of which complete says that no group is missing.
func (o *lagOptions) print(out io.Writer, report []kafka.GroupLag, complete bool) error {
	if o.output == "json" {
		list := append([]kafka.GroupLag{}, report...) // [] where there is none
		if o.watch {
			return json.NewEncoder(out).Encode(list)
		}
		return writeJSON(out, list)
	}
	if o.watch {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	}
	if len(report) == 0 && !complete {
		_, err := fmt.Fprintln(out, "no groups are known")
		return err
	}
	return lagTable(out, report)
}

// lagTable prints one line for each group and topic, those furthest behind first and an event log's owners last, and below it the
// reasons for what is not known.
func lagTable(out io.Writer, report []kafka.GroupLag) error {
	if len(report) == 0 {
		_, err := fmt.Fprintln(out, "no groups")
		return err
	}
	slices.SortStableFunc(report, func(a, b kafka.GroupLag) int {
		if a, b := ofOwners(&a), ofOwners(&b); a != b {
			if a {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.LagSeconds.Or(math.Inf(1)), a.LagSeconds.Or(math.Inf(1))),
			cmp.Compare(b.LagRecords.Or(math.Inf(1)), a.LagRecords.Or(math.Inf(1))))
	})
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	// The cluster is told only where there are several.
	several := slices.ContainsFunc(report, func(g kafka.GroupLag) bool { return g.Cluster != report[0].Cluster })
	if several {
		fmt.Fprint(table, "CLUSTER\t")
	}
	fmt.Fprintln(table, "GROUP\tTYPE\tSTATE\tMEMBERS\tTOPIC\tPARTITIONS\tLAG\tBEHIND\tARRIVING/S\tCONSUMED/S\tVERDICT\t")
	var notes []string
	for _, g := range report {
		if several {
			fmt.Fprintf(table, "%s\t", g.Cluster)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", g.Group, g.Type, g.State, number(g.Members, "%.0f"),
			cmp.Or(g.Topic, "-"), len(g.Partitions), number(g.LagRecords, "%.0f"), behind(g.LagSeconds, g.LagSecondsError),
			number(g.ArrivalRecordsPerSecond, "%.1f"), number(g.ConsumedRecordsPerSecond, "%.1f"), verdict(&g))
		if ofOwners(&g) {
			continue
		}
		if g.Reason != "" {
			notes = append(notes, fmt.Sprintf("%s %s: %s", g.Group, g.Topic, g.Reason))
		}
		if note := standsOut(g.Partitions); note != "" {
			notes = append(notes, fmt.Sprintf("%s %s: %s", g.Group, g.Topic, note))
		}
		states := map[kafka.State]int{}
		for _, p := range g.Partitions {
			states[p.State]++
		}
		for _, s := range []kafka.State{kafka.StateNeverCommitted, kafka.StateExpired, kafka.StateTruncated, kafka.StateResidue} {
			if states[s] > 0 {
				notes = append(notes, fmt.Sprintf("%s %s: %d of %d partitions %s", g.Group, g.Topic, states[s], len(g.Partitions), s))
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(out, "  "+note)
	}
	return nil
}

// standsOut says which partition is much further behind than the others, from where on and whose it is; empty where none is.
func standsOut(partitions []kafka.PartitionLag) string {
	var waits []float64
	var worst kafka.PartitionLag
	for _, p := range partitions {
		seconds, ok := p.LagSeconds.Get()
		if !ok {
			continue
		}
		if waits = append(waits, seconds); seconds > worst.LagSeconds.Or(-1) {
			worst = p
		}
	}
	if len(waits) < 2 {
		return ""
	}
	slices.Sort(waits)
	median, most := waits[(len(waits)-1)/2], worst.LagSeconds.Or(0)
	if most < standsOutSeconds || most < standsOutTimes*median {
		return ""
	}
	return fmt.Sprintf("partition %d is %s behind, half of them at most %s: it waits from offset %s on, for %s", worst.Partition,
		behind(worst.LagSeconds, worst.LagSecondsError),
		spoken(median), number(worst.Committed, "%.0f"), cmp.Or(worst.Owner, "nobody"))
}

// ofOwners reports whether the group is that by which daemons share the shards of an event log. It reads nothing, so its lag says nothing.
func ofOwners(g *kafka.GroupLag) bool {
	prefix, ok := strings.CutSuffix(g.Group, ".owners")
	return ok && g.Topic == prefix+".observations"
}

func number(v series.Value, format string) string {
	x, ok := v.Get()
	if !ok {
		return "?"
	}
	return fmt.Sprintf(format, x)
}

// behind writes how far behind as people say it, with the bound of its error where that would change what one makes of it: a
// second and more, and over a quarter.
func behind(v, bound series.Value) string {
	seconds, ok := v.Get()
	if !ok {
		return "?"
	}
	text := spoken(seconds)
	if off, ok := bound.Get(); ok && off >= 1 && off > seconds/4 {
		text += "±" + spoken(off)
	}
	return text
}

// spoken writes seconds as people say them.
func spoken(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.1fs", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// verdict says in a few words where a group is heading, at the rates of the last interval.
func verdict(g *kafka.GroupLag) string {
	lag, known := g.LagRecords.Get()
	arrival, arrivalKnown := g.ArrivalRecordsPerSecond.Get()
	consumed, consumedKnown := g.ConsumedRecordsPerSecond.Get()
	switch {
	case ofOwners(g):
		return "prescale serve, never commits"
	case !known:
		return "unknown"
	case lag == 0 && arrivalKnown && arrival == 0:
		return "idle"
	case lag == 0:
		return "caught up"
	case !arrivalKnown || !consumedKnown:
		return "unknown"
	case consumed == 0 && g.Members == series.Of(0):
		return "nobody consumes"
	case consumed == 0:
		return "not committing"
	case lag <= arrival*2: // what is on its way, whichever of the two rates was the higher by chance
		return "keeping up"
	case consumed > arrival:
		left := time.Duration(lag / (consumed - arrival) * float64(time.Second))
		return "caught up in " + left.Round(time.Second).String()
	default:
		return "falling behind"
	}
}
