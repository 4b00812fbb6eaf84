// Package node runs InfluxDB's JavaScript client, @influxdata/influxdb-client and
// its -apis, against a Headgate server. The test gets the two packages with npm into
// a folder of its own, and is skipped where it cannot.
package node
