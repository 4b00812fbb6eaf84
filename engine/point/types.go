package point

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
)

// FieldType is the type of a field's values. The zero value is no type at all.
type FieldType uint8

// The field types of line protocol, in the order of their codes on disk. The
// codes are part of the record format and never change.
const (
	Float FieldType = 1 + iota
	Integer
	Unsigned
	String
	Boolean
)

var fieldTypeNames = [...]string{0: "unknown", Float: "float", Integer: "integer", Unsigned: "unsigned", String: "string", Boolean: "boolean"}

// String returns the name that InfluxDB uses in messages and in SHOW FIELD KEYS.
func (t FieldType) String() string {
	if int(t) < len(fieldTypeNames) {
		return fieldTypeNames[t]
	}
	return fieldTypeNames[0]
}

// Valid reports whether t is one of the five field types.
func (t FieldType) Valid() bool { return t >= Float && t <= Boolean }

// Precision is the unit of a batch's timestamps, as nanoseconds per unit.
type Precision int64

// The units of timestamps. The v2 API takes the first four; v1 takes all six.
const (
	Nanosecond  Precision = 1
	Microsecond Precision = 1e3
	Millisecond Precision = 1e6
	Second      Precision = 1e9
	Minute      Precision = 60e9
	Hour        Precision = 3600e9

	// AutoPrecision has each timestamp's magnitude tell its unit: s, ms, us or ns.
	// What does not tell is malformed.
	AutoPrecision Precision = -1
)

// Timestamps are nanoseconds since 1970-01-01T00:00:00Z. The two lowest int64
// values and the highest one are reserved, as they are in InfluxDB.
const (
	TimeMin int64 = math.MinInt64 + 2
	TimeMax int64 = math.MaxInt64 - 1
)

// ID names a bucket, an organization, a user or a token: 16 lower-case hex
// digits on the wire, never zero.
type ID uint64

// BucketID names one bucket of an engine.
type BucketID = ID

// ErrIDLength is the error for an id that is not 16 bytes long, in the words
// that clients of InfluxDB know.
var ErrIDLength = errors.New("id must have a length of 16 bytes")

// ErrInvalidID is the error for an id that is not hexadecimal, or is zero.
var ErrInvalidID = errors.New("invalid ID")

// ParseID reads 16 lower- or upper-case hex digits.
func ParseID(s string) (ID, error) {
	if len(s) != 16 {
		return 0, ErrIDLength
	}
	var b [8]byte
	if _, err := hex.Decode(b[:], []byte(s)); err != nil {
		return 0, ErrInvalidID
	}
	id := ID(binary.BigEndian.Uint64(b[:]))
	if id == 0 {
		return 0, ErrInvalidID
	}
	return id, nil
}

// String writes id as 16 lower-case hex digits.
func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// MarshalText makes ids JSON strings.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// MeasurementID names a measurement inside one bucket. Ids are handed out from 1
// by the bucket actor and never reused.
type MeasurementID uint32

// FieldID names a field inside one measurement, from 1.
type FieldID uint32

// SeriesID names a series inside one bucket, from 1, at most [SeriesIDMax].
type SeriesID uint32

// SeriesRef is how a batch's row names its series: a [SeriesID] that the bucket
// has handed out, or, with [NewSeriesBit] set, an index into [Batch.NewSeries].
type SeriesRef uint32

// NewSeriesBit marks a SeriesRef that points into Batch.NewSeries.
const NewSeriesBit SeriesRef = 1 << 31

// SeriesIDMax is the largest id that a bucket hands out.
const SeriesIDMax SeriesID = 1<<31 - 1

// IsNew reports whether the series is not known to the bucket yet.
func (r SeriesRef) IsNew() bool { return r&NewSeriesBit != 0 }

// NewIndex is the index into Batch.NewSeries. Only for refs that are new.
func (r SeriesRef) NewIndex() int { return int(r &^ NewSeriesBit) }

// ID is the series id. Only for refs that are not new.
func (r SeriesRef) ID() SeriesID { return SeriesID(r) }

// Tag is one key and value of a tag set, unescaped.
type Tag struct{ Key, Value string }

// AppendSeriesKey appends the canonical key of a series: measurement and tags
// escaped as in line protocol. Tags must be sorted by key.
func AppendSeriesKey(dst []byte, measurement string, tags []Tag) []byte {
	dst = appendEscaped(dst, measurement, ", ")
	for _, t := range tags {
		dst = append(dst, ',')
		dst = appendEscaped(dst, t.Key, ",= ")
		dst = append(dst, '=')
		dst = appendEscaped(dst, t.Value, ",= ")
	}
	return dst
}

func appendEscaped(dst []byte, s, special string) []byte {
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(special, s[i]) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

// ParseSeriesKey splits a canonical series key into its unescaped measurement and
// tags, in the order of the key. The strings are copies.
func ParseSeriesKey(key []byte) (measurement string, tags []Tag) {
	i := endOf(key, 0, ',')
	measurement = Unescape(key[:i], ", ")
	for i < len(key) {
		i++ // the comma
		k := endOf(key, i, '=')
		v := endOf(key, min(k+1, len(key)), ',')
		tags = append(tags, Tag{Unescape(key[i:k], ",= "), Unescape(key[min(k+1, len(key)):v], ",= ")})
		i = v
	}
	return measurement, tags
}

// endOf finds the next c at or after i without a backslash before it, or the end
// of b. Of two backslashes the first stands for itself, as in line protocol.
func endOf(b []byte, i int, c byte) int {
	for start := i; i < len(b); i++ {
		if b[i] == c && (i == start || b[i-1] != '\\') {
			return i
		}
	}
	return len(b)
}

// Unescape removes the backslash before each byte of special. Other backslashes
// stand for themselves, as they do in line protocol.
func Unescape(b []byte, special string) string {
	var sb strings.Builder
	sb.Grow(len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && strings.IndexByte(special, b[i+1]) >= 0 {
			i++
		}
		sb.WriteByte(b[i])
	}
	return sb.String()
}
