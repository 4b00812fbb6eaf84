package httpfront

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// connections counts the open connections, all and by address. It is asked once when
// a connection is accepted and once when it is closed.
type connections struct {
	mu   sync.Mutex
	open int                // guarded by mu
	byIP map[netip.Addr]int // guarded by mu; no zeros

	// refused counts connections that were closed at once. Atomic.
	refused atomic.Int64
}

// take counts another connection of ip, or says why there may not be one.
func (cs *connections) take(ip netip.Addr, o *Options) (refused string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case cs.open >= o.ConnectionsMax:
		refused = "Options.ConnectionsMax (--max-connections)"
	case ip.IsValid() && cs.byIP[ip] >= o.ConnectionsPerIPMax:
		refused = "Options.ConnectionsPerIPMax (--max-connections-per-ip)"
	default:
		cs.open++
		if ip.IsValid() {
			if cs.byIP == nil {
				cs.byIP = make(map[netip.Addr]int)
			}
			cs.byIP[ip]++
		}
		return ""
	}
	cs.refused.Add(1)
	return refused
}

// giveBack counts one connection of ip less.
func (cs *connections) giveBack(ip netip.Addr) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.open--
	if n := cs.byIP[ip]; n > 1 {
		cs.byIP[ip] = n - 1
	} else {
		delete(cs.byIP, ip)
	}
}

// addressOf is the address that a connection comes from, invalid where it has none.
func addressOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// unwrapTLS is the connection below TLS, or c.
func unwrapTLS(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}
