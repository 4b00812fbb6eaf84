// Package clienttest drives a Headgate server over a real socket with the clients
// that people use: influxdb-client-go v2 and influxdb1-client v2 here, Telegraf's
// outputs in the module below, the JavaScript client, influxdb-python and the influx
// shell of InfluxDB 1 in the folders node, python and shell, where they can be had.
// It is a module of its own so that the server does not depend on its clients.
//
//	go test ./...
//
// The tests see what a client shows its caller: a status that a client does not
// understand, or an error text that it does not surface, fails here although the
// answer itself may be as documented.
//
// Start opens the engine and the server in the test's process. What the clients
// leave running is the test's to close, before the server: register it with
// Cleanup after Start.
package clienttest
