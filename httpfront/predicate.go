package httpfront

import (
	"fmt"
	"strings"

	"github.com/influxdata/influxql"

	"headgate/engine"
)

// parsePredicate reads the predicate of a deletion: conditions `key = value` and
// `key != value` joined by AND, in parentheses where wanted. All of them must
// hold, so the grouping means nothing once it has been checked. An empty text is
// no condition at all.
//
// Tokens are InfluxQL's, and so are the positions in errors.
func parsePredicate(text string) ([]engine.TagCondition, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	p := predicate{scanner: influxql.NewScanner(strings.NewReader(text))}
	depth := 0
	wantOperand := true // a condition or a parenthesis comes next, not AND
	for {
		t := p.next()
		switch t.kind {
		case influxql.LPAREN:
			if !wantOperand {
				return nil, fmt.Errorf("bad logical expression, at position %d", t.char)
			}
			depth++
		case influxql.RPAREN:
			if depth--; depth < 0 {
				return nil, fmt.Errorf("extra ) seen")
			}
			if wantOperand {
				return nil, fmt.Errorf("bad logical expression, at position %d", t.char)
			}
		case influxql.AND:
			if wantOperand {
				return nil, fmt.Errorf("bad logical expression, at position %d", t.char)
			}
			wantOperand = true
		case influxql.OR:
			return nil, fmt.Errorf("the logical operator OR is not supported yet at position %d", t.char)
		case influxql.IDENT, influxql.NAME, influxql.NUMBER, influxql.INTEGER:
			if !wantOperand {
				return nil, fmt.Errorf("bad logical expression, at position %d", t.char)
			}
			if err := p.condition(t); err != nil {
				return nil, err
			}
			wantOperand = false
		case influxql.EOF:
			if depth > 0 {
				return nil, fmt.Errorf("extra ( seen")
			}
			if wantOperand {
				return nil, fmt.Errorf("bad logical expression, at position %d", t.char)
			}
			return p.conditions, nil
		default:
			return nil, fmt.Errorf("bad logical expression, at position %d", t.char)
		}
	}
}

type predicate struct {
	scanner    *influxql.Scanner
	conditions []engine.TagCondition
}

type predicateToken struct {
	kind influxql.Token
	char int
	text string
}

func (p *predicate) next() predicateToken {
	for {
		kind, pos, text := p.scanner.Scan()
		if kind != influxql.WS && kind != influxql.COMMENT {
			return predicateToken{kind, pos.Char, text}
		}
	}
}

// condition reads what follows the key.
func (p *predicate) condition(key predicateToken) error {
	var c engine.TagCondition
	switch key.kind {
	case influxql.IDENT:
		c.Key = key.text
	case influxql.NAME:
		c.Key = "name" // a keyword of InfluxQL, and a common tag
	default:
		return fmt.Errorf("bad tag key, at position %d", key.char)
	}
	switch op := p.next(); op.kind {
	case influxql.EQ:
	case influxql.NEQ:
		c.Not = true
	case influxql.EQREGEX, influxql.NEQREGEX:
		return fmt.Errorf("operator: %q at position: %d is not supported yet", op.kind.String(), op.char)
	default:
		return fmt.Errorf("invalid operator %q at position: %d", op.kind.String(), op.char)
	}
	v := p.next()
	for v.kind == influxql.SUB {
		c.Value = "-"
		v = p.next()
	}
	switch v.kind {
	case influxql.IDENT, influxql.DURATIONVAL, influxql.NUMBER, influxql.INTEGER:
		c.Value += v.text
	case influxql.TRUE:
		c.Value = "true"
	case influxql.FALSE:
		c.Value = "false"
	default:
		return fmt.Errorf("bad tag value: %q, at position %d", v.text, v.char)
	}
	p.conditions = append(p.conditions, c)
	return nil
}
