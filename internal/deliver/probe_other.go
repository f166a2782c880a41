//go:build !unix

package deliver

import "syscall"

// probe is nil here: the system has no way to look at a socket without consuming from
// it or blocking. A connection that its peer has closed is found out by writing, and
// the one redial of an exchange covers that.
type probe struct{}

func newProbe(syscall.RawConn) *probe { return nil }

// alive does not know, and says yes.
func (*probe) alive() bool { return true }
