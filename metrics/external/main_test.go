package external_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/prescale/prescale/metrics/external"
)

func TestMain(m *testing.M) {
	external.BridgeKlog(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})))
	os.Exit(m.Run())
}
