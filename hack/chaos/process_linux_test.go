//go:build integration

package chaos

import "syscall"

// dieWithParent lets no daemon outlive a test that is killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
