package eventlog

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/prescale/prescale/metrics/series"
)

// DecodeTick reads a record of the topic of observations with the given key. Unknown fields are ignored; a record of a
// later version is a *NewerError. The result does not refer to b.
func DecodeTick(key, b []byte) (Tick, error) {
	t := Tick{Stamp: Stamp{Policy: string(key)}}
	err := decodeRecord(b, &t.Stamp, func(f field) error {
		switch f.number {
		case 2:
			return decodeObservation(f, &t.Observation)
		case 3:
			return f.bytesTo(&t.Anchor)
		case 4:
			return f.bytesTo(&t.Seed)
		case 5:
			return f.bytesTo(&t.Configuration)
		}
		return nil
	})
	fillObservation(&t.Observation, &t.Stamp)
	return t, wrapDecode("observation", key, err)
}

// DecodeDecision reads a record of the topic of decisions, as DecodeTick does.
func DecodeDecision(key, b []byte) (Decision, error) {
	d := Decision{Stamp: Stamp{Policy: string(key)}}
	err := decodeRecord(b, &d.Stamp, func(f field) error {
		switch f.number {
		case 2:
			return decodeObservation(f, &d.Observation)
		case 3:
			var x uint64
			err := f.varintTo(&x)
			d.DesiredReplicas = int(protowire.DecodeZigZag(x))
			return err
		case 4:
			return f.stringTo(&d.Reason)
		case 5:
			return f.bytesTo(&d.Payload)
		}
		return nil
	})
	fillObservation(&d.Observation, &d.Stamp)
	return d, wrapDecode("decision", key, err)
}

// DecodeCheckpoint reads a record of the topic of checkpoints, as DecodeTick does.
func DecodeCheckpoint(key, b []byte) (Checkpoint, error) {
	c := Checkpoint{Stamp: Stamp{Policy: string(key)}}
	err := decodeRecord(b, &c.Stamp, func(f field) error {
		switch f.number {
		case 2:
			var x uint64
			err := f.varintTo(&x)
			c.ReplayFrom = int64(x)
			return err
		case 3:
			return f.bytesTo(&c.State)
		case 4:
			return decodeCounted(f, &c.Counted)
		}
		return nil
	})
	fillCounted(&c.Counted, c.At)
	return c, wrapDecode("checkpoint", key, err)
}

func wrapDecode(what string, key []byte, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("decode the %s of policy %q: %w", what, key, err)
}

// fillObservation sets what the wire form leaves out because the stamp has it.
func fillObservation(o *series.Observation, s *Stamp) {
	o.Policy = s.Policy
	if o.At.IsZero() {
		o.At = s.At
	}
	fillCounted(&o.Counted, s.At)
}

func fillCounted(c *series.Counted, tick time.Time) {
	if c.Known() && c.At.IsZero() {
		c.At = tick
	}
}

// decodeRecord reads a message whose field 1 is the stamp and hands the other fields to visit.
func decodeRecord(b []byte, s *Stamp, visit func(field) error) error {
	stamped := false
	s.At = time.Unix(0, 0).UTC() // What an absent time means; every field that is 0 is absent.
	err := decodeFields(b, func(f field) error {
		if f.number != 1 {
			return visit(f)
		}
		stamped = true
		return decodeStamp(f, s)
	})
	switch {
	case err != nil:
		return err
	case !stamped:
		return errNoStamp
	case s.Seq == 0:
		return errNoSeq
	}
	return nil
}

func decodeStamp(f field, s *Stamp) error {
	return f.message(func(f field) error {
		switch f.number {
		case 1:
			var version uint64
			if err := f.varintTo(&version); err != nil {
				return err
			}
			if version > Version {
				return &NewerError{version}
			}
		case 2:
			return f.varintTo(&s.Seq)
		case 3:
			return f.timeTo(&s.At)
		case 4:
			return f.varintTo(&s.Origin)
		case 5:
			return f.fixed64To(&s.Spec)
		case 6:
			return f.varintTo(&s.Term)
		case 7:
			return f.stringTo(&s.Writer)
		}
		return nil
	})
}

func decodeObservation(f field, o *series.Observation) error {
	values := valueFields(o)
	return f.message(func(f field) error {
		if i := int(f.number) - firstValueField; i >= 0 && i < len(values) {
			return f.valueTo(values[i])
		}
		switch f.number {
		case 1:
			return f.timeTo(&o.At)
		case 2:
			var x uint64
			err := f.varintTo(&x)
			o.Interval = time.Duration(x)
			return err
		case 14:
			return f.doublesTo(&o.StartupSeconds)
		case 15:
			return f.doublesTo(&o.ProvisionedStartupSeconds)
		case 16:
			var x uint64
			err := f.varintTo(&x)
			o.Rebalancing = x != 0
			return err
		case 17:
			return decodeValues(f, &o.PartitionLagRecords)
		case 18:
			return decodeValues(f, &o.PartitionArrivalRecords)
		case 19:
			o.Pools = append(o.Pools, series.PoolObservation{})
			return decodePool(f, &o.Pools[len(o.Pools)-1])
		case 20:
			o.Problems = append(o.Problems, "")
			return f.stringTo(&o.Problems[len(o.Problems)-1])
		case 21:
			return f.valueTo(&o.UnschedulableReplicas)
		case 22:
			return decodeCounted(f, &o.Counted)
		case 23:
			return f.valueTo(&o.ReplicaCPUCores)
		}
		return nil
	})
}

func decodeCounted(f field, c *series.Counted) error {
	return f.message(func(f field) error {
		switch f.number {
		case 1:
			return f.fixed64To(&c.Topics)
		case 2:
			var x uint64
			err := f.varintTo(&x)
			c.EndRecords = int64(x)
			return err
		case 3:
			return f.timeTo(&c.At)
		}
		return nil
	})
}

func decodePool(f field, p *series.PoolObservation) error {
	return f.message(func(f field) error {
		switch f.number {
		case 1:
			return f.stringTo(&p.Name)
		case 2:
			return f.valueTo(&p.ReadyReplicas)
		case 3:
			return f.valueTo(&p.StartingReplicas)
		case 4:
			return f.valueTo(&p.ConsumedRecords)
		case 5:
			return f.valueTo(&p.BusyRatio)
		case 6:
			return f.doublesTo(&p.StartupSeconds)
		case 7:
			return f.valueTo(&p.UnschedulableReplicas)
		}
		return nil
	})
}

func decodeValues(f field, values *[]series.Value) error {
	*values = []series.Value{}
	return f.message(func(f field) error {
		switch f.number {
		case 1:
			return f.countsTo(values)
		case 2:
			var numbers []float64
			if err := f.doublesTo(&numbers); err != nil {
				return err
			}
			for _, x := range numbers {
				*values = append(*values, series.Of(x)) // NaN gives Missing.
			}
		}
		return nil
	})
}
