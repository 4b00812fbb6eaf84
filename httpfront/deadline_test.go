package httpfront

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// armedConn counts how often its timers are armed.
type armedConn struct {
	net.Conn
	reads, writes int
}

func (a *armedConn) SetReadDeadline(t time.Time) error { a.reads++; return a.Conn.SetReadDeadline(t) }

func (a *armedConn) SetWriteDeadline(t time.Time) error {
	a.writes++
	return a.Conn.SetWriteDeadline(t)
}

// pipe is a connection of a server, and its client.
func pipe() (*conn, *armedConn, net.Conn) {
	client, server := net.Pipe()
	a := &armedConn{Conn: server}
	return &conn{Conn: a, server: &Server{options: Options{WriteTimeout: 10 * time.Second}}}, a, client
}

func TestReadDeadline(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   []time.Duration // one after the other, at once; 0: none
		want  time.Duration   // when the read ends; 0: only when the client closes
		armed int
	}{
		{"one", []time.Duration{10}, 10, 1},
		{"moved on", []time.Duration{10, 60, 11, 60}, 60, 2},
		{"moved forward", []time.Duration{60, 10}, 10, 2},
		{"moved forward and on", []time.Duration{60, 10, 30}, 30, 3},
		{"taken back", []time.Duration{10, 0}, 0, 2},
		{"taken back before it was set", []time.Duration{0}, 0, 0},
		{"set again", []time.Duration{10, 0, 20}, 20, 2},
		{"gone by", []time.Duration{10, -1}, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cn, armed, client := pipe()
				start := time.Now()
				for _, d := range c.set {
					at := start.Add(d * time.Second)
					if d == 0 {
						at = time.Time{}
					}
					if err := cn.SetReadDeadline(at); err != nil {
						t.Fatal(err)
					}
				}
				go func() {
					time.Sleep(time.Hour)
					client.Close()
				}()
				_, err := cn.Read(make([]byte, 1))
				took := time.Since(start)
				last := c.set[len(c.set)-1]
				switch {
				case last == 0:
					if err != io.EOF || took != time.Hour {
						t.Errorf("read ended with %v after %v, want EOF after an hour", err, took)
					}
				case !errors.Is(err, os.ErrDeadlineExceeded) || took != c.want*time.Second:
					t.Errorf("read ended with %v after %v, want a timeout after %v", err, took, c.want*time.Second)
				}
				if armed.reads != c.armed {
					t.Errorf("armed %d times, want %d", armed.reads, c.armed)
				}
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// TestReadDeadlineOfRequests is what a connection sees that is kept alive: its timer is
// armed as seldom as the shortest deadline comes round.
func TestReadDeadlineOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cn, armed, client := pipe()
		const requests = 1000 // one each 10 ms
		go func() {
			for range requests {
				time.Sleep(10 * time.Millisecond)
				_, _ = client.Write([]byte{1})
			}
		}()
		for range requests {
			_ = cn.SetReadDeadline(time.Now().Add(time.Minute)) // idle
			if _, err := cn.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			_ = cn.SetReadDeadline(time.Now().Add(2 * time.Second)) // header
		}
		if armed.reads > 12 {
			t.Errorf("armed %d times in 10 s, want two each 2 s", armed.reads)
		}
		_ = cn.SetReadDeadline(time.Now().Add(time.Minute))
		idle := time.Now()
		if _, err := cn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(idle) != time.Minute {
			t.Errorf("idle connection ended with %v after %v, want a timeout after a minute", err, time.Since(idle))
		}
	})
}

// TestWriteDeadline writes to a client that takes a byte now and then: each write has
// its time, and none is cut off by the timer of one before.
func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cn, armed, client := pipe()
		got := make(chan []byte)
		go func() {
			var all []byte
			one := make([]byte, 1)
			for range 12 {
				time.Sleep(1500 * time.Millisecond)
				if _, err := client.Read(one); err != nil {
					break
				}
				all = append(all, one[0])
			}
			got <- all
		}()
		for _, s := range []string{"abcd", "efgh", "ijkl"} { // each takes 6 of 10 s
			if n, err := cn.Write([]byte(s)); n != len(s) || err != nil {
				t.Fatalf("wrote %d bytes of %q: %v", n, s, err)
			}
		}
		if s := string(<-got); s != "abcdefghijkl" {
			t.Errorf("client got %q", s)
		}
		if armed.writes > 3 {
			t.Errorf("armed %d times for 3 writes", armed.writes)
		}
		start := time.Now()
		if _, err := cn.Write([]byte("m")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("write to nobody ended with %v after %v, want a timeout after 10 s", err, time.Since(start))
		}
	})
}

// TestWhenSlow: a read that takes long says so once, goes on, and ends at its deadline all the
// same, with TLS and without.
func TestWhenSlow(t *testing.T) {
	for _, c := range []struct{ deadline, slow, want time.Duration }{{10, 1, 1}, {1, 10, 0}, {1, 1, 0}} {
		for _, secure := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				cn, _, client := pipe()
				defer client.Close()
				cn.secure = secure
				start := time.Now()
				if err := cn.SetReadDeadline(start.Add(c.deadline * time.Second)); err != nil {
					t.Fatal(err)
				}
				var said []time.Duration
				cn.whenSlow(start.Add(c.slow*time.Second), func() { said = append(said, time.Since(start)) })
				_, err := cn.Read(make([]byte, 1))
				if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != c.deadline*time.Second {
					t.Errorf("%+v, secure %t: read ended with %v after %v", c, secure, err, took)
				}
				if len(said) > 1 || (len(said) == 1) != (c.want > 0) || len(said) == 1 && said[0] != c.want*time.Second {
					t.Errorf("%+v, secure %t: slow at %v", c, secure, said)
				}
			})
		}
	}
}
