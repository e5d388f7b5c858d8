package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/prescale/prescale/cmd/internal/command"
	"github.com/prescale/prescale/cmd/internal/kafkaclient"
	"github.com/prescale/prescale/cmd/internal/trace"
	"github.com/prescale/prescale/metrics/collector/kafka"
)

// defaultValue is what a record holds unless --value says otherwise.
const defaultValue = `{"id":"{id}","sentAtMillis":{millis},"contextTokens":{contextTokens},"generatedTokens":{generatedTokens}}`

const (
	// reachWithin is how long the first answer of the cluster may take.
	reachWithin = 10 * time.Second
	// flushWithin is how long the last records may take once the trace is over, or Ctrl-C was pressed.
	flushWithin = 10 * time.Second
	// progressEvery is how often progress is shown.
	progressEvery = time.Second
)

// loadOptions is what the flags of `prescale load` say.
type loadOptions struct {
	brokers  []string
	config   string
	cluster  string
	topic    string
	trace    string
	speed    float64
	duration time.Duration
	value    string
	output   string
}

func newLoadCommand() *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Replay recorded traffic into a Kafka topic, at its own pace or faster",
		Long: `Replay recorded traffic into a Kafka topic: one record for each request of the trace, at the moment
at which it came, --speed times as fast. The key is the request's number from 0 on.

--trace is a CSV file, gzip or not, with the column t_s (seconds since the start) and either one
request a row or binned counts in the column requests; or ` + trace.AzureName + `, which is
bundled (58 minutes of a chat service, CC-BY 4.0).

In --value, {id} stands for the request's number, {millis} for the time in Unix milliseconds,
{contextTokens} and {generatedTokens} for the request's sizes. By default it is a JSON object of
them: id, sentAtMillis, contextTokens, generatedTokens.`,
		Example: `  prescale load --brokers localhost:9092 --topic requests
  prescale load --brokers localhost:9092 --topic requests --speed 20 --duration 3m
  prescale load --config prescale.yaml --topic inference.requests --trace week.csv \
    --value '{"v":1,"id":"{id}","requestedAtMillis":{millis},"features":[0.1,0.2,0.3,0.4]}'`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.brokers, "brokers", nil, "`HOST:PORT` of a cluster without authentication, a comma between several")
	flags.StringVar(&o.config, "config", "", "configuration `FILE` of a daemon, of whose clusters --cluster is used")
	flags.StringVar(&o.cluster, "cluster", "", "`NAME` of the cluster in --config (default: main)")
	flags.StringVar(&o.topic, "topic", "", "`TOPIC` to write to; it must exist")
	flags.StringVar(&o.trace, "trace", trace.AzureName, "CSV `FILE`, or the bundled trace")
	flags.Float64Var(&o.speed, "speed", 1, "seconds of the trace that pass in one second")
	flags.DurationVar(&o.duration, "duration", 0, "how long to run (default: to the end of the trace)")
	flags.StringVar(&o.value, "value", defaultValue, "`TEXT` of each record (default: JSON, see above)")
	flags.Lookup("value").DefValue = ""
	flags.StringVarP(&o.output, "output", "o", "text", "text or json: one object at the end")
	return cmd
}

// loaded is what was done, as -o json prints it.
type loaded struct {
	Topic string `json:"topic"`
	Trace string `json:"trace"`
	// Sent records were acknowledged, Failed ones were not, and Left ones were not sent because the run was ended early.
	Sent    int64   `json:"sent"`
	Failed  int64   `json:"failed"`
	Left    int64   `json:"left"`
	Seconds float64 `json:"seconds"`
	// LatestSeconds is the most that a record was handed over after its moment: above a few hundredths, this machine or the
	// cluster could not keep up.
	LatestSeconds float64 `json:"latestSeconds"`
}

func (o *loadOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	cluster, played, err := o.validate()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(cluster.Options(), kgo.ClientID("prescale-load"), kgo.RecordDeliveryTimeout(time.Minute))...)
	if err != nil {
		return fmt.Errorf("make the client: %w", err)
	}
	defer client.Close()
	if err := o.reach(ctx, client, cluster); err != nil {
		return err
	}
	result, err := o.play(ctx, client, played, stderr)
	if err != nil {
		return err
	}
	if o.output == "json" {
		return json.NewEncoder(stdout).Encode(result)
	}
	fmt.Fprintf(stdout, "sent %d records of %s to %s in %.1f s; failed %d, not sent %d; at most %.3f s late\n",
		result.Sent, result.Trace, result.Topic, result.Seconds, result.Failed, result.Left, result.LatestSeconds)
	return nil
}

