package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"headgate/cmd/headgate/cli"
	"headgate/cmd/headgate/client"
	"headgate/engine"
	"headgate/engine/datadir"
)

const backupAbout = `Makes a backup of a running server, or with --data-dir of a stopped one: one file
with everything, tokens (hashed) and users included. Every write that was answered
before the backup began is in it. DEST is the file to make, NAME.tar.zst, or a
directory to make headgate-TIME.tar.zst in, which has to be there. "headgate restore"
unpacks it.

A running server compares the store with its checksums on the way: of one that is
damaged there is no backup. With --data-dir files are copied as they are, also damaged
ones: "headgate check" tells.`

// runBackup runs `headgate backup`.
func runBackup(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("backup", flag.ContinueOnError)
	var server cli.ServerFlags
	server.Register(fs, "operator `token`; not needed with --auth=false", "`name` or id of an organization; of no effect, for a backup has all of them")
	dir := fs.String("data-dir", "", "data `directory` of a server that is stopped, instead of asking one that runs")
	// Who has the server's environment still means the server that runs.
	c := toolCommand{name: "backup", args: []string{"DEST"}, about: backupAbout, asks: true, env: func(name string) (string, bool) {
		if name == envName("data-dir") {
			return "", false
		}
		return lookupEnv(name)
	}}
	values, status, done := c.parse(fs, args, stdout, stderr)
	if done {
		return status
	}
	path, err := backupPath(values[0], time.Now())
	var m *engine.BackupManifest
	if err == nil {
		m, err = writeBackup(path, func(w io.Writer) (*engine.BackupManifest, error) {
			if *dir != "" {
				return datadir.Backup(ctx, datadir.Options{Dir: *dir}, version, w)
			}
			c, err := server.Client("headgate-backup/"+version, nil)
			if err != nil {
				return nil, err
			}
			defer c.Close()
			return download(ctx, c, w)
		})
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate backup: %v\n", err)
		return cli.Status(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(stderr, "headgate backup: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "%s: %s, %s of %s, as of %s\n", path, humanize.IBytes(uint64(info.Size())), count(len(m.Files), "file"), humanize.IBytes(uint64(m.Bytes())), m.Created.Format(time.RFC3339))
	return 0
}

// otherArchives are the endings of archives that no backup is.
var otherArchives = []string{".tar", ".gz", ".tgz", ".bz2", ".xz", ".lz4", ".tzst", ".zip", ".7z"}

// backupPath is the file that DEST means. The directory that it is in has to be there:
// one that is missing may be a disk that is not mounted, and the backup would fill
// another.
func backupPath(dest string, now time.Time) (string, error) {
	info, err := os.Stat(dest)
	switch {
	case err == nil && info.IsDir():
		return filepath.Join(dest, "headgate-"+now.UTC().Format("20060102T150405Z")+".tar.zst"), nil
	case err == nil:
		return "", fmt.Errorf("%s exists: remove it, or name another file or a directory", dest)
	case !errors.Is(err, os.ErrNotExist):
		return "", err
	case strings.HasSuffix(dest, string(filepath.Separator)):
		return "", missingDirectory(filepath.Clean(dest))
	case slices.Contains(otherArchives, strings.ToLower(filepath.Ext(dest))):
		return "", fmt.Errorf("%s: a backup is a tar compressed with zstd: its name must end in .tar.zst", dest)
	case !strings.HasSuffix(dest, ".zst"):
		return "", fmt.Errorf("%s does not exist, and a backup's name ends in .tar.zst; if it is to be a directory, make it (mkdir %[1]s)", dest)
	}
	dir := filepath.Dir(dest)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "", missingDirectory(dir)
	} else if err != nil {
		return "", err
	}
	return dest, nil
}

func missingDirectory(dir string) error {
	return fmt.Errorf("directory %s does not exist: make it (mkdir %[1]s), or mount what it is on", dir)
}

// writeBackup makes the file at path, whole and synced or not at all.
func writeBackup(path string, write func(io.Writer) (*engine.BackupManifest, error)) (*engine.BackupManifest, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s exists: remove it, or name another file or a directory", path)
	}
	partial := path + ".partial"
	f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	m, err := write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(partial))
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	return m, errors.Join(d.Sync(), d.Close())
}

// download asks a server for a backup and checks what comes while it writes it.
func download(ctx context.Context, c *client.Client, w io.Writer) (*engine.BackupManifest, error) {
	resp, err := c.Do(ctx, client.Request{Method: http.MethodPost, Path: "/api/v2/backup"})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return datadir.Verify(ctx, io.TeeReader(resp.Body, w))
}
