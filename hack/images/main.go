// Command images makes the container images without Docker: FROM scratch, one static program each, run as user 65532, and the
// same bytes from the same commit on any machine.
//
//	images -root DIR -out DIR [-tag TAG] [-prefix PREFIX] [NAME...]
//
// For each name (a directory below cmd/) it writes NAME.tar, which "docker load", "ctr images import" and "crane push" take,
// and NAME.spdx.json, the list of Go modules that are in it. SOURCE_DATE_EPOCH, seconds since 1970, is the image's date; unset
// means 0.
package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// user is the name-less user that owns nothing; 65532 is what distroless images use.
const user = "65532:65532"

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.SetOutput(stderr)
	root := flags.String("root", ".", "the main module's directory")
	out := flags.String("out", "dist/images", "where the tar files go")
	tag := flags.String("tag", "dev", "the images' tag")
	prefix := flags.String("prefix", "prescale/", "what stands before each image's name")
	arch := flags.String("arch", "amd64", "GOARCH of the programs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	names := flags.Args()
	if len(names) == 0 {
		names = []string{"prescale", "inference", "feedback"}
	}
	date, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	for _, program := range names {
		if _, err := os.Stat(filepath.Join(*root, "cmd", program)); err != nil {
			return fmt.Errorf("no program %s: %w", program, err)
		}
		binary := filepath.Join(*out, program)
		if err := compile(*root, program, *arch, binary); err != nil {
			return err
		}
		reference, err := name.NewTag(*prefix + program + ":" + *tag)
		if err != nil {
			return err
		}
		image, err := assemble(binary, program, *arch, date)
		if err != nil {
			return fmt.Errorf("assemble %s: %w", program, err)
		}
		path := filepath.Join(*out, program+".tar")
		if err := writeImage(path, reference, image); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		digest, err := image.Digest()
		if err != nil {
			return err
		}
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return err
		}
		if err := writeSBOM(filepath.Join(*out, program+".spdx.json"), program, *tag, digest.Hex, info, date); err != nil {
			return err
		}
		if err := os.Remove(binary); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s %s %s\n", path, reference.Name(), digest)
	}
	return nil
}

// writeImage writes all of the file or leaves the one that is there.
func writeImage(path string, reference name.Reference, image v1.Image) error {
	part := path + ".part"
	if err := tarball.WriteToFile(part, reference, image); err != nil {
		_ = os.Remove(part) // the failure to write is what there is to tell
		return err
	}
	return os.Rename(part, path)
}

// sourceDate reads SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch).
func sourceDate(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// compile builds a program so that the same source gives the same bytes: no cgo, no paths, no build id, no state of the checkout, and
// nothing of the user's settings of Go.
func compile(root, program, arch, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, "./cmd/"+program)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off",
		"GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", program, err, output)
	}
	return nil
}

// assemble makes the image: a layer of what changes rarely (the certificates of public authorities, the user's name), and a
// layer of the program.
func assemble(binary, program, arch string, date time.Time) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var authorities bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // trusted under a condition that a PEM file cannot carry
		}
		if err := pem.Encode(&authorities, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	base, err := layer(date, file{"etc/passwd", 0o644, []byte("nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
		file{"etc/ssl/certs/ca-certificates.crt", 0o644, authorities.Bytes()})
	if err != nil {
		return nil, err
	}
	top, err := layer(date, file{program, 0o755, content})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, base, top)
	if err != nil {
		return nil, err
	}
	image, err = mutate.Config(image, v1.Config{
		Entrypoint: []string{"/" + program}, User: user, WorkingDir: "/",
		Labels: map[string]string{"org.opencontainers.image.title": program, "org.opencontainers.image.licenses": "Apache-2.0"},
	})
	if err != nil {
		return nil, err
	}
	// Not mutate.Time, which would rewrite the layers; they carry the date already.
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.Created = v1.Time{Time: date}
	config.OS, config.Architecture = "linux", arch
	return mutate.ConfigFile(image, config)
}

type file struct {
	path    string
	mode    int64
	content []byte
}

// layer makes a layer of files that root owns and nobody else may write.
func layer(date time.Time, files ...file) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		header := &tar.Header{Name: f.path, Mode: f.mode, Size: int64(len(f.content)), ModTime: date, Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}
