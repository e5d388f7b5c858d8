package rig

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// writeImage writes an image of one static program as a tar file that "docker load" and "ctr images import" take. It is for the
// rig's own helpers; hack/images.sh makes the images that are shipped.
func writeImage(path, reference, program string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	entry := "/" + filepath.Base(program)
	layer := archive(map[string][]byte{entry[1:]: content}, entry[1:])
	digest := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{entry}, "User": "65532:65532"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(digest[:])}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{reference},
		"Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	return os.WriteFile(path, archive(map[string][]byte{"config.json": config, "layer.tar": layer, "manifest.json": manifest},
		"config.json", "layer.tar", "manifest.json"), 0o644)
}

// archive returns a tar of the files, in the order of names.
func archive(files map[string][]byte, names ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			panic(fmt.Sprint("tar in memory: ", err)) // a buffer takes everything, and the headers are our own
		}
		if _, err := w.Write(files[name]); err != nil {
			panic(fmt.Sprint("tar in memory: ", err))
		}
	}
	if err := w.Close(); err != nil {
		panic(fmt.Sprint("tar in memory: ", err))
	}
	return b.Bytes()
}
