package main

import (
	"errors"
	"flag"
	"log/slog"
)

// connectionLimits is the flags that say how many connections may be open.
type connectionLimits struct{ all, perIP int }

func (l *connectionLimits) register(fs *flag.FlagSet) {
	fs.IntVar(&l.all, "max-connections", connectionsDefault, "most connections that may be open, a `number`; more are closed at once.\nThree quarters of the open files that the system allows (ulimit -n) are the most there can be")
	fs.IntVar(&l.perIP, "max-connections-per-ip", 0, "most of them that one address may have, a `number`; 0 is seven eighths of --max-connections")
}

func (l *connectionLimits) check() error {
	if l.all < 1 || l.perIP < 0 {
		return errors.New("--max-connections must be more than 0, and --max-connections-per-ip not negative")
	}
	return nil
}

// connectionsDefault is more than most systems have files for, and no wish of anybody's.
const connectionsDefault = 65536

// connectionsFew is what an operator is told of when there cannot be as many.
const connectionsFew = 10_000

// fit lowers the limits to what the system has files for: one each, and a quarter for
// the stores. The process is allowed as many as the hard limit says; Go's runtime
// sees to that at start.
func (l *connectionLimits) fit(log *slog.Logger) {
	files := openFilesMax()
	// Compared as floats: unlimited is the largest number there is.
	if most := files / 4 * 3; float64(l.all) > most {
		asked := l.all
		l.all = max(1, int(most))
		if asked != connectionsDefault {
			log.Warn("fewer connections can be open than --max-connections says, for the system allows few open files (ulimit -n)", "connections", l.all, "max_connections", asked, "open_files", files)
		} else if l.all < connectionsFew {
			log.Warn("few connections can be open, for the system allows few open files (ulimit -n)", "connections", l.all, "open_files", files)
		}
	}
}
