// Package openloop is how the benchmarks of servers ask: on a schedule that does not wait for answers, as many clients do that know
// nothing of each other. Bench is all of it.
package openloop

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// Bench asks `rate` times a second for `span`, in each of the benchmark's rounds, and reports quantiles of the latency: from the
// moment at which a query was due to its answer, so that a stall counts for every query behind it. ask is called concurrently, with
// numbers that go up by seven; its first error ends the benchmark. Run it with -benchtime=1x.
func Bench(b *testing.B, rate int, span time.Duration, ask func(i int) error) {
	b.Helper()
	for range b.N {
		latencies := make([]time.Duration, int(span.Seconds()*float64(rate)))
		errs := make([]error, len(latencies))
		begin := time.Now()
		var asked sync.WaitGroup
		for i := range latencies {
			due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
			time.Sleep(time.Until(due))
			asked.Go(func() {
				errs[i] = ask(i * 7)
				latencies[i] = time.Since(due)
			})
		}
		asked.Wait()
		for _, err := range errs {
			if err != nil {
				b.Fatal(err)
			}
		}
		slices.Sort(latencies)
		at := func(q float64) float64 {
			return float64(latencies[int(q*float64(len(latencies)-1))]) / float64(time.Millisecond)
		}
		b.ReportMetric(at(0.5), "p50-ms")
		b.ReportMetric(at(0.99), "p99-ms")
		b.ReportMetric(at(1), "max-ms")
	}
	b.ReportMetric(0, "ns/op")
}
