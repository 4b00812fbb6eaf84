// Package cli holds the commands of headgate that ask a server: write, query, export,
// bucket, org, token, user, setup, delete, ping, status, config and completion. Names and
// flags are those of InfluxDB's influx command where it has them.
//
// A command finds the server and its token, organization and bucket in its flags, else in
// HEADGATE_HOST, HEADGATE_TOKEN, HEADGATE_ORG and HEADGATE_BUCKET, else in the same
// variables that begin with INFLUX_, else in the active profile of the configuration file.
package cli
