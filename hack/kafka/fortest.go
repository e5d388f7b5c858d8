package kafka

import (
	"context"
	"errors"
	"os"
	"testing"
)

// ForTest starts a cluster for a test and stops it when the test ends. Where java or mvn is missing it skips the test, or
// fails it when the environment says CI=true. A failing test gets the ends of the brokers' logs.
func ForTest(t testing.TB, options Options) *Cluster {
	t.Helper()
	c, err := Start(context.Background(), options)
	var missing *MissingError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		t.Skipf("needs Kafka: %v", err)
	}
	if err != nil {
		t.Fatalf("start kafka: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, b := range c.brokers {
				t.Logf("broker %d:\n%s", b.node, b.logTail())
			}
		}
		c.Stop()
	})
	return c
}
