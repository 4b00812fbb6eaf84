package actors

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Ping asks the actors of the shard whether they are alive: the supervisor's and
// every bucket's, unless it says by itself that it is out of service. The error names
// those that have not answered when ctx ends.
func (s *Shard) Ping(ctx context.Context) error {
	silent := map[string]struct{}{"supervisor": {}}
	var asked []*Bucket
	for _, b := range s.Buckets() {
		if b.State().Unavailable == nil {
			asked = append(asked, b)
			silent["bucket "+b.id.String()] = struct{}{}
		}
	}
	done := make(chan string, len(silent))
	s.system.Root.Send(s.supervisor, &ping{who: "supervisor", done: done})
	for _, b := range asked {
		b.send(&ping{who: "bucket " + b.id.String(), done: done})
	}
	for len(silent) > 0 {
		select {
		case who := <-done:
			delete(silent, who)
		case <-ctx.Done():
			// One that was dropped meanwhile has nothing to say any more.
			for _, b := range asked {
				if isStopped(b) || b.State().Unavailable != nil {
					delete(silent, "bucket "+b.id.String())
				}
			}
			return silentError(silent)
		}
	}
	return nil
}

// silentNamesMax is how many silent actors are named.
const silentNamesMax = 5

func silentError(silent map[string]struct{}) error {
	if len(silent) == 0 {
		return nil
	}
	names := make([]string, 0, len(silent))
	for name := range silent {
		names = append(names, name)
	}
	slices.Sort(names)
	more := ""
	if n := len(names) - silentNamesMax; n > 0 {
		names, more = names[:silentNamesMax], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("actors: no answer from %s%s", strings.Join(names, ", "), more)
}
