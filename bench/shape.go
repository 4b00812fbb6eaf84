package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// fieldKind is how a field's value moves from report to report.
type fieldKind uint8

const (
	percentInt   fieldKind = iota // walks between 0 and 100, an integer
	percentFloat                  // walks between 0 and 100, all digits of a float
	gaugeInt                      // walks around a size, an integer
	gaugeFloat                    // walks around a size, two decimals
	randomFloat                   // anything between 0 and a size, all digits of a float
	counterInt                    // only grows, an integer
	constantInt                   // stays
	toggle                        // a boolean that seldom changes
	word                          // a string out of a few
)

type fieldShape struct {
	name string
	kind fieldKind
	// size is what a gauge walks around, what a constant is, and how fast a
	// counter grows in a step.
	size int64
}

// shape is one measurement of a fleet.
type shape struct {
	name string
	// tags are the tags that the measurement has beside the host's, as templates
	// in which %d is a random number.
	tags   []string
	fields []fieldShape
}

func (s *shape) appendTags(dst []byte, rng *rand.Rand) []byte {
	for _, t := range s.tags {
		dst = append(dst, ',')
		dst = fmt.Appendf(dst, t, rng.IntN(1000))
	}
	return dst
}

func fieldsOf(kind fieldKind, size int64, names ...string) []fieldShape {
	fields := make([]fieldShape, 0, len(names))
	for _, name := range names {
		fields = append(fields, fieldShape{name, kind, size})
	}
	return fields
}

func shapesOf(w Workload) []shape {
	switch w {
	case Devops:
		return devopsShapes()
	case Wide:
		return []shape{wideShape()}
	case Floats:
		return []shape{floatsShape()}
	}
	return []shape{cpuShape()}
}

func cpuShape() shape {
	return shape{name: "cpu", fields: fieldsOf(percentInt, 0,
		"usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait",
		"usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice")}
}

func floatsShape() shape {
	return shape{name: "floats", fields: fieldsOf(randomFloat, 100, "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9")}
}

