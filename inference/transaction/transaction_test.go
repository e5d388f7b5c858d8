package transaction

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestPausesGrowUntilASessionHasLasted has ten sessions fail, of which the ninth lasted two minutes.
func TestPausesGrowUntilASessionHasLasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		broken := errors.New("broken")
		sessions := 0
		var pauses []time.Duration
		Keep(ctx, func(context.Context) error {
			sessions++
			switch sessions {
			case 9:
				time.Sleep(2 * time.Minute)
			case 11:
				cancel()
			}
			return broken
		}, func(err error, pause time.Duration) {
			if !errors.Is(err, broken) {
				t.Errorf("told %v", err)
			}
			pauses = append(pauses, pause)
		})
		want := []time.Duration{250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 250, 500}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if sessions != 11 || !slices.Equal(pauses, want) {
			t.Errorf("%d sessions, pauses %v; want 11, %v", sessions, pauses, want)
		}
	})
}

func TestATransactionOutlivesItsContextForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		for _, tt := range []struct{ ends, want time.Duration }{{0, 5 * time.Second}, {10 * time.Second, 15 * time.Second}, {28 * time.Second, 30 * time.Second}} {
			ctx, stop := context.WithTimeout(t.Context(), tt.ends)
			open, cancel := outlive(ctx, 30*time.Second, endGrace)
			<-open.Done()
			if got := time.Since(begin); got != tt.want {
				t.Errorf("a context that ends after %v: open for %v, want %v", tt.ends, got, tt.want)
			}
			cancel()
			stop()
			begin = time.Now()
		}
	})
}

// TestWhatIsProducedIsWaitedForUntilItsTimeEnds: a client keeps a record that a broker may have got for as long as none tells.
func TestWhatIsProducedIsWaitedForUntilItsTimeEnds(t *testing.T) {
	client, err := kgo.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	promise := kgo.AbortingFirstErrPromise(client)
	keep := promise.Promise()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := settled(over, promise); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v when its time had ended", err)
	}
	keep(&kgo.Record{}, nil)
	if err := settled(t.Context(), promise); err != nil {
		t.Errorf("got %v of what is written", err)
	}
}
