// Package csvline makes line protocol of CSV, annotated as InfluxDB's tools annotate it.
//
// A table is annotation rows, a header row with the columns' labels, and data rows. The
// next annotation row after data begins another table. Annotations:
//
//	#datatype measurement,tag,dateTime:2006-01-02,double   what each column is
//	#group false,true,false,false                          true makes a tag
//	#default cpu,,,0                                       values for empty cells
//	#constant tag,region,eu                                a column that is the same in all rows
//	#concat string,name,${first} ${last}                   a column made of others
//	#timezone -0500                                        of times without one: offset or IANA name
//
// An annotation is separated from what follows by a blank, or by a comma, as in the answers
// of Flux, where the header's first cell is empty. Other rows that begin with # are comments.
// A header's cell may carry type and default itself: label|type|default.
//
// What a column is: measurement, tag, field, dateTime (or time), ignored (or ignore), or a field
// of a type: string, double, long, unsignedLong, boolean, duration (as nanoseconds) and
// base64Binary (as its base64 text). After a colon:
//
//	dateTime:RFC3339 | RFC3339Nano | number | a Go layout such as 2006-01-02 15:04
//	double:,.        the first character ends the whole part, the others are left out
//	long:strict      a fraction is an error rather than cut off
//	boolean:y,Y:n,N  what is true and what is false; either may be empty for everything else
//
// Without a type, _measurement, _time (or time), _field and _value are what they are in
// Flux, and any other column is a field whose cells are values as line protocol writes them.
//
// Convert is safe with any input: a row becomes one point, or an error that names row and column.
package csvline
