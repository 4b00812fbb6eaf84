package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// readAll reads back everything that the server has and compares it with the
// ledger. Nobody writes meanwhile.
func (c *crasher) readAll(ctx context.Context) error {
	q := newQueryClient(c.server.target)
	defer q.close()
	a := newAudit(c.ledger)
	for d := range crashDatabases {
		database := crashDatabase(d)
		for m := range crashMeasurements {
			measurement := crashMeasurement(m)
			err := q.run(ctx, database, "SELECT * FROM "+measurement, func(r *queryRow) error {
				p, err := storedPointOf(database, r)
				if err != nil {
					return err
				}
				a.add(p)
				return nil
			})
			if err != nil {
				return err
			}
		}
		if err := c.readSchema(ctx, q, database); err != nil {
			return err
		}
	}
	a.close()
	c.report.PointsRead = a.points
	return nil
}

// storedPointOf reads a row of SELECT *. A null is a field that the point does not
// have.
func storedPointOf(database string, r *queryRow) (*storedPoint, error) {
	p := &storedPoint{database: database, measurement: r.name, fields: map[string]string{}}
	var err error
	if p.ns, err = r.integer("time"); err != nil {
		return nil, err
	}
	if p.version, err = r.integer("v"); err != nil {
		return nil, err
	}
	for i, name := range r.columns {
		var text string
		switch v := r.values[i].(type) {
		case nil:
			continue
		case json.Number:
			text = v.String()
		case string:
			text = v
		case bool:
			text = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("bench: column %s holds %v", name, v)
		}
		switch name {
		case "time", "v":
		case "host":
			p.host = text
		case "w":
			p.writer = text
		default:
			p.fields[name] = text
		}
	}
	return p, nil
}

// crashFieldTypes is what SHOW FIELD KEYS must say of every measurement.
var crashFieldTypes = map[string]string{"v": "integer", "f": "float", "i": "integer", "u": "unsigned", "s": "string", "b": "boolean"}

// readSchema checks that what was dropped or rejected has left no field and no
// series behind.
func (c *crasher) readSchema(ctx context.Context, q *queryClient, database string) error {
	err := q.run(ctx, database, "SHOW FIELD KEYS", func(r *queryRow) error {
		key, kind := fmt.Sprint(r.column("fieldKey")), fmt.Sprint(r.column("fieldType"))
		if crashFieldTypes[key] != kind {
			c.ledger.violate("invented: %s.%s has a field %s of type %s", database, r.name, key, kind)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return q.run(ctx, database, "SHOW SERIES", func(r *queryRow) error {
		if key := fmt.Sprint(r.column("key")); strings.Contains(key, "host=bad") {
			c.ledger.violate("invented: %s has series %s, all of whose points were dropped or rejected", database, key)
		}
		return nil
	})
}
