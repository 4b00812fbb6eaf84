// Package shell runs influx, the shell of InfluxDB 1 that Debian has as
// influxdb-client, against a Headgate server: -execute, INSERT, -import. The test is
// skipped where there is none.
package shell
