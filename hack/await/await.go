// Package await lets tests wait for what other goroutines or processes do. It is for what gives no signal of its own: a channel, or
// synctest.Wait, is better where there is one.
package await

import (
	"testing"
	"time"
)

// Until asks ok again and again until it is true, and fails the test when it has not been within the limit. ok runs in the caller's
// goroutine, so it may fail the test itself.
func Until(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", limit, what)
		}
	}
}