// validate reports every problem of the flags and reads what they name.
func (o *loadOptions) validate() (kafkaclient.Config, *trace.Trace, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.topic != "", "--topic: is missing: want the topic to write to")
	check(o.speed > 0, "--speed: %v: want more than 0", o.speed)
	check(o.cluster == "" || o.config != "", "--cluster: goes with --config")
	check(o.duration >= 0, "--duration: %v: want 0 (the whole trace) or more", o.duration)
	check(o.output == "text" || o.output == "json", "--output: %q: want text or json", o.output)
	cluster := kafkaclient.Config{Brokers: o.brokers}
	switch {
	case (len(o.brokers) > 0) == (o.config != ""):
		errs = append(errs, errors.New("--brokers, --config: want one of them"))
	case o.config != "":
		cfg, err := loadConfig(o.config)
		if err != nil {
			errs = append(errs, err)
			break
		}
		var ok bool
		name := cmp.Or(o.cluster, "main")
		cluster, ok = cfg.Clusters[name]
		check(ok, "--cluster: %q: --config names no such cluster", name)
	default:
		if err := cluster.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("--%w", err))
		}
	}
	played, err := trace.Open(o.trace)
	if err != nil {
		errs = append(errs, fmt.Errorf("--trace: %w", err))
	} else if o.duration > 0 && o.speed > 0 {
		played = played.Until(time.Duration(float64(o.duration) * o.speed))
	}
	return cluster, played, command.Input(errors.Join(errs...))
}

// reach asks the cluster for the topic, so that a wrong address or name is told at once.
func (o *loadOptions) reach(ctx context.Context, client *kgo.Client, cluster kafkaclient.Config) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	if err := ping(ctx, client, cluster.Brokers); err != nil {
		return err
	}
	topics, err := kadm.NewClient(client).ListTopics(ctx, o.topic)
	if err != nil {
		return fmt.Errorf("look up topic %s: %w", o.topic, err)
	}
	switch err := topics[o.topic].Err; {
	case err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("look up topic %s: %w", o.topic, err)
	case err != nil || !topics.Has(o.topic):
		return command.Inputf("--topic: %q: the cluster has no such topic; create it first", o.topic)
	}
	return nil
}

// ping says why no broker answers within reachWithin, and what can be done about it.
func ping(ctx context.Context, client *kgo.Client, brokers []string) error {
	within, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	var answer error
	err := command.Interruptible(within, func() { answer = client.Ping(within) }) // it outlasts its context where a connection stays mute
	if err == nil {
		err = answer
	}
	var late net.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &late) && late.Timeout():
		err = fmt.Errorf("%w within %v", kafka.ErrNoAnswer, reachWithin)
	}
	return fmt.Errorf("reach %s: %w%s", strings.Join(brokers, ", "), err, kafka.Remedy(err))
}

// play sends the trace and shows progress. Ctrl-C is no error: what was sent is told.
func (o *loadOptions) play(ctx context.Context, client *kgo.Client, played *trace.Trace, stderr io.Writer) (loaded, error) {
	var sent, failed atomic.Int64
	var firstErr atomic.Pointer[error]
	begin := time.Now()
	clock := trace.NewClock(begin, time.Unix(0, 0), o.speed)
	total, handed := len(played.Arrivals), 0
	var latest time.Duration
	shown := begin
	// What has been handed over is delivered, also when the run is ended.
	deliver := context.WithoutCancel(ctx)
	err := trace.Play(ctx, clock, played, func(i int, at time.Time, a trace.Arrival) error {
		now := time.Now()
		latest = max(latest, now.Sub(clock.Wall(at)))
		id := strconv.Itoa(i)
		client.Produce(deliver, &kgo.Record{Topic: o.topic, Key: []byte(id), Value: []byte(o.fill(id, now, a))},
			func(_ *kgo.Record, err error) {
				if err == nil {
					sent.Add(1)
					return
				}
				failed.Add(1)
				firstErr.CompareAndSwap(nil, &err)
			})
		handed++
		if now.Sub(shown) >= progressEvery {
			shown = now
			fmt.Fprintf(stderr, "%3.0f %%  %d of %d records, %.0f/s\n", 100*float64(handed)/float64(total), handed, total,
				float64(handed)/now.Sub(begin).Seconds())
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return loaded{}, err
	}
	flush, cancel := context.WithTimeout(deliver, flushWithin)
	defer cancel()
	flushErr := client.Flush(flush)
	result := loaded{
		Topic: o.topic, Trace: played.Name, Sent: sent.Load(), Failed: failed.Load(), Left: int64(total - handed),
		Seconds: time.Since(begin).Seconds(), LatestSeconds: latest.Seconds(),
	}
	if flushErr != nil {
		return result, fmt.Errorf("wait for the last records: %w", flushErr)
	}
	if cause := firstErr.Load(); cause != nil {
		return result, fmt.Errorf("%d of %d records were not accepted, the first because: %w", result.Failed, total, *cause)
	}
	return result, nil
}

// fill returns the value of one record.
func (o *loadOptions) fill(id string, now time.Time, a trace.Arrival) string {
	return strings.NewReplacer(
		"{id}", id, "{millis}", strconv.FormatInt(now.UnixMilli(), 10),
		"{contextTokens}", strconv.Itoa(a.ContextTokens), "{generatedTokens}", strconv.Itoa(a.GeneratedTokens),
	).Replace(o.value)
}
