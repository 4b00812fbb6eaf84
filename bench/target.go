package bench

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Target is where a server listens.
type Target struct {
	// network and address are what net.Dial takes.
	network, address string
	// host is the value of the Host header.
	host string
	// prefix comes before every path, without a slash at its end.
	prefix string
}

// ParseTarget reads http://host[:port][/prefix] or unix:///path/of/socket.
func ParseTarget(rawURL string) (Target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Target{}, fmt.Errorf("bench: %w", err)
	}
	switch {
	case u.Scheme == "unix" && u.Path != "":
		return Target{network: "unix", address: u.Path, host: "localhost"}, nil
	case u.Scheme == "http" && u.Hostname() != "":
		port := u.Port()
		if port == "" {
			port = "80"
		}
		return Target{
			network: "tcp",
			address: net.JoinHostPort(u.Hostname(), port),
			host:    u.Host,
			prefix:  strings.TrimSuffix(u.Path, "/"),
		}, nil
	}
	return Target{}, fmt.Errorf("bench: address %q is neither http://host:port nor unix:///path", rawURL)
}

// head is what the requests of one kind have in common.
type head struct {
	method string
	// path is absolute, query included.
	path string
	// token goes into an Authorization header unless it is empty.
	token string
	// encoding is the Content-Encoding, "" for none.
	encoding    string
	contentType string
}

// append writes the whole request head for a body of bodyBytes.
func (h head) append(dst []byte, t Target, bodyBytes int) []byte {
	dst = append(dst, h.method...)
	dst = append(dst, ' ')
	dst = append(dst, t.prefix...)
	dst = append(dst, h.path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, t.host...)
	dst = append(dst, "\r\nUser-Agent: headgate-bench\r\n"...)
	if h.token != "" {
		dst = append(dst, "Authorization: Token "...)
		dst = append(dst, h.token...)
		dst = append(dst, "\r\n"...)
	}
	if h.contentType != "" {
		dst = append(dst, "Content-Type: "...)
		dst = append(dst, h.contentType...)
		dst = append(dst, "\r\n"...)
	}
	if h.encoding != "" {
		dst = append(dst, "Content-Encoding: "...)
		dst = append(dst, h.encoding...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(bodyBytes), 10)
	return append(dst, "\r\n\r\n"...)
}
