package kafka

import "syscall"

// dieWithParent has the kernel kill a broker when the process that started it ends in whatever way.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
