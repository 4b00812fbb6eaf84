//go:build !linux

package bench

import "syscall"

// dieWithParent needs Linux; elsewhere a server may outlive a killed test.
func dieWithParent() *syscall.SysProcAttr { return nil }
