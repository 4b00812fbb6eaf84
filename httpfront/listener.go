package httpfront

import (
	"errors"
	"net"
	"sync"
)

// listener wraps every connection that it accepts.
type listener struct {
	net.Listener
	server *Server

	once sync.Once
	err  error // of the first Close
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		ip := addressOf(c)
		reason := l.server.connections.take(ip, &l.server.options)
		if reason == "" {
			return &conn{Conn: c, server: l.server, ip: ip, secure: unwrapTLS(c) != c}, nil
		}
		l.server.log.count(countConns, reason, "")
		_ = unwrapTLS(c).Close() // no handshake, no farewell
	}
}

// Close closes the listener; again, it does nothing.
func (l *listener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// listeners are those that a server accepts from. fasthttp closes those that it has
// when it is shut down, and would accept from one that comes later for ever.
type listeners struct {
	mu   sync.Mutex
	open map[*listener]struct{} // guarded by mu
	shut bool                   // guarded by mu
}

// add reports whether l may be accepted from: not any more after close.
func (ls *listeners) add(l *listener) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.shut {
		return false
	}
	if ls.open == nil {
		ls.open = make(map[*listener]struct{})
	}
	ls.open[l] = struct{}{}
	return true
}

func (ls *listeners) remove(l *listener) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.open, l)
}

// close closes those that are open, and all that are to come.
func (ls *listeners) close() (err error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.shut = true
	for l := range ls.open {
		err = errors.Join(err, l.Close())
	}
	return err
}

func (ls *listeners) closed() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.shut
}
