package csvline

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// part is what a column is in a line.
type part uint8

const (
	partField part = iota
	partMeasurement
	partTag
	partTime
	partFieldName  // _field
	partFieldValue // _value
	partIgnored
)

// column is one column of a table.
type column struct {
	label    string
	part     part
	typed    bool   // part or dataType was told
	dataType string // "" is a value as line protocol writes it
	format   string
	fallback string
	// index is the cell, -1 for what is the same in all rows or made of others.
	index    int
	template string // of #concat, with ${label}
}

// table is what is known of the rows that follow.
type table struct {
	o                        *Options
	types, groups, fallbacks []string
	extra                    []*column // #constant and #concat
	zone                     *time.Location
	columns                  []*column // nil before the header
	byLabel                  map[string]int
	measurement, time        *column
	fieldName, fieldValue    *column
	tags, fields             []*column
}

var annotations = []string{"#datatype", "#group", "#default", "#constant", "#concat", "#timezone"}

func isAnnotation(cell string) bool {
	name, _, _ := strings.Cut(strings.TrimSpace(cell), " ")
	for _, a := range annotations {
		if strings.EqualFold(a, name) {
			return true
		}
	}
	return false
}

// annotate reads a row that begins with #.
func (t *table) annotate(cells []string) error {
	name, first, spaced := strings.Cut(strings.TrimSpace(cells[0]), " ")
	if !isAnnotation(name) {
		return nil
	}
	// With a comma the annotation has a column of its own, which is empty in other rows.
	values := append([]string{strings.TrimSpace(first)}, cells[1:]...)
	args := values
	if !spaced {
		args = values[1:]
	}
	switch strings.ToLower(name) {
	case "#datatype":
		t.types = values
	case "#group":
		t.groups = values
	case "#default":
		t.fallbacks = values
	case "#timezone":
		if len(args) == 0 {
			return errors.New("#timezone names no time zone")
		}
		var err error
		t.zone, err = location(strings.TrimSpace(args[0]))
		return err
	case "#constant", "#concat":
		for len(args) > 0 && strings.TrimSpace(args[len(args)-1]) == "" {
			args = args[:len(args)-1] // spreadsheets fill up rows
		}
		if len(args) < 2 {
			return fmt.Errorf("%s needs a type, a label unless it is measurement or dateTime, and a value", name)
		}
		c := &column{index: -1}
		if err := c.setType(args[0]); err != nil {
			return err
		}
		value := args[len(args)-1]
		if len(args) > 2 {
			c.label, value = args[1], args[2]
		}
		if c.label == "" && (c.part == partField || c.part == partTag) {
			return fmt.Errorf("%s %s needs a label", name, args[0])
		}
		if strings.EqualFold(name, "#concat") {
			c.template = value
		} else {
			c.fallback = value
		}
		t.extra = append(t.extra, c)
	}
	return nil
}

// setType reads what a column is, such as tag or long:strict.
func (c *column) setType(text string) error {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	name, format, _ := strings.Cut(text, ":")
	c.typed, c.format = true, format
	switch strings.ToLower(name) {
	case "measurement":
		c.part = partMeasurement
	case "tag":
		c.part = partTag
	case "field":
		c.part = partField
	case "ignore", "ignored":
		c.part = partIgnored
	case "time":
		c.part, c.dataType = partTime, "dateTime"
	default:
		for _, known := range dataTypes {
			if strings.EqualFold(known, name) {
				c.dataType = known
				if known == "dateTime" {
					c.part = partTime
				}
				return checkFormat(c)
			}
		}
		return fmt.Errorf("%q is no type: use measurement, tag, field, ignored, %s", name, strings.Join(dataTypes, ", "))
	}
	return nil
}

// header reads the labels.
func (t *table) header(cells []string) error {
	t.columns = make([]*column, 0, len(cells)+len(t.extra))
	t.byLabel = make(map[string]int)
	at := func(row []string, i int) string {
		if i < len(row) {
			return row[i]
		}
		return ""
	}
	for i, cell := range cells {
		c := &column{label: strings.TrimSpace(cell), index: i, fallback: at(t.fallbacks, i)}
		if !t.o.IgnoreTypesInLabels {
			if label, rest, ok := strings.Cut(c.label, "|"); ok {
				c.label = label
				kind, fallback, has := strings.Cut(rest, "|")
				if has {
					c.fallback = fallback
				}
				if err := c.setType(kind); err != nil {
					return &RowError{Column: label, Err: err}
				}
			}
		}
		if !c.typed {
			if err := c.setType(at(t.types, i)); err != nil {
				return &RowError{Column: c.label, Err: err}
			}
		}
		c.guess(strings.TrimSpace(at(t.groups, i)))
		t.byLabel[c.label] = i
		t.columns = append(t.columns, c)
	}
	for _, c := range t.extra {
		c.guess("")
		t.columns = append(t.columns, c)
	}
	for _, c := range t.columns {
		switch c.part {
		case partMeasurement:
			t.measurement = c
		case partTime:
			t.time = c
		case partFieldName:
			t.fieldName = c
		case partFieldValue:
			t.fieldValue = c
		case partTag:
			t.tags = append(t.tags, c)
		case partField:
			t.fields = append(t.fields, c)
		}
	}
	if t.fieldName != nil && t.fieldValue != nil {
		t.fields = nil // what else there is, such as result and table, is about the query
	} else if t.fieldValue != nil {
		t.fields, t.fieldValue = append(t.fields, t.fieldValue), nil
	}
	if t.measurement == nil {
		return errors.New(`no column is the measurement: annotate one, or add --header "#constant measurement,NAME"`)
	}
	return nil
}

