module headgate/engine/lineproto/difftest

go 1.26.0

require github.com/influxdata/influxdb/v2 v2.7.12

replace headgate => ../../..
