package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/history"
	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/scaler"
)

// historySource is where a user's past arrivals are: a file, a Prometheus server, a Kafka topic or a daemon's event log.
type historySource struct {
	file   string
	column string
	step   time.Duration
	// stepRow is the last row of a file that its step is found from; 0 means all of them.
	stepRow int

	prometheus, query string

	topic       string
	brokers     []string
	kafkaConfig string

	daemonConfig, name string

	start, end string
}

// bind adds the flags of all sources but the file, whose flag or argument is the command's own.
func (h *historySource) bind(flags *pflag.FlagSet) {
	flags.StringVar(&h.column, "column", "", "`NAME` of the value column (default: the one after the time)")
	flags.DurationVar(&h.step, "step", 0, "time between rows (default: that of most; from a server 1m)")
	flags.StringVar(&h.prometheus, "prometheus", "", "take the history from the Prometheus server at this `URL`")
	flags.StringVar(&h.query, "query", "", "what to ask it: `PROMQL` of the arrivals in records per second")
	flags.StringVar(&h.topic, "topic", "", "take it from the timestamps of this Kafka `TOPIC`'s records")
	flags.StringSliceVar(&h.brokers, "brokers", nil, "`HOST:PORT`,... of its cluster (default: localhost:9092)")
	flags.StringVar(&h.kafkaConfig, "kafka-config", "", "instead of --brokers a YAML `FILE` of brokers, tls and sasl")
	flags.StringVar(&h.daemonConfig, "from-kafka", "", "take it from the event log that this daemon's `FILE` names")
	flags.StringVar(&h.name, "name", "", "the policy in that event log, `NAMESPACE/NAME`")
	flags.StringVar(&h.start, "start", "", "where a server's begins: a `TIME`, or how long ago (default 336h)")
	flags.StringVar(&h.end, "end", "", "where it ends, likewise a `TIME` (default: now)")
}

// read reads the history, and says on stderr what was chosen where the user had not. What the user can mend is an InputError; a server
// that does not answer is none.
func (h *historySource) read(ctx context.Context, now time.Time, stderr io.Writer) (*history.Series, error) {
	if err := h.check(); err != nil {
		return nil, command.Input(err)
	}
	if h.file != "" {
		s, err := history.ReadFile(h.file, history.Options{Column: h.column, Step: h.step, StepRow: h.stepRow})
		if err == nil && s.Others > 0 {
			fmt.Fprintf(stderr, "prescale: %s: of %d columns %s is read; --column names another\n", s.Name, s.Others+1, s.Column)
		}
		return s, command.Input(err)
	}
	r, err := h.span(now)
	if err != nil {
		return nil, command.Input(err)
	}
	switch {
	case h.prometheus != "":
		return history.Prometheus(ctx, http.DefaultClient, h.prometheus, h.query, r)
	case h.topic != "":
		cluster, err := kafkaclient.Flags(h.brokers, h.kafkaConfig)
		if err != nil {
			return nil, command.Input(err)
		}
		client, err := kgo.NewClient(cluster.Options()...)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		if err := ping(ctx, client, cluster.Brokers); err != nil {
			return nil, fmt.Errorf("--topic: %w", err)
		}
		s, err := history.Topics(ctx, client, []string{h.topic}, r, r.To.Sub(r.From))
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil, command.Inputf("--topic: %q: the cluster has no such topic", h.topic)
		}
		return s, err
	default:
		return recordedArrivals(ctx, h.daemonConfig, h.name, r.From, r.To, h.step)
	}
}

