package httpfront

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"headgate/engine"
)

// collectStats shows the engine as it is now.
func collectStats(st engine.Stats, points uint64, ch chan<- prometheus.Metric) {
	gaugeOf(ch, "headgate_gate_bytes", "Bytes of writes in flight that the gate has admitted: the queue's depth.", float64(st.Gate.Bytes))
	gaugeOf(ch, "headgate_gate_bytes_max", "Most bytes that the gate admits.", float64(st.Gate.BytesMax))
	gaugeOf(ch, "headgate_gate_requests", "Writes in flight.", float64(st.Gate.Requests))
	gaugeOf(ch, "headgate_gate_waiting", "Writes that wait for room.", float64(st.Gate.Waiting))
	gaugeOf(ch, "headgate_memory_bytes", "Memory that the buckets hold.", float64(st.MemoryBytes))
	gaugeOf(ch, "headgate_memory_bytes_max", "The memory budget, Options.MemoryBytesMax.", float64(st.MemoryBytesMax))
	gaugeOf(ch, "headgate_buckets", "Open buckets.", float64(st.Buckets))
	gaugeOf(ch, "headgate_buckets_unavailable", "Buckets out of service.", float64(st.Unavailable))
	gaugeOf(ch, "headgate_series", "Series of all buckets.", float64(st.Series))
	gaugeOf(ch, "headgate_memtable_bytes", "Memory of points that are not in the data store yet.", float64(st.MemtableBytes))
	gaugeOf(ch, "headgate_store_parts", "Parts in the data store.", float64(st.Parts))
	gaugeOf(ch, "headgate_store_blocks", "Blocks in the data store.", float64(st.Blocks))
	gaugeOf(ch, "headgate_store_block_bytes", "Bytes of those blocks.", float64(st.BlockBytes))
	counterOf(ch, "headgate_store_flushes_total", "Memtables written to the data store.", float64(st.IO.Flushes))
	counterOf(ch, "headgate_store_flushed_values_total", "Field values written by flushes.", float64(st.IO.FlushedValues))
	counterOf(ch, "headgate_store_flushed_bytes_total", "Block bytes written by flushes.", float64(st.IO.FlushedBytes))
	counterOf(ch, "headgate_store_compactions_total", "Compactions.", float64(st.IO.Compactions))
	counterOf(ch, "headgate_store_compacted_values_total", "Field values written by compactions.", float64(st.IO.CompactedValues))
	counterOf(ch, "headgate_store_compacted_bytes_total", "Block bytes written by compactions.", float64(st.IO.CompactedBytes))
	counterOf(ch, "headgate_store_deletes_total", "Deletes applied to the data store.", float64(st.IO.Deletes))
	counterOf(ch, "headgate_store_expired_parts_total", "Parts dropped because all their points had expired.", float64(st.IO.ExpiredParts))
	counterOf(ch, "headgate_store_failures_total", "Flushes and compactions that have failed; they are tried again.", float64(st.DataFailures))
	counterOf(ch, "headgate_store_flush_failures_total", "Rounds of flushing among them.", float64(st.Keeper.FlushFailures))
	counterOf(ch, "headgate_store_compaction_failures_total", "Compactions among them.", float64(st.Keeper.CompactionFailures))
	gaugeOf(ch, "headgate_store_damaged_files", "Files of the data store that are known to be damaged: queries of what is in them fail.", float64(st.Data.DamagedFiles))
	histogramOf(ch, flushSecondsDesc, &st.Keeper.Flushes)
	histogramOf(ch, compactionSecondsDesc, &st.Keeper.Compactions)
	gaugeOf(ch, "headgate_store_flush_backlog_bytes", "Bytes of the log that are in frozen memtables and wait to be flushed.", float64(st.Keeper.FlushBacklogBytes))
	gaugeOf(ch, "headgate_store_compaction_backlog_buckets", "Buckets that wait for a compaction, or for a look whether they need one.", float64(st.Keeper.CompactionBacklog))
	gaugeOf(ch, "headgate_store_garbage_bytes", "Bytes of removed parts that still take space on disk.", float64(st.Data.GarbageBytes))
	gaugeOf(ch, "headgate_store_disk_bytes", "What the data store occupies on disk.", float64(st.Data.DiskBytes))
	gaugeOf(ch, "headgate_points", "Points that the buckets hold.", float64(st.Points))
	gaugeOf(ch, "headgate_values", "Field values that the buckets hold.", float64(st.Values))

	log := &st.Log
	counterOf(ch, "headgate_wal_syncs_total", "Commits of the log, each with one sync to disk.", float64(log.Groups))
	counterOf(ch, "headgate_wal_records_total", "Records that the log has made durable.", float64(log.Records))
	counterOf(ch, "headgate_wal_record_bytes_total", "Their bytes.", float64(log.RecordBytes))
	counterOf(ch, "headgate_wal_rewritten_bytes_total", "How much of them was written a second time, because it was truncated too late.", float64(log.RewrittenBytes))
	gaugeOf(ch, "headgate_wal_pending_records", "Records that wait for a sync.", float64(log.PendingRecords))
	gaugeOf(ch, "headgate_wal_pending_bytes", "Their bytes.", float64(log.PendingBytes))
	gaugeOf(ch, "headgate_wal_disk_bytes", "What the log occupies on disk.", float64(log.DiskBytes))
	if log.Groups > 0 {
		gaugeOf(ch, "headgate_points_per_sync", "Points written for each sync, on average since the start.", float64(points)/float64(log.Groups))
	}
	histogramOf(ch, syncSecondsDesc, &log.SyncLatency)
	collectDisk(&st.Disk, ch)
}

