package trace

import (
	"context"
	"time"
)

// maxSleep bounds how long Play waits at once, so that arrivals that fall due together go out together: at most this much
// late, and never early.
const maxSleep = 5 * time.Millisecond

// Play calls due for every arrival of the trace, in order, as it falls due on the clock: arrival i at clock.Start() + its offset.
// It never runs ahead; a caller that blocks makes it late, and it then catches up without dropping any. It returns nil
// after the last arrival, or the error of due or of the context.
func Play(ctx context.Context, clock Clock, t *Trace, due func(i int, at time.Time, a Arrival) error) error {
	for i, a := range t.Arrivals {
		at := clock.Start().Add(a.Offset)
		if wait := time.Until(clock.Wall(at)); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(max(wait, maxSleep)):
			}
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := due(i, at, a); err != nil {
			return err
		}
	}
	return nil
}
