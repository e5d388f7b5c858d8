package cache

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestTheLockIsHeldUntilItIsGivenBack(t *testing.T) {
	root := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", root)
	sum := sha256.Sum256([]byte("recipe")) // printf recipe | sha256sum
	dir, unlock, err := Lock("thing", sum[:])
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "prescale", "thing-e1d8e5523309"); dir != want {
		t.Errorf("got %s, want %s", dir, want)
	}
	other, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	try := func() error { return syscall.Flock(int(other.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) }
	if err := try(); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("while it is held: %v, want %v", err, syscall.EWOULDBLOCK)
	}
	unlock()
	if err := try(); err != nil {
		t.Errorf("after it was given back: %v", err)
	}
}