// check says which flags are missing, or would be passed over.
func (h *historySource) check() error {
	sources := 0
	for _, source := range []string{h.file, h.prometheus, h.topic, h.daemonConfig} {
		if source != "" {
			sources++
		}
	}
	switch {
	case h.step < 0:
		return fmt.Errorf("--step: %v is negative", h.step)
	case sources > 1:
		return errors.New("a file, --prometheus, --topic and --from-kafka: want one of them")
	case h.column != "" && h.file == "":
		return errors.New("--column: goes with a file")
	case h.query != "" && h.prometheus == "":
		return errors.New("--query: goes with --prometheus, the server's address")
	case h.name != "" && h.daemonConfig == "":
		return errors.New("--name: goes with --from-kafka")
	case len(h.brokers) > 0 && h.topic == "" || h.kafkaConfig != "" && h.topic == "":
		return errors.New("--brokers and --kafka-config: go with --topic")
	case h.file != "" && (h.start != "" || h.end != ""):
		return errors.New("--start and --end: go with a server's history; a file is read whole")
	case sources == 0:
		return errors.New("no history: name a CSV file, --prometheus and --query, --topic, or --from-kafka and --name")
	case h.prometheus != "" && !isURL(h.prometheus):
		return fmt.Errorf("--prometheus: %q: want a URL such as http://prometheus:9090", h.prometheus)
	case h.prometheus != "" && h.query == "":
		return errors.New("--query: is missing: want PromQL of the arrivals in records per second")
	case h.daemonConfig != "" && h.name == "":
		return errors.New("--name: is missing: want the policy as namespace/name")
	case h.daemonConfig != "" && !isPolicyName(h.name):
		return fmt.Errorf("--name: %q: want the policy as namespace/name", h.name)
	}
	return nil
}

// isURL reports whether text is the address of an HTTP server.
func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// defaultSpan is how far back a server is asked where nothing is said: two weeks show a weekly season twice.
const defaultSpan = "336h"

func (h *historySource) span(now time.Time) (history.Range, error) {
	r := history.Range{Step: h.step, To: now}
	if r.Step == 0 {
		r.Step = time.Minute
	}
	var err error
	if h.end != "" {
		if r.To, err = history.ParseMoment(h.end, now); err != nil {
			return r, fmt.Errorf("--end: %w", err)
		}
	}
	start := h.start
	if start == "" {
		start = defaultSpan
	}
	if r.From, err = history.ParseMoment(start, now); err != nil {
		return r, fmt.Errorf("--start: %w", err)
	}
	if h.daemonConfig == "" { // which has ticks of its own, and all of them are wanted
		r.From, r.To = r.From.Truncate(r.Step), r.To.Truncate(r.Step)
	}
	return r, r.Validate()
}

// arrivals is a user's past arrivals: counts[i] records, NaN where missing, in the step that begins at begin + i×step seconds.
type arrivals struct {
	name   string
	begin  float64
	step   float64
	counts []float64
}

// newArrivals takes over what was read.
func newArrivals(s *history.Series) (*arrivals, error) {
	counts, err := s.Filled()
	if err != nil {
		return nil, err
	}
	return &arrivals{name: s.Name, begin: float64(s.Times[0].UnixNano()) / 1e9, step: s.Step.Seconds(), counts: counts}, nil
}

// readArrivals reads a CSV file of past arrivals.
func readArrivals(path string) (*arrivals, error) {
	s, err := history.ReadFile(path, history.Options{StepRemedy: history.Resample})
	if err != nil {
		return nil, err
	}
	return newArrivals(s)
}

// rates returns the arrivals in records per second, step by step, NaN where missing.
func (h *arrivals) rates() []float64 {
	rates := make([]float64, len(h.counts))
	for i, x := range h.counts {
		rates[i] = x / h.step
	}
	return rates
}

// warm steps a through the history in ticks of `interval` seconds that end no later than `until`. A history that reaches
// beyond is shifted back to end there, by as many seconds as it returns.
func (h *arrivals) warm(a *scaler.Autoscaler, interval, until float64) (shifted float64) {
	end := h.begin + float64(len(h.counts))*h.step
	shift := 0.0
	if end > until {
		shift = until - end
		end = until
	}
	ticks := int(math.Floor((end - h.begin - shift) / interval))
	rates := h.rates()
	for i := ticks - 1; i >= 0; i-- {
		to := end - float64(i)*interval
		a.Warm(epoch(to), history.MeanRate(rates, h.step, to-interval-h.begin-shift, to-h.begin-shift))
	}
	return -shift
}
