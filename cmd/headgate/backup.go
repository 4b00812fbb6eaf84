package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
directory to make headgate-TIME.tar.zst in. "headgate restore" unpacks it.`

// runBackup runs `headgate backup`.
func runBackup(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("backup", flag.ContinueOnError)
	host := fs.String("host", "", "`URL` of the server: http://, https://, or unix:///path of its socket;\nwhat is left out comes from the active profile, see \"headgate config\". Without one it is "+client.DefaultHost)
	token := fs.String("token", "", "operator `token`; not needed with --auth=false")
	skipVerify := fs.Bool("skip-verify", false, "take any certificate of an https server")
	dir := fs.String("data-dir", "", "data `directory` of a server that is stopped, instead of asking one that runs")
	// Who has the server's environment still means the server that runs.
	c := toolCommand{name: "backup", args: []string{"DEST"}, about: backupAbout, env: func(name string) (string, bool) {
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
			var org string
			if err := cli.Fill(host, token, &org, nil); err != nil {
				return nil, err
			}
			return download(ctx, cmp.Or(*host, client.DefaultHost), *token, *skipVerify, w)
		})
	}
	if err != nil {
		fmt.Fprintf(stderr, "headgate backup: %v\n", err)
		return 1
	}
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(stderr, "headgate backup: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "%s: %s, %d files of %s, as of %s\n", path, humanize.IBytes(uint64(info.Size())), len(m.Files), humanize.IBytes(uint64(m.Bytes())), m.Created.Format(time.RFC3339))
	return 0
}

// backupPath is the file that DEST means.
func backupPath(dest string, now time.Time) (string, error) {
	info, err := os.Stat(dest)
	isDir := err == nil && info.IsDir() || strings.HasSuffix(dest, string(filepath.Separator))
	if !isDir && err == nil {
		return "", fmt.Errorf("%s exists: remove it, or name another file or a directory", dest)
	}
	if !isDir && strings.HasSuffix(dest, ".zst") {
		return dest, nil
	}
	if err := os.MkdirAll(dest, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(dest, "headgate-"+now.UTC().Format("20060102T150405Z")+".tar.zst"), nil
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

// clientOf is a client for a server's --host, and what its URLs begin with.
func clientOf(host string, skipVerify bool) (*http.Client, string) {
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableKeepAlives = true
		if skipVerify {
			t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		}
		return &http.Client{Transport: t}, strings.TrimRight(host, "/")
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}, "http://headgate"
}

// download asks a server for a backup and checks what comes while it writes it.
func download(ctx context.Context, host, token string, skipVerify bool, w io.Writer) (*engine.BackupManifest, error) {
	c, base := clientOf(host, skipVerify)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v2/backup", nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Token "+token)
	}
	resp, err := c.Do(r)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &client.UnreachableError{Host: host, Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("%s answers %s: %s", host, resp.Status, strings.TrimSpace(string(text)))
	}
	return datadir.Verify(ctx, io.TeeReader(resp.Body, w))
}
