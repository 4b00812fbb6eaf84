package pebblewal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"headgate/wal/fence"
)

// traced is an error as Pebble's are: with %+v it prints where it was made.
type traced struct{ error }

func (e traced) Format(s fmt.State, verb rune) {
	fmt.Fprint(s, e.Error())
	if s.Flag('+') {
		fmt.Fprint(s, "\n  -- stack trace:\n  | /src/block.go:1")
	}
}

// What Pebble tells is one line in the log, without stack traces.
func TestListenerLogsOneLine(t *testing.T) {
	var out bytes.Buffer
	l := &Log{o: Options{Logger: slog.New(slog.NewTextHandler(&out, nil))}, fence: fence.New(vfs.NewMem(), "d", func(error) {})}
	events := l.listener(fence.NewScheduler())
	err := traced{errors.New("block 7: checksum mismatch\n<details>")}
	events.BackgroundError(err)
	events.DataCorruption(pebble.DataCorruptionInfo{Path: "d/000005.sst", Details: err})
	if text := out.String(); strings.Count(text, `error="block 7: checksum mismatch"`) != 2 || strings.Contains(text, "stack") {
		t.Errorf("%s", text)
	}
}
