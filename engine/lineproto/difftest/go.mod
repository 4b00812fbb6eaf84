module headgate/engine/lineproto/difftest

go 1.26.0

require (
	github.com/influxdata/influxdb/v2 v2.7.12
	headgate v0.0.0-00010101000000-000000000000
)

replace headgate => ../../..
