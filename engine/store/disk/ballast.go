package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Space is what a file system has.
type Space struct {
	// Free is what the process may still use, Total all there is, in bytes.
	Free, Total int64
}

// SpaceOf asks the file system that dir, which must exist, is in. A nil fs is the
// disk.
func SpaceOf(fs vfs.FS, dir string) (Space, error) {
	if fs == nil {
		fs = vfs.Default
	}
	u, err := fs.GetDiskUsage(dir)
	if err != nil {
		return Space{}, fmt.Errorf("disk: free space of %s: %w", dir, err)
	}
	return Space{Free: int64(u.AvailBytes), Total: int64(u.TotalBytes)}, nil
}

// Ballast is a file without a use: what it takes from the disk is there to be given
// back when everything else is taken, so that deleting, which writes before it frees,
// works on a disk that others have filled.
//
// It is used by one goroutine at a time.
type Ballast struct {
	fs   vfs.FS
	path string
	held int64
}

// OpenBallast looks at the file of that path, which need not exist. A nil fs is the
// disk.
func OpenBallast(fs vfs.FS, path string) *Ballast {
	if fs == nil {
		fs = vfs.Default
	}
	b := &Ballast{fs: fs, path: path}
	if info, err := fs.Stat(path); err == nil {
		b.held = allocatedBytes(info)
	}
	return b
}

// Path is where the file is, or would be.
func (b *Ballast) Path() string { return b.path }

// Held is what the file takes from the disk, in bytes.
func (b *Ballast) Held() int64 { return b.held }

// ballastChunk is how much is written between two looks at the context.
const ballastChunk = 1 << 20

// Fill makes the file n bytes large and has it on disk when it returns. After an
// error, of which the disk being full is one, there is no file.
func (b *Ballast) Fill(ctx context.Context, n int64) error {
	if err := b.Drop(); err != nil {
		return err
	}
	f, err := b.fs.Create(b.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("disk: ballast: %w", err)
	}
	if !allocate(f, n) {
		err = fill(ctx, f, n)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("disk: ballast: %w", err), b.Drop())
	}
	b.held = n
	return nil
}

// fill writes what no file system can make smaller.
func fill(ctx context.Context, w io.Writer, n int64) error {
	noise := rand.NewChaCha8([32]byte{})
	buf := make([]byte, ballastChunk)
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, _ = noise.Read(buf)
		k, err := w.Write(buf[:min(n, ballastChunk)])
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// Drop removes the file, if there is one.
func (b *Ballast) Drop() error {
	err := b.fs.Remove(b.path)
	if err != nil {
		if _, serr := b.fs.Stat(b.path); serr == nil {
			return fmt.Errorf("disk: ballast: %w", err)
		}
	}
	b.held = 0
	return nil
}
