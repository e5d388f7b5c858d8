package registry

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Read reads the registry as it is now: the champion, nil for none, and the greatest version whose file is held, 0 for none. A champion
// that is named but cannot be had is an error: whoever finds none may put another in its place.
func Read(ctx context.Context, c Config, logger *slog.Logger, opts ...kgo.Opt) (champion *Entry, last int64, err error) {
	f, err := NewFollower(c, logger, Events{}, opts...)
	if err != nil {
		return nil, 0, err
	}
	client, err := f.client()
	if err != nil {
		return nil, 0, err
	}
	defer client.Close()
	behind, err := f.ends(ctx, client)
	if err != nil {
		return nil, 0, fmt.Errorf("registry: end of %s: %w", c.Topic, err)
	}
	for len(behind) > 0 {
		f.tick(ctx, client, behind)
		if ctx.Err() != nil {
			return nil, 0, fmt.Errorf("registry: read %s: %w", c.Topic, ctx.Err())
		}
	}
	if versions := f.Versions(); len(versions) > 0 {
		last = slices.Max(versions)
	}
	champion = f.Champion()
	if champion == nil {
		if err := f.store.wantedError(); err != nil {
			return nil, 0, fmt.Errorf(
				"registry: topic %s names a champion that cannot be had: mend it, or give the model another name: %w", c.Topic, err)
		}
	}
	return champion, last, nil
}
