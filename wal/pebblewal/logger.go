package pebblewal

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"headgate/wal/fence"
)

// protect calls into Pebble. Whatever panics in there fails the log and comes
// back as an error.
func (l *Log) protect(call func() error) error {
	return l.fence.Protect(l.o.Logger, call)
}

// listener turns Pebble's events into log lines. None may end the process, as
// the default for DataCorruption would.
func (l *Log) listener(compactions *fence.Scheduler) *pebble.EventListener {
	log := l.o.Logger
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if l.fence.Failed() == nil { // a failed store only echoes
				log.Error("log background work failed", fence.ErrorAttr(err))
			}
		},
		CompactionEnd: compactions.Ended,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			if l.fence.Failed() == nil { // what a failed store believes to have written is not there
				log.Error("log file is corrupt", slog.String("path", info.Path), fence.ErrorAttr(info.Details))
			}
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			log.Warn("log writes stalled", slog.String("reason", info.Reason))
		},
		WriteStallEnd: func() { log.Info("log writes go on") },
	}
}
