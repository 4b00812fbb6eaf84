// Package python runs influxdb-python, the Python client for InfluxDB 1 that Debian
// has as python3-influxdb, against a Headgate server. The test is skipped where no
// Python has it.
package python