func devopsShapes() []shape {
	join := func(parts ...[]fieldShape) []fieldShape {
		var all []fieldShape
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	return []shape{
		cpuShape(),
		{"diskio", []string{"serial=%03[1]d-%03[1]d-%03[1]d"}, join(
			fieldsOf(counterInt, 50, "reads", "writes"),
			fieldsOf(counterInt, 100_000, "read_bytes", "write_bytes"),
			fieldsOf(counterInt, 5, "read_time", "write_time", "io_time"))},
		{"disk", []string{"path=/dev/sda%d", "fstype=ext%d"}, join(
			fieldsOf(constantInt, 1<<40, "total"),
			fieldsOf(gaugeInt, 1<<39, "free", "used"),
			fieldsOf(percentFloat, 0, "used_percent"),
			fieldsOf(constantInt, 1<<28, "inodes_total"),
			fieldsOf(gaugeInt, 1<<27, "inodes_free", "inodes_used"))},
		{"kernel", nil, join(
			fieldsOf(constantInt, 1_483_228_800, "boot_time"),
			fieldsOf(counterInt, 50, "interrupts", "context_switches", "processes_forked", "disk_pages_in", "disk_pages_out"))},
		{"mem", nil, join(
			fieldsOf(constantInt, 64<<30, "total"),
			fieldsOf(gaugeInt, 32<<30, "available", "used", "free", "cached", "buffered"),
			fieldsOf(percentFloat, 0, "used_percent", "available_percent", "buffered_percent"))},
		{"net", []string{"interface=eth%d"}, join(
			fieldsOf(counterInt, 50_000, "bytes_sent", "bytes_recv"),
			fieldsOf(counterInt, 50, "packets_sent", "packets_recv"),
			fieldsOf(counterInt, 2, "err_in", "err_out", "drop_in", "drop_out"))},
		{"nginx", []string{"port=%d", "server=nginx_%d"}, join(
			fieldsOf(counterInt, 5, "accepts", "handled", "requests"),
			fieldsOf(percentInt, 0, "active", "reading", "waiting", "writing"))},
		{"postgresl", nil, join(
			fieldsOf(percentInt, 0, "numbackends"),
			fieldsOf(counterInt, 5, "xact_commit", "xact_rollback", "blks_read", "blks_hit", "tup_returned", "tup_fetched",
				"tup_inserted", "tup_updated", "tup_deleted", "conflicts", "temp_files"),
			fieldsOf(counterInt, 1024, "temp_bytes"),
			fieldsOf(counterInt, 5, "deadlocks", "blk_read_time", "blk_write_time"))},
		{"redis", []string{"port=%d", "server=redis_%d"}, join(
			fieldsOf(counterInt, 10, "uptime_in_seconds"),
			fieldsOf(counterInt, 5, "total_connections_received", "expired_keys", "evicted_keys", "keyspace_hits", "keyspace_misses"),
			fieldsOf(percentInt, 0, "instantaneous_ops_per_sec", "instantaneous_input_kbps", "instantaneous_output_kbps", "connected_clients"),
			fieldsOf(gaugeInt, 1<<30, "used_memory", "used_memory_rss", "used_memory_peak", "used_memory_lua"),
			fieldsOf(percentInt, 0, "rdb_changes_since_last_save", "sync_full", "sync_partial_ok", "sync_partial_err",
				"pubsub_channels", "pubsub_patterns", "latest_fork_usec", "connected_slaves", "master_repl_offset",
				"repl_backlog_active", "repl_backlog_size", "repl_backlog_histlen", "mem_fragmentation_ratio",
				"used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"))},
	}
}

// wideShape has 200 fields: 60 counters, 60 floats of two decimals, 40 gauges, 20
// floats of all digits, 10 booleans and 10 strings, mixed.
func wideShape() shape {
	s := shape{name: "wide"}
	for i := range 200 {
		f := fieldShape{name: fmt.Sprintf("field_%03d", i)}
		switch i % 20 {
		case 0, 1, 2, 3, 4, 5:
			f.kind, f.size = counterInt, 1000
		case 6, 7, 8, 9, 10, 11:
			f.kind, f.size = gaugeFloat, 500
		case 12, 13, 14, 15:
			f.kind, f.size = gaugeInt, 1<<20
		case 16, 17:
			f.kind = percentFloat
		case 18:
			f.kind = toggle
		default:
			f.kind = word
		}
		s.fields = append(s.fields, f)
	}
	return s
}

var words = []string{"ok", "degraded", "waiting for the leader", "shut down", "starting"}

// fieldState is one field of one series.
type fieldState struct {
	// prefix is the key with the equals sign.
	prefix []byte
	shape  fieldShape
	rng    *rand.Rand
	walk   float64
	whole  int64
}

func newFieldState(f fieldShape, rng *rand.Rand) fieldState {
	st := fieldState{prefix: append([]byte(f.name), '='), shape: f, rng: rng}
	switch f.kind {
	case percentInt, percentFloat:
		st.walk = 100 * rng.Float64()
	case gaugeInt, gaugeFloat:
		st.walk = float64(f.size) * rng.Float64()
	case counterInt:
		st.whole = rng.Int64N(1000 * f.size)
	case constantInt:
		st.whole = f.size
	case toggle, word:
		st.whole = rng.Int64N(int64(len(words)))
	}
	return st
}

// appendNext moves the field on by one report and appends key=value.
func (st *fieldState) appendNext(dst []byte) []byte {
	dst = append(dst, st.prefix...)
	switch f := st.shape; f.kind {
	case percentInt, percentFloat:
		st.walk = min(max(st.walk+st.rng.NormFloat64(), 0), 100)
		if f.kind == percentFloat {
			return strconv.AppendFloat(dst, st.walk, 'f', -1, 64)
		}
		dst = strconv.AppendInt(dst, int64(st.walk), 10)
	case gaugeInt, gaugeFloat:
		st.walk = max(st.walk+float64(f.size)/1000*st.rng.NormFloat64(), 0)
		if f.kind == gaugeFloat {
			return strconv.AppendFloat(dst, st.walk, 'f', 2, 64)
		}
		dst = strconv.AppendInt(dst, int64(st.walk), 10)
	case randomFloat:
		return strconv.AppendFloat(dst, float64(f.size)*st.rng.Float64(), 'f', -1, 64)
	case counterInt:
		st.whole += st.rng.Int64N(2*f.size + 1)
		dst = strconv.AppendInt(dst, st.whole, 10)
	case constantInt:
		dst = strconv.AppendInt(dst, st.whole, 10)
	case toggle:
		st.change()
		return strconv.AppendBool(dst, st.whole%2 == 0)
	case word:
		st.change()
		dst = append(dst, '"')
		dst = append(dst, words[st.whole]...)
		return append(dst, '"')
	}
	return append(dst, 'i')
}

// change gives a toggle or a word another value once in a hundred reports.
func (st *fieldState) change() {
	if st.rng.IntN(100) == 0 {
		st.whole = st.rng.Int64N(int64(len(words)))
	}
}
