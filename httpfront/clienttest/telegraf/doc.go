// Package telegraf drives a Headgate server with Telegraf's own outputs, influxdb_v2
// and influxdb: what Telegraf takes as delivered, what it drops, what it keeps to
// send again. It is a module of its own because Telegraf's dependencies are many.
package telegraf
