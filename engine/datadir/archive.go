package datadir

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// An archive is a tar, in one zstd stream:
//
//	catalog/journal
//	shard-0001/data/...
//	shard-0001/log/...
//	MANIFEST.json        the last entry
//
// All entries but the last are files of a data directory. The manifest names each
// with its size and SHA-256, so that an archive without a manifest, or with files
// that differ from it, is not whole. One that ends with ERROR.txt in its place says why.
const (
	manifestName    = "MANIFEST.json"
	failureName     = "ERROR.txt"
	archiveFormat   = 1
	failureBytesMax = 4 << 10
	// manifestBytesMax bounds what reading an archive holds in memory.
	manifestBytesMax = 256 << 20
)

// DamageNext is how to go on when a running server meets damage.
const DamageNext = "stop the server; `headgate check` says what is lost with it, and `headgate repair` cuts it out"

// ErrArchive is wrapped by errors about an archive that is not whole, or none.
var ErrArchive = errors.New("datadir: not a whole backup")

// Manifest says what an archive has.
type Manifest struct {
	Format int `json:"format"`
	// Version is of the program that made the archive.
	Version string    `json:"version"`
	Created time.Time `json:"created"`
	// Files are in the order of the archive.
	Files []ManifestFile `json:"files"`
}

// ManifestFile is one file of an archive.
type ManifestFile struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Bytes is the size of all files.
func (m *Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Backup writes an archive of a data directory that no server has open. It reads
// files as they are: Check tells whether they are sound.
func Backup(ctx context.Context, o Options, version string, w io.Writer) (*Manifest, error) {
	o.ensureDefaults()
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := Unfinished(o.Dir); err != nil {
		return nil, err
	}
	return WriteArchive(ctx, w, o.Dir, version, o.Now(), nil)
}

// WriteArchive writes an archive of the files in dir, which nobody changes meanwhile.
// verify, unless it is nil, looks at each file of the data store after it has been read,
// when the system has it in memory. Its error ends the archive, which says so.
func WriteArchive(ctx context.Context, w io.Writer, dir, version string, now time.Time, verify func(name string) error) (*Manifest, error) {
	// Blocks are compressed already; the rest is small.
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	m := &Manifest{Format: archiveFormat, Version: version, Created: now.UTC()}
	t := tar.NewWriter(z)
	err = m.add(ctx, t, dir, verify)
	if err == nil {
		var b []byte
		if b, err = json.MarshalIndent(m, "", " "); err == nil {
			err = t.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(b)), ModTime: m.Created})
		}
		if err == nil {
			_, err = t.Write(b)
		}
	}
	if err == nil {
		err = t.Close()
	}
	if err != nil {
		// The stream is left without its end, so that nobody takes it for whole.
		var bad *unsoundError
		if errors.As(err, &bad) {
			err = errors.Join(err, writeFailure(t, z, bad.Error()+"; "+DamageNext, m.Created))
		}
		return nil, fmt.Errorf("datadir: back up %s: %w", dir, err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("datadir: back up %s: %w", dir, err)
	}
	return m, nil
}

// unsoundError is a file that verify does not let pass.
type unsoundError struct {
	file string
	err  error
}

func (e *unsoundError) Error() string { return fileReason(path.Dir(e.file), e.err) }
func (e *unsoundError) Unwrap() error { return e.err }

// writeFailure tells who reads the archive why it is not whole.
func writeFailure(t *tar.Writer, z *zstd.Encoder, text string, now time.Time) error {
	text = text[:min(len(text), failureBytesMax)]
	err := t.WriteHeader(&tar.Header{Name: failureName, Mode: 0o600, Size: int64(len(text)), ModTime: now})
	if err == nil {
		_, err = io.WriteString(t, text)
	}
	if err == nil {
		err = t.Flush()
	}
	return errors.Join(err, z.Flush())
}

