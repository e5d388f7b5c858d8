package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ask sends one request, to one broker where node says which, and waits for the answer as long as Config allows.
func (c *Collector) ask(ctx context.Context, node int32, request kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.RequestTimeout,
		fmt.Errorf("%w within %v", ErrNoAnswer, c.config.RequestTimeout))
	defer cancel()
	c.telemetry.request(request.Key())
	var response kmsg.Response
	var err error
	if node == anyNode {
		response, err = c.askAny(ctx, request)
	} else {
		response, err = c.client.Broker(int(node)).Request(ctx, request)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		c.telemetry.failed(errorKind(err))
		return nil, err
	}
	c.telemetry.transferred(request, response)
	return response, nil
}

// askAny asks whichever broker the client likes, and says why none answers. It gives up when ctx ends. The client itself does
// not where a listener takes its connection and says nothing; that request ends by kgo.RequestTimeoutOverhead, unheard.
func (c *Collector) askAny(ctx context.Context, request kmsg.Request) (kmsg.Response, error) {
	type answer struct {
		response kmsg.Response
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		response, err := c.client.Request(ctx, request)
		answered <- answer{response, err}
	}()
	soon, cancel := context.WithTimeout(ctx, c.config.RequestTimeout/2)
	defer cancel()
	select {
	case a := <-answered:
		return a.response, a.err
	case <-soon.Done():
	}
	reasons := make(chan error, 1)
	go func() { reasons <- c.seedProblems(ctx) }()
	select {
	case a := <-answered:
		if ctx.Err() == nil || !errors.Is(a.err, context.DeadlineExceeded) {
			return a.response, a.err
		}
	case <-ctx.Done():
	}
	if reason := <-reasons; reason != nil {
		return nil, fmt.Errorf("%w: %w", context.Cause(ctx), reason)
	}
	return nil, fmt.Errorf("%w from %v", context.Cause(ctx), c.client.OptValue(kgo.SeedBrokers))
}

func (c *Collector) clusterError(act string, err error) error {
	name := c.config.Cluster
	if c.config.Security != "" {
		name += " (" + c.config.Security + ")"
	}
	return fmt.Errorf("cluster %s: %s: %w%s", name, act, err, Remedy(err))
}

// retriable reports whether a code means that we asked the wrong broker or too early.
func retriable(code int16) bool {
	e := kerr.TypedErrorForCode(code)
	return e != nil && e.Retriable
}

// errorKind sorts errors into a bounded set of names for metrics.
func errorKind(err error) string {
	var broker *kerr.Error
	switch {
	case errors.As(err, &broker):
		return broker.Message
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, ErrNoAnswer), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "connection"
	}
}
