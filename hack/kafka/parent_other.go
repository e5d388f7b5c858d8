//go:build !linux

package kafka

import "syscall"

// dieWithParent does what it can elsewhere: nothing, so that only Stop ends a broker.
func dieWithParent() *syscall.SysProcAttr { return nil }
