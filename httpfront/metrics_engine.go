package httpfront

import (
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
	h := &log.SyncLatency
	bounds := make(map[float64]uint64, h.Bounds())
	below := uint64(0)
	for i := range h.Bounds() {
		below += h.Buckets[i]
		bounds[h.Bound(i).Seconds()] = below
	}
	ch <- prometheus.MustNewConstHistogram(syncSecondsDesc, h.Count, h.Sum.Seconds(), bounds)
}

var syncSecondsDesc = prometheus.NewDesc("headgate_wal_sync_seconds", "Time to write and sync one commit of the log.", nil, nil)
