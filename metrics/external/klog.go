package external

import (
	"context"
	"log/slog"

	"k8s.io/klog/v2"
)

// BridgeKlog sends what the Kubernetes libraries log to the logger, once for the whole process: a main calls it before
// anything else. Their information lines tell of internals (certificate controllers, listeners) and arrive at Debug.
func BridgeKlog(logger *slog.Logger) {
	klog.SetSlogLogger(slog.New(demote{logger.Handler()}))
}

// demote is a handler that turns Info into Debug.
type demote struct{ slog.Handler }

func (d demote) Enabled(ctx context.Context, level slog.Level) bool {
	if level < slog.LevelWarn {
		level = min(level, slog.LevelDebug)
	}
	return d.Handler.Enabled(ctx, level)
}

func (d demote) Handle(ctx context.Context, record slog.Record) error {
	if record.Level < slog.LevelWarn {
		record.Level = min(record.Level, slog.LevelDebug)
	}
	return d.Handler.Handle(ctx, record)
}

func (d demote) WithAttrs(attrs []slog.Attr) slog.Handler { return demote{d.Handler.WithAttrs(attrs)} }
func (d demote) WithGroup(name string) slog.Handler       { return demote{d.Handler.WithGroup(name)} }
