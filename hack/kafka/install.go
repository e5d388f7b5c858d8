package kafka

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/prescale/prescale/hack/cache"
)

// pom names Kafka's version and what it needs to run.
//
//go:embed pom.xml
var pom []byte

// layoutVersion is part of the cache key: bump it when what prepare leaves behind changes.
const layoutVersion = "2"

// dependencyPlugin is pinned so that two machines fetch with the same code.
const dependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

// installation is a prepared directory in the cache.
type installation struct {
	java      string
	classpath string
	archive   string
	bootstrap string
}

// MissingError says which program is not installed.
type MissingError struct{ Program, Install string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: %s", e.Program, e.Install)
}

// install returns the prepared installation, fetching and preparing it first where the cache has none.
func install(ctx context.Context, log io.Writer) (*installation, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, &MissingError{"java", "apt-get install openjdk-17-jre-headless (any JDK from 17 on will do)"}
	}
	version, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run java -version: %w: %s", err, version)
	}
	sum := sha256.Sum256(slices.Concat(pom, version, []byte(layoutVersion), []byte(strings.Join(jvmFlags, " "))))
	dir, unlock, err := cache.Lock("kafka", sum[:])
	if err != nil {
		return nil, err
	}
	defer unlock()

	in := &installation{
		java:      java,
		archive:   filepath.Join(dir, "kafka.jsa"),
		bootstrap: filepath.Join(dir, "bootstrap.checkpoint"),
	}
	libs := filepath.Join(dir, "libs")
	if _, err := os.Stat(libs); err != nil {
		if err := fetch(ctx, dir, libs, log); err != nil {
			return nil, err
		}
	}
	jars, err := filepath.Glob(filepath.Join(libs, "*.jar"))
	if err != nil || len(jars) == 0 {
		return nil, fmt.Errorf("no jars in %s: delete that directory and try again", libs)
	}
	slices.Sort(jars)
	in.classpath = strings.Join(jars, string(os.PathListSeparator))
	if _, err := os.Stat(in.archive); err != nil {
		if err := in.prepare(ctx, dir, log); err != nil {
			return nil, fmt.Errorf("prepare kafka: %w", err)
		}
	}
	return in, nil
}

// fetch has Maven copy the jars to libs. They appear there all at once or not at all.
func fetch(ctx context.Context, dir, libs string, log io.Writer) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return &MissingError{"mvn", "apt-get install maven (needed once, to fetch Kafka's jars)"}
	}
	fmt.Fprintf(log, "kafka: fetching Apache Kafka's jars from Maven Central (45 MB, once) into %s\n", dir)
	pomFile := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(pomFile, pom, 0o644); err != nil {
		return fmt.Errorf("write the pom: %w", err)
	}
	partial := libs + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("clear %s: %w", partial, err)
	}
	out, err := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pomFile, dependencyPlugin+":copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+partial).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fetch kafka's jars with mvn: %w: %s", err, out)
	}
	return os.Rename(partial, libs)
}

// prepare formats a storage directory with Kafka's own tool, keeps the bootstrap checkpoint that it writes (it holds the
// feature levels and is the same for every cluster of this version), then runs a broker once to record the classes that
// it loads.
func (in *installation) prepare(ctx context.Context, dir string, log io.Writer) error {
	fmt.Fprintf(log, "kafka: recording a class archive so that brokers start fast (once, some seconds)\n")
	work, err := os.MkdirTemp("", "prescale-kafka-prepare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	c := &Cluster{id: clusterID(), dir: work, install: in, options: Options{Brokers: 1, Host: "127.0.0.1"}}
	if err := c.assignPorts(); err != nil {
		return err
	}
	b := c.brokers[0]
	if err := b.writeConfig(c); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, in.java, "-cp", in.classpath, "kafka.tools.StorageTool", "format",
		"--cluster-id", c.id, "--config", b.configFile()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format storage: %w: %s", err, out)
	}
	checkpoint, err := os.ReadFile(b.checkpointFile())
	if err != nil {
		return err
	}
	if err := os.WriteFile(in.bootstrap, checkpoint, 0o644); err != nil {
		return err
	}
	recording := in.archive + ".partial"
	if err := b.launch(c, "-XX:ArchiveClassesAtExit="+recording); err != nil {
		return err
	}
	defer b.kill()
	if err := c.waitReady(ctx); err != nil {
		return err
	}
	if err := exercise(ctx, b.address()); err != nil {
		return err
	}
	if err := b.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-b.exited():
	case <-ctx.Done():
		return ctx.Err()
	}
	return os.Rename(recording, in.archive)
}
