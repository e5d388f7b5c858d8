// Command cluster runs a real Kubernetes on this machine, without Docker:
//
//	go run ./hack/cluster up      start it and print how to reach it
//	go run ./hack/cluster down    stop it and delete everything of it
//	go run ./hack/cluster build   build its programs, which up does as well where they are not there
//
// As root (on Debian) it has a node that runs real pods; otherwise only a control plane and nodes that kwok plays. See the
// package hack/cluster/rig.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/prescale/prescale/hack/cluster/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

const usage = `usage: cluster [-name NAME] [-gpu-nodes N] [-control-plane-only] up|down|build|import TAR...`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, usage)
		flags.PrintDefaults()
	}
	o := rig.Options{Detached: true, Log: stderr}
	flags.StringVar(&o.Name, "name", "try", "tells clusters on one machine apart")
	flags.IntVar(&o.GPUNodes, "gpu-nodes", 2, "nodes of eight GPUs that kwok plays; -1 for none")
	flags.BoolVar(&o.ControlPlaneOnly, "control-plane-only", false, "no real node, even as root")
	if err := flags.Parse(args); err != nil {
		return err
	}
	verb := flags.Arg(0)
	// Flags may follow the verb as well.
	if err := flags.Parse(flags.Args()[min(1, flags.NArg()):]); err != nil {
		return err
	}
	if verb != "import" && flags.NArg() > 0 {
		return fmt.Errorf("%s takes no %q", verb, flags.Arg(0))
	}
	switch verb {
	case "up":
		c, err := rig.Up(ctx, o)
		if err != nil {
			return err
		}
		if c.RealNode {
			fmt.Fprintf(stderr, "cluster: nothing is pulled: hack/images.sh makes our images, "+
				"go run ./hack/cluster -name %s import TAR... loads some\n", c.Name)
			fmt.Fprintf(stderr,
				"cluster: pods reach this machine at %[1]s, so go run ./hack/kafka/run -host %[1]s starts a broker for them\n", c.HostIP)
		}
		fmt.Fprintf(stderr, "cluster: it stays until go run ./hack/cluster -name %s down\n", c.Name)
		fmt.Fprintf(stdout, "export KUBECONFIG=%s PATH=$PATH:%s\n", c.Kubeconfig, filepath.Dir(c.KubectlPath()))
		return nil
	case "down":
		c, err := rig.Find(o.Name)
		if err != nil {
			return err
		}
		return c.Down()
	case "build":
		return rig.Build(ctx, stderr)
	case "import":
		c, err := rig.Find(o.Name)
		if err != nil {
			return err
		}
		for _, tarball := range flags.Args() {
			path, err := filepath.Abs(tarball)
			if err != nil {
				return err
			}
			if err := c.Import(ctx, path); err != nil {
				return err
			}
		}
		return nil
	}
	flags.Usage()
	return fmt.Errorf("say up, down, build or import")
}
