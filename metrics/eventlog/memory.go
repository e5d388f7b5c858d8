package eventlog

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Memory is a log that keeps nothing: this process owns every shard, alone and for as long as it lives. It gives up what
// the log is for: a restart forgets the forecasters' state, and a second replica would decide on its own.
type Memory struct {
	cfg  Config
	sink func(Decision)
}

// NewMemory returns a Memory that hands every decision to sink once it is "written". sink is called from several
// goroutines.
func NewMemory(cfg Config, sink func(Decision)) (*Memory, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Memory{cfg: cfg, sink: sink}, nil
}

// Run serves all shards until ctx ends or a ShardFunc fails.
func (m *Memory) Run(ctx context.Context, serve ShardFunc) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	inner, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { end(ErrHandover) })()
	g, inner := errgroup.WithContext(inner)
	for n := range int32(m.cfg.Shards) {
		g.Go(func() error {
			return serve(inner, &Shard{Number: n, cfg: m.cfg, backend: m, last: map[string]position{}})
		})
	}
	return g.Wait()
}

func (m *Memory) durable() bool { return false }

func (m *Memory) recover(_ context.Context, s *Shard, _ Recovery) error {
	s.Term = 1
	return nil
}

func (m *Memory) write(_ context.Context, s *Shard, b *batch) (int64, error) {
	for _, d := range b.decisions {
		m.sink(d)
	}
	return s.end + int64(len(b.ticks)), nil
}
