package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"headgate/engine/datadir"
	"headgate/engine/store/disk"
)

// backupRetryAfter is when to ask again while another backup is made.
const backupRetryAfter = 10 * time.Second

// BackupManifest says what a backup has.
type BackupManifest = datadir.Manifest

// CanBackup returns nil if p may make backups. Only an operator may, since a backup
// has everything. The error is Unauthorized.
func (e *Engine) CanBackup(p *Principal) error {
	return p.require(organizationPermission(ActionWrite, 0))
}

// Backup writes an archive of everything to w, as p (the operator where nil), while
// writes and queries go on. Every write that was answered before Backup was called is
// in it; of those that come meanwhile each bucket has the first so many. version is
// noted in the archive. `headgate restore` and datadir.Restore make a data directory
// of it.
//
// The data store's files are linked into Options.Dir, not copied; they take no more
// space unless they are replaced before Backup returns. One backup is made at a
// time: otherwise the error is Overloaded. It is Unavailable during recovery and when
// the log or the data store cannot be written. After any error what w has got is no
// whole archive.
func (e *Engine) Backup(ctx context.Context, p *Principal, version string, w io.Writer) (*BackupManifest, error) {
	if p == nil {
		p = e.Operator()
	}
	if err := e.CanBackup(p); err != nil {
		return nil, err
	}
	if !e.Ready() {
		return nil, e.recoveringError()
	}
	if !e.backingUp.TryLock() {
		return nil, &Error{Kind: Overloaded, Message: "another backup is being made", RetryAfter: backupRetryAfter}
	}
	defer e.backingUp.Unlock()
	dir := datadir.TempDir(e.o.Dir)
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("engine: backup: %w", err)
	}
	m, err := e.backup(ctx, dir, version, w)
	if rerr := os.RemoveAll(dir); rerr != nil {
		e.o.Logger.Warn("what a backup was made from could not be removed", "dir", dir, "error", rerr)
	}
	return m, err
}

func (e *Engine) backup(ctx context.Context, dir, version string, w io.Writer) (*BackupManifest, error) {
	if text := e.damagedFiles(); text != "" {
		return nil, &Error{Kind: Internal, Message: "backup: " + text}
	}
	began := e.o.Now()
	if err := e.copyTo(ctx, dir); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &Error{Kind: Unavailable, RetryAfter: time.Second, Message: "backup: " + err.Error(), Err: err}
	}
	m, err := datadir.WriteArchive(ctx, w, dir, version, began, e.data.VerifyFile)
	if found := (*disk.DamageError)(nil); errors.As(err, &found) {
		named := *found
		named.File = storeFile(found)
		return nil, damageError(fmt.Errorf("backup: %w", &named))
	}
	return m, err
}

// copyTo makes a data directory in dir of what the engine has. The log comes before
// the data store: records leave it only when the data store has them. No bucket is
// made or deleted meanwhile.
func (e *Engine) copyTo(ctx context.Context, dir string) error {
	if err := e.manageMu.lock(ctx, e.o.WriteTimeout); err != nil {
		return err
	}
	defer e.manageMu.Unlock()
	shard := filepath.Join(dir, "shard-0001")
	if err := os.MkdirAll(shard, 0o750); err != nil {
		return err
	}
	log, ok := e.shard.Log().(interface {
		Copy(ctx context.Context, dir string) error
	})
	if !ok {
		return errors.New("the log cannot be copied")
	}
	if err := log.Copy(ctx, filepath.Join(shard, "log")); err != nil {
		return err
	}
	if err := e.data.Checkpoint(filepath.Join(shard, "data")); err != nil {
		return err
	}
	return e.catalog.View().WriteTo(filepath.Join(dir, "catalog"))
}
