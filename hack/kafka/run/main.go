// Command run starts a Kafka cluster for trying things by hand, prints its bootstrap addresses and stops it on Ctrl-C:
//
//	go run ./hack/kafka/run -brokers 3
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prescale/prescale/hack/kafka"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run() error {
	brokers := flag.Int("brokers", 1, "how many brokers")
	host := flag.String("host", "",
		"this machine's address that they listen on (empty: 127.0.0.1; hack/cluster up prints the one that pods reach)")
	heap := flag.Int("heap", 0, "each broker's heap in MiB (0: 256, or 384 for several)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	cluster, err := kafka.Start(ctx, kafka.Options{Host: *host, Brokers: *brokers, HeapMiB: *heap})
	if err != nil {
		return err
	}
	defer cluster.Stop()
	fmt.Fprintf(os.Stderr, "kafka: ready after %.1f s; Ctrl-C stops it and deletes its data\n", time.Since(began).Seconds())
	fmt.Println(strings.Join(cluster.Bootstrap(), ","))
	<-ctx.Done()
	return nil
}
