package httpfront

import (
	"context"
	"io"
	"sync"

	"github.com/valyala/fasthttp"

	"headgate/engine"
)

// backupStream is a backup on its way to a client. The engine writes into it, and
// fasthttp reads; a backup that fails midway ends the connection without the last
// chunk, so that the client can tell.
type backupStream struct {
	server *Server
	first  []byte // read by the handler to learn whether there is anything
	r      *io.PipeReader
	cancel context.CancelFunc
	stop   func() // of the connection's watch
	once   sync.Once
	ended  chan struct{} // closed when the engine has
}

const contentTypeBackup = "application/zstd"

// postBackup is POST /api/v2/backup, which is ours alone: everything, as an archive.
func postBackup(s *Server, c *fasthttp.RequestCtx, p *engine.Principal) error {
	if err := s.engine.CanBackup(p); err != nil {
		return err
	}
	body := getBuffer()
	err := s.readSmallBody(c, body) // there is none, or it means nothing
	putBuffer(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.ctx)
	r, w := io.Pipe()
	b := &backupStream{server: s, r: r, cancel: cancel, stop: connOf(c).watch(cancel), ended: make(chan struct{})}
	go func() {
		defer close(b.ended)
		_, err := s.engine.Backup(ctx, p, s.options.Version, w)
		w.CloseWithError(err) // nil is io.EOF
	}()
	buf := make([]byte, 64<<10)
	n, err := r.Read(buf)
	if err != nil {
		b.Close()
		return err
	}
	b.first = buf[:n]
	c.SetContentType(contentTypeBackup)
	c.SetBodyStream(b, -1)
	return nil
}

// Read implements io.Reader.
func (b *backupStream) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.server.log.internal(err) // the client sees its connection end early
	}
	return n, err
}

// Close ends the backup and waits for it.
func (b *backupStream) Close() error {
	b.once.Do(func() {
		b.cancel()
		_ = b.r.Close()
		<-b.ended
		b.stop()
	})
	return nil
}
