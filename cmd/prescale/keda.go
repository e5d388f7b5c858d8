package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prescale/prescale/cmd/internal/config"
	"github.com/prescale/prescale/cmd/internal/readmodel"
	"github.com/prescale/prescale/metrics/externalscaler"
)

// openExternalScaler makes KEDA's server; nil when it is switched off.
func openExternalScaler(c config.ExternalScaler, store *readmodel.Store, logger *slog.Logger) (*externalscaler.Server, error) {
	cfg, on := c.Server()
	if !on {
		return nil, nil
	}
	server, err := externalscaler.New(cfg, wanted{store}, logger)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", unlessListening(err, "externalScaler.listen", "start KEDA's external scaler"), err)
	}
	return server, nil
}

// wanted is the external scaler's source over the store.
type wanted struct{ store *readmodel.Store }

// Desired implements externalscaler.Source.
func (w wanted) Desired(namespace, policy, pool string) (float64, error) {
	entry, err := w.store.Get(namespace + "/" + policy)
	if errors.Is(err, readmodel.ErrUnknown) {
		return 0, externalscaler.ErrUnknownPolicy
	}
	if err != nil {
		return 0, err
	}
	pools := entry.Decision.Pools
	if len(pools) == 0 && pool == "" {
		return float64(entry.Decision.DesiredReplicas), nil
	}
	names := make([]string, len(pools))
	for i, p := range pools {
		if p.Name == pool {
			return float64(p.DesiredReplicas), nil
		}
		names[i] = p.Name
	}
	return 0, fmt.Errorf("%w %q of policy %s, whose pools are [%s]: set metadata.pool in the trigger of the ScaledObject",
		externalscaler.ErrUnknownPool, pool, policy, strings.Join(names, ", "))
}