// add writes the files of dir.
func (m *Manifest) add(ctx context.Context, t *tar.Writer, dir string, verify func(string) error) error {
	for _, top := range []string{catalogDir, logDir, dataDir} {
		err := filepath.WalkDir(filepath.Join(dir, top), func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && name == filepath.Join(dir, top) {
				return nil // nothing of the kind yet
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(dir, name)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			switch {
			case d.IsDir() && rel == path.Join(filepath.ToSlash(dataDir), "staging"):
				return filepath.SkipDir // parts that are in no version
			case d.IsDir(), !d.Type().IsRegular(), d.Name() == "LOCK", strings.HasSuffix(d.Name(), ".tmp"):
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := m.addFile(t, name, rel); err != nil || verify == nil || top != dataDir {
				return err
			}
			if err := verify(name); err != nil {
				return &unsoundError{rel, err}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *Manifest) addFile(t *tar.Writer, name, rel string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: rel, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime().Truncate(time.Second)}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(t, sum), io.LimitReader(f, info.Size()))
	if err != nil {
		return err
	}
	if n != info.Size() {
		return fmt.Errorf("%s is %s shorter than it was", rel, count(info.Size()-n, "byte"))
	}
	m.Files = append(m.Files, ManifestFile{Path: rel, Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// Verify reads an archive and compares it with its manifest.
func Verify(ctx context.Context, r io.Reader) (*Manifest, error) {
	m, err := readArchive(ctx, r, func(string) (io.WriteCloser, error) { return discard{}, nil })
	if err != nil {
		return nil, archiveError("read a backup", err)
	}
	return m, nil
}

// archiveError says what readArchive was for, unless it says itself what is wrong with
// the archive.
func archiveError(doing string, err error) error {
	if errors.Is(err, ErrArchive) {
		return err
	}
	return fmt.Errorf("datadir: %s: %w", doing, err)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// Restore unpacks an archive into a directory that does not exist or is empty. It is
// synced on return. If it fails, the directory is empty again, or refused by engines
// if even that fails.
func Restore(ctx context.Context, o Options, r io.Reader) (m *Manifest, err error) {
	o.ensureDefaults()
	_, err = os.Lstat(o.Dir)
	made := errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("datadir: %w", err)
	}
	names, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("datadir: %w", err)
	}
	for _, n := range names {
		if n.Name() != "lost+found" {
			return nil, fmt.Errorf("datadir: restore: %s is not empty, it has %s", o.Dir, n.Name())
		}
	}
	if err := writeSynced(filepath.Join(o.Dir, unfinishedFile), []byte("restore\n")); err != nil {
		return nil, fmt.Errorf("datadir: restore: %w", err)
	}
	dirs := map[string]bool{o.Dir: true}
	m, err = readArchive(ctx, r, func(rel string) (io.WriteCloser, error) {
		name := filepath.Join(o.Dir, filepath.FromSlash(rel))
		dir := filepath.Dir(name)
		for d := dir; d != o.Dir && !dirs[d]; d = filepath.Dir(d) {
			dirs[d] = true
		}
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		return syncedFile{f}, nil
	})
	for d := range dirs {
		if err == nil {
			err = syncDir(d)
		}
	}
	if err != nil {
		err = archiveError("restore into "+o.Dir, err)
		var left error
		for _, top := range []string{catalogDir, shardDir} {
			left = errors.Join(left, os.RemoveAll(filepath.Join(o.Dir, top)))
		}
		// The mark goes last, and only when a power cut cannot bring the others back.
		if left = errors.Join(left, syncDir(o.Dir)); left == nil {
			left = os.Remove(filepath.Join(o.Dir, unfinishedFile))
		}
		if left == nil && made {
			left = os.Remove(o.Dir)
		}
		return nil, errors.Join(err, left)
	}
	if err := os.Remove(filepath.Join(o.Dir, unfinishedFile)); err != nil {
		return nil, fmt.Errorf("datadir: restore: %w", err)
	}
	return m, syncDir(o.Dir)
}

// syncedFile syncs before it closes.
type syncedFile struct{ *os.File }

func (f syncedFile) Close() error { return errors.Join(f.Sync(), f.File.Close()) }

// archived reports whether rel is the name of a file that an archive may have.
func archived(rel string) bool {
	if !filepath.IsLocal(filepath.FromSlash(rel)) || path.Clean(rel) != rel {
		return false
	}
	for _, top := range []string{catalogDir, logDir, dataDir} {
		if strings.HasPrefix(rel, filepath.ToSlash(top)+"/") {
			return true
		}
	}
	return false
}

// readArchive reads an archive to its end and hands each file to what create returns. An
// error is ErrArchive, or does not name the package.
func readArchive(ctx context.Context, r io.Reader, create func(rel string) (io.WriteCloser, error)) (*Manifest, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	t := tar.NewReader(z)
	var found Manifest
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrArchive, fmt.Errorf(format, args...))
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := t.Next()
		if err == io.EOF {
			return nil, bad("it ends without a manifest")
		}
		if err != nil {
			return nil, bad("%w", err)
		}
		if h.Name == manifestName {
			break
		}
		if h.Name == failureName {
			text, err := io.ReadAll(io.LimitReader(t, failureBytesMax))
			if err != nil {
				return nil, bad("%w", err)
			}
			return nil, bad("%s", text)
		}
		if h.Typeflag != tar.TypeReg || !archived(h.Name) {
			return nil, bad("it has %q, which no data directory has", h.Name)
		}
		f, err := readFile(t, h.Name, create)
		if err != nil {
			return nil, err
		}
		found.Files = append(found.Files, f)
	}
	b, err := io.ReadAll(io.LimitReader(t, manifestBytesMax))
	if err != nil {
		return nil, bad("manifest: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, bad("manifest: %w", err)
	}
	if m.Format != archiveFormat {
		return nil, fmt.Errorf("the backup has format %d, made by headgate %s; this program reads %d", m.Format, m.Version, archiveFormat)
	}
	if len(m.Files) != len(found.Files) {
		return nil, bad("%s, the manifest names %d", count(len(found.Files), "file"), len(m.Files))
	}
	for i, f := range found.Files {
		if f != m.Files[i] {
			return nil, bad("%s is not as the manifest says", f.Path)
		}
	}
	if _, err := t.Next(); err != io.EOF {
		return nil, bad("something follows the manifest")
	}
	if _, err := io.Copy(io.Discard, z); err != nil { // checks the stream's own checksum
		return nil, bad("%w", err)
	}
	return &m, nil
}

// readFile reads one file. An error of reading is of the archive, one of writing is not.
func readFile(r io.Reader, name string, create func(rel string) (io.WriteCloser, error)) (ManifestFile, error) {
	w, err := create(name)
	if err != nil {
		return ManifestFile{}, err
	}
	var sum hash.Hash = sha256.New()
	from := &failedReader{r: r}
	n, err := io.Copy(io.MultiWriter(w, sum), from)
	if from.err != nil {
		err = fmt.Errorf("%w: %s: %w", ErrArchive, name, from.err)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return ManifestFile{}, err
	}
	return ManifestFile{Path: name, Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// failedReader remembers why reading has failed.
type failedReader struct {
	r   io.Reader
	err error
}

func (f *failedReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}
