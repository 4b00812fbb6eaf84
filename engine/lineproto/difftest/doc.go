// Package difftest compares engine/lineproto with the line protocol parser of
// InfluxDB v2, influxdb/v2/models v2.7.12. It is a module of its own so that
// nothing else depends on InfluxDB.
//
//	go test                       # recorded, random and mutated bodies
//	go test -fuzz FuzzParse       # for as long as you like
//
// Where the two differ on purpose, differences.go has a row; anything else fails.
package difftest
