package lineproto

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrBodyTooLong refuses a body of 2 GiB or more: a string's place in the body is kept in 63 bits.
var ErrBodyTooLong = errors.New("lineproto: body is 2 GiB or longer")

// ErrMemory refuses a body whose batch would need more than
// [Options.MemoryBytesMax].
var ErrMemory = errors.New("lineproto: batch needs more memory than Options.MemoryBytesMax")

// SyntaxError says which lines of a body are malformed, and why.
type SyntaxError struct {
	// Line is the number of the physical line on which the first malformed line
	// starts, from 1.
	Line int
	// Malformed is how many lines are malformed.
	Malformed int
	// Lines are the first 100 of them, in order.
	Lines []MalformedLine
}

// MalformedLine is one line and what is wrong with it.
type MalformedLine struct {
	// Line is the number of the physical line on which it starts, from 1.
	Line int
	// Text is the line, cut at 1 KiB.
	Text string
	// Reason is why it is malformed.
	Reason string
}

const (
	// malformedLinesMax is how many malformed lines a SyntaxError has.
	malformedLinesMax = 100
	// quotedBytesMax is where a quoted line, or a number in a reason, is cut.
	quotedBytesMax = 1 << 10
)

// Error is the message of the wire contract: one entry for each of the first 100
// malformed lines, each line cut at 1 KiB, then how many more there are.
func (e *SyntaxError) Error() string {
	var text strings.Builder
	for i := range e.Lines {
		if i > 0 {
			text.WriteByte('\n')
		}
		l := &e.Lines[i]
		text.WriteString("unable to parse '")
		text.WriteString(l.Text)
		text.WriteString("': ")
		text.WriteString(l.Reason)
	}
	if more := e.Malformed - len(e.Lines); more > 0 {
		text.WriteString("\n(" + strconv.Itoa(more) + " more malformed lines)")
	}
	return text.String()
}

func (e *SyntaxError) add(line []byte, number int, reason string) {
	e.Malformed++
	if e.Malformed == 1 {
		e.Line = number
	}
	if len(e.Lines) < malformedLinesMax {
		e.Lines = append(e.Lines, MalformedLine{number, string(cut(line)), reason})
	}
}

// cut shortens b to quotedBytesMax, without splitting a rune if it is valid.
func cut(b []byte) []byte {
	if len(b) <= quotedBytesMax {
		return b
	}
	for n := quotedBytesMax; n > quotedBytesMax-utf8.UTFMax; n-- {
		if utf8.RuneStart(b[n]) {
			return b[:n]
		}
	}
	return b[:quotedBytesMax]
}

// The reasons why a line is malformed. Clients match on them.
const (
	missingMeasurement = "missing measurement"
	missingFields      = "missing fields"
	missingTagKey      = "missing tag key"
	missingTagValue    = "missing tag value"
	invalidTagFormat   = "invalid tag format"
	duplicateTags      = "duplicate tags"
	missingFieldKey    = "missing field key"
	missingFieldValue  = "missing field value"
	invalidFieldFormat = "invalid field format"
	invalidNumber      = "invalid number"
	invalidFloat       = "invalid float"
	invalidBoolean     = "invalid boolean"
	unbalancedQuotes   = "unbalanced quotes"
	badTimestamp       = "bad timestamp"
	timeOutsideRange   = "time outside range -9223372036854775806 - 9223372036854775806"
	pointIsInvalid     = "point is invalid"
)

func reservedTagKey(key []byte) string {
	return "cannot use reserved tag key " + strconv.Quote(string(key))
}

func keyTooLong(n int) string {
	return "max key length exceeded: " + strconv.Itoa(n) + " > " + strconv.Itoa(keyBytesMax)
}

func integerOutOfRange(text []byte) string {
	return "unable to parse integer " + string(cut(text)) + ": " + outOfRange("ParseInt", text)
}

func unsignedOutOfRange(text []byte) string {
	return "unable to parse unsigned " + string(cut(text)) + ": " + outOfRange("ParseUint", text)
}

func outOfRange(parse string, text []byte) string {
	return "strconv." + parse + `: parsing "` + string(cut(text)) + `": value out of range`
}

const loneMinus = `strconv.ParseInt: parsing "-": invalid syntax`
