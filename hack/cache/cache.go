// Package cache keeps what is fetched or built once for the rigs in the user's cache directory. It does not know what that is.
package cache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Lock returns the directory of what is made by a recipe, which may be empty, and holds its lock until unlock is called: several
// processes may ask at once, and one makes it while the others wait. The recipe's sum is part of the directory's name.
func Lock(name string, sum []byte) (dir string, unlock func(), err error) {
	root, err := os.UserCacheDir()
	if err != nil {
		return "", nil, fmt.Errorf("find the cache directory: %w", err)
	}
	dir = filepath.Join(root, "prescale", name+"-"+hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("make the cache directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", nil, fmt.Errorf("open the lock: %w", err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return "", nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return dir, func() { f.Close() }, nil
}
