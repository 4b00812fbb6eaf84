package httpfront

import (
	"github.com/prometheus/client_golang/prometheus"

	"headgate/engine"
)

// collectStats shows the engine as it is now.
func collectStats(st engine.Stats, ch chan<- prometheus.Metric) {
	gaugeOf(ch, "headgate_gate_bytes", "Bytes of writes in flight that the gate has admitted: the queue's depth.", float64(st.Gate.Bytes))
	gaugeOf(ch, "headgate_gate_bytes_max", "Most bytes that the gate admits.", float64(st.Gate.BytesMax))
	gaugeOf(ch, "headgate_gate_requests", "Writes in flight.", float64(st.Gate.Requests))
	gaugeOf(ch, "headgate_gate_waiting", "Writes that wait for room.", float64(st.Gate.Waiting))
	gaugeOf(ch, "headgate_memory_bytes", "Memory that the buckets hold.", float64(st.MemoryBytes))
	gaugeOf(ch, "headgate_memory_bytes_max", "The memory budget, Options.MemoryBytesMax.", float64(st.MemoryBytesMax))
	gaugeOf(ch, "headgate_buckets", "Open buckets.", float64(st.Buckets))
	gaugeOf(ch, "headgate_buckets_unavailable", "Buckets out of service.", float64(st.Unavailable))
	gaugeOf(ch, "headgate_series", "Series of all buckets.", float64(st.Series))
	gaugeOf(ch, "headgate_points", "Points that the buckets hold.", float64(st.Points))
	gaugeOf(ch, "headgate_values", "Field values that the buckets hold.", float64(st.Values))
}