var buildDesc = prometheus.NewDesc("headgate_build_info", "Always 1; the labels say what the server was built from.", []string{"version", "commit", "goversion"}, nil)

// collectBuild shows which server this is.
func collectBuild(o *Options, ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(buildDesc, prometheus.GaugeValue, 1, o.Version, o.Commit, runtime.Version())
}

// collectConveniences shows what is kept of rejected points and of Idempotency-Keys.
func collectConveniences(s *Server, ch chan<- prometheus.Metric) {
	r := s.engine.RejectedStats()
	gaugeOf(ch, "headgate_rejected_points_kept", "Rejected points that GET /api/v2/rejected can show.", float64(r.Points))
	gaugeOf(ch, "headgate_rejected_bytes", "Memory that they take.", float64(r.Bytes))
	gaugeOf(ch, "headgate_rejected_followers", "Clients that follow rejected points.", float64(s.followers.count.Load()))
	k := s.idempotency.stats()
	gaugeOf(ch, "headgate_idempotency_keys", "Idempotency-Keys that are remembered.", float64(k.keys))
	gaugeOf(ch, "headgate_idempotency_bytes", "Memory that they and their answers take.", float64(k.bytes))
	counterOf(ch, "headgate_idempotency_replays_total", "Writes that were answered by their Idempotency-Key, and not written again.", float64(k.replayed))
	counterOf(ch, "headgate_idempotency_mismatches_total", "Writes that were refused because their Idempotency-Key belongs to another body.", float64(k.mismatched))
	counterOf(ch, "headgate_idempotency_forgotten_total", "Idempotency-Keys that were forgotten before their time, because there were too many.", float64(k.forgotten))
}

// collectDisk shows the fullest of the file systems that log and data are on.
func collectDisk(d *engine.DiskState, ch chan<- prometheus.Metric) {
	if d.Dir == "" {
		return
	}
	full, blind := 0.0, 0.0
	if d.Full {
		full = 1
	}
	if d.Err != nil {
		blind = 1
	}
	gaugeOf(ch, "headgate_disk_free_bytes", "Free space of the fullest file system that log or data are on.", float64(d.Free))
	gaugeOf(ch, "headgate_disk_bytes", "Size of that file system.", float64(d.Total))
	gaugeOf(ch, "headgate_disk_owed_bytes", "How much of the free space is spoken for by what has yet to be flushed and by missing ballast.", float64(d.Owed))
	gaugeOf(ch, "headgate_disk_free_min_bytes", "The mark: with less free, apart from what is owed, writes are refused.", float64(d.FreeMin))
	gaugeOf(ch, "headgate_disk_full", "1 while writes are refused because of that mark.", full)
	gaugeOf(ch, "headgate_disk_unknown", "1 while the file system cannot be asked for its free space.", blind)
	gaugeOf(ch, "headgate_ballast_bytes", "What the ballast takes; 0 when it has been given up.", float64(d.BallastBytes))
	gaugeOf(ch, "headgate_ballast_bytes_max", "What the ballast should take.", float64(d.BallastBytesMax))
}

// histogramOf shows what the engine has observed.
func histogramOf(ch chan<- prometheus.Metric, desc *prometheus.Desc, h *engine.Histogram) {
	bounds := make(map[float64]uint64, h.Bounds())
	below := uint64(0)
	for i := range h.Bounds() {
		below += h.Buckets[i]
		bounds[h.Bound(i).Seconds()] = below
	}
	ch <- prometheus.MustNewConstHistogram(desc, h.Count, h.Sum.Seconds(), bounds)
}

var (
	flushSecondsDesc      = prometheus.NewDesc("headgate_store_flush_seconds", "Time that each flush took.", nil, nil)
	compactionSecondsDesc = prometheus.NewDesc("headgate_store_compaction_seconds", "Time that each compaction took.", nil, nil)
)

var syncSecondsDesc = prometheus.NewDesc("headgate_wal_sync_seconds", "Time to write and sync one commit of the log.", nil, nil)
