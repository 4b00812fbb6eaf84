package csvline

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options says how to read.
type Options struct {
	// Headers are lines that go before those of the input: annotations or a header row.
	Headers []string
	// SkipLines is how many lines of the input to leave out at its beginning.
	SkipLines int
	// IgnoreTypesInLabels takes "a|b" for a label rather than label and type.
	IgnoreTypesInLabels bool
	// Unit is what timestamps count, 1 (ns, the default) to time.Second. Cells of
	// dateTime:number count it already.
	Unit time.Duration
	// Skip is asked about rows that cannot be converted. They are left out when it returns
	// nil. Without Skip the first one ends the conversion.
	Skip func(*RowError) error
}

// RowError is why a row is no point.
type RowError struct {
	// Line is where the row begins in the input, from 1. It means nothing if Header is set.
	Line int
	// Header is which of Options.Headers the row is, from 1; 0 if it is of the input.
	Header int
	// Column is the label of the column at fault, "" when it is none.
	Column string
	Err    error
	// Row is the row's cells.
	Row []string
}

func (e *RowError) Error() string {
	where := fmt.Sprintf("line %d", e.Line)
	if e.Header > 0 {
		where = fmt.Sprintf("header %d", e.Header)
	}
	if e.Column == "" {
		return fmt.Sprintf("%s: %v", where, e.Err)
	}
	return fmt.Sprintf("%s, column %q: %v", where, e.Column, e.Err)
}

func (e *RowError) Unwrap() error { return e.Err }

// Convert reads CSV from r and gives each row to point: the line of the input where it
// begins, and the line of line protocol with its newline, which is only good until point returns.
func Convert(r io.Reader, o Options, point func(line int, text []byte) error) error {
	if o.Unit <= 0 {
		o.Unit = 1
	}
	in := bufio.NewReader(r)
	if b, err := in.Peek(3); err == nil && string(b) == "\ufeff" {
		in.Discard(3)
	}
	for range o.SkipLines {
		if err := skipLine(in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	head := strings.Join(o.Headers, "\n")
	lines := o.SkipLines
	if head != "" {
		head += "\n"
		lines -= strings.Count(head, "\n")
	}
	headers := strings.Count(head, "\n")
	header := func(at int) int {
		if at > headers {
			return 0
		}
		return at
	}
	rows := csv.NewReader(io.MultiReader(strings.NewReader(head), in))
	rows.FieldsPerRecord, rows.ReuseRecord = -1, true
	t := &table{o: &o}
	var buf []byte
	for {
		cells, err := rows.Read()
		if err == io.EOF {
			return nil
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			e := &RowError{Line: max(1, syntax.Line+lines), Header: header(syntax.Line), Err: syntax.Err, Row: slices.Clone(cells)}
			if o.Skip == nil {
				return e
			}
			if err := o.Skip(e); err != nil {
				return err
			}
			continue
		} else if err != nil {
			return err
		}
		at, _ := rows.FieldPos(0)
		line := at + lines
		fault := func(err error) error {
			e, ok := errors.AsType[*RowError](err)
			if !ok {
				e = &RowError{Err: err}
			}
			e.Line, e.Header, e.Row = max(1, line), header(at), slices.Clone(cells)
			return e
		}
		switch {
		case strings.HasPrefix(cells[0], "#"):
			if t.columns != nil && isAnnotation(cells[0]) {
				t = &table{o: &o}
			}
			if err := t.annotate(cells); err != nil {
				return fault(err)
			}
		case t.columns == nil:
			if err := t.header(cells); err != nil {
				return fault(err)
			}
		default:
			buf, err = t.row(buf[:0], cells)
			if err == nil {
				if err := point(line, buf); err != nil {
					return err
				}
			} else if err = fault(err); o.Skip == nil {
				return err
			} else if err := o.Skip(err.(*RowError)); err != nil {
				return err
			}
		}
	}
}

func skipLine(in *bufio.Reader) error {
	for {
		_, err := in.ReadSlice('\n')
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}
