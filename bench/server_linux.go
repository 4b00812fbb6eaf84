package bench

import "syscall"

// dieWithParent makes the kernel kill the child when we die without having time
// to, by SIGKILL or a test's deadline: no server is left behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