// guess says what a column is by label and group when its type leaves that open.
func (c *column) guess(group string) {
	told := c.part != partField || c.typed && c.dataType == ""
	switch {
	case c.label == "_measurement" && c.part != partIgnored:
		c.part = partMeasurement
	case c.label == "_field" && c.part != partIgnored:
		c.part = partFieldName
	case c.label == "_value" && c.part != partIgnored:
		c.part = partFieldValue
	case (c.label == "_time" || c.label == "time") && (!told || c.part == partTime):
		c.part = partTime
		if c.dataType == "" {
			c.dataType = "dateTime"
		}
	case c.label == "_start" || c.label == "_stop":
		c.part = partIgnored
	case c.label == "" && c.index >= 0 && (c.part == partField || c.part == partTag):
		c.part = partIgnored
	case group == "true" && !told:
		c.part = partTag
	case c.part == partTime && c.index >= 0 && c.label != "_time" && strings.HasPrefix(c.label, "_"):
		c.part = partIgnored
	}
}

// value is a column's cell in a row, or what stands for it.
func (t *table) value(c *column, cells []string) string {
	if c.template != "" {
		return t.expand(c.template, cells)
	}
	if c.index >= 0 && c.index < len(cells) && cells[c.index] != "" {
		return cells[c.index]
	}
	return c.fallback
}

// expand puts cells in place of ${label}. What names no column stays.
func (t *table) expand(template string, cells []string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(template, "${")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		label, after, closed := strings.Cut(rest, "}")
		i, known := t.byLabel[label]
		if !closed || !known {
			b.WriteString("${")
			template = rest
			continue
		}
		b.WriteString(t.value(t.columns[i], cells))
		template = after
	}
}

// row appends a row's line.
func (t *table) row(dst []byte, cells []string) ([]byte, error) {
	name := t.value(t.measurement, cells)
	if name == "" {
		return dst, &RowError{Column: t.measurement.label, Err: errors.New("no measurement")}
	}
	if err := errors.Join(checkName(name), checkStart(name)); err != nil {
		return dst, &RowError{Column: t.measurement.label, Err: err}
	}
	if name[0] == '#' {
		return dst, &RowError{Column: t.measurement.label, Err: errors.New("a measurement that begins with # would be a comment")}
	}
	dst = appendEscaped(dst, name, ", ")
	for _, c := range t.tags {
		v := t.value(c, cells)
		if v == "" {
			continue
		}
		if err := errors.Join(checkName(c.label), checkName(v)); err != nil {
			return dst, &RowError{Column: c.label, Err: err}
		}
		dst = append(dst, ',')
		dst = appendEscaped(dst, c.label, ", =")
		dst = append(dst, '=')
		dst = appendEscaped(dst, v, ", =")
	}
	separator := byte(' ')
	field := func(label string, c *column) error {
		v := t.value(c, cells)
		if v == "" {
			return nil
		}
		err := checkField(label)
		if err == nil {
			dst = append(dst, separator)
			dst = appendEscaped(dst, label, ", =")
			dst = append(dst, '=')
			dst, err = appendValue(dst, v, c, t.zone)
		}
		if err != nil {
			return &RowError{Column: c.label, Err: err}
		}
		separator = ','
		return nil
	}
	for _, c := range t.fields {
		if err := field(c.label, c); err != nil {
			return dst, err
		}
	}
	if t.fieldName != nil && t.fieldValue != nil {
		label := t.value(t.fieldName, cells)
		if label == "" {
			return dst, &RowError{Column: t.fieldName.label, Err: errors.New("no name of a field")}
		}
		if err := field(label, t.fieldValue); err != nil {
			return dst, err
		}
	}
	if separator == ' ' {
		return dst, errors.New("no field has a value")
	}
	if t.time != nil {
		if v := strings.TrimSpace(t.value(t.time, cells)); v != "" {
			ts, counted, err := parseTime(v, t.time.format, t.zone)
			if err != nil {
				return dst, &RowError{Column: t.time.label, Err: err}
			}
			if !counted {
				unit := int64(t.o.Unit)
				if ts%unit < 0 {
					ts -= unit
				}
				ts /= unit
			}
			dst = append(dst, ' ')
			dst = strconv.AppendInt(dst, ts, 10)
		}
	}
	return append(dst, '\n'), nil
}
