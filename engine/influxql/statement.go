package influxql

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/influxdata/influxdb/query"
	"github.com/influxdata/influxql"
)

// otherStatement executes everything but a plain SELECT.
func (x *exec) otherStatement(stmt influxql.Statement) error {
	if name := unimplemented(stmt); name != "" {
		return ErrNotImplemented{name}
	}
	if name := changing(stmt); name != "" && x.q.ReadOnly {
		create, ok := stmt.(*influxql.CreateDatabaseStatement)
		if !ok {
			return ErrReadOnly{name}
		}
		return x.createDatabaseReadOnly(create)
	}
	switch stmt := stmt.(type) {
	case *influxql.ExplainStatement:
		return x.explainStatement(stmt)
	case *influxql.ShowDatabasesStatement:
		return x.showDatabases()
	case *influxql.ShowRetentionPoliciesStatement:
		return x.showRetentionPolicies(stmt)
	case *influxql.ShowMeasurementsStatement:
		return x.showMeasurements(stmt)
	case *influxql.ShowFieldKeysStatement:
		return x.showFieldKeys(stmt)
	case *influxql.ShowSeriesStatement:
		return x.showSeries(stmt)
	case *influxql.ShowTagKeysStatement:
		return x.showTagKeys(stmt)
	case *influxql.ShowTagValuesStatement:
		return x.showTagValues(stmt)
	case *influxql.ShowSeriesCardinalityStatement, *influxql.ShowMeasurementCardinalityStatement,
		*influxql.ShowFieldKeyCardinalityStatement, *influxql.ShowTagKeyCardinalityStatement,
		*influxql.ShowTagValuesCardinalityStatement:
		return x.showCardinality(stmt)
	case *influxql.DeleteSeriesStatement:
		return x.deleteSeries(stmt)
	case *influxql.DropMeasurementStatement:
		return x.dropMeasurement(stmt)
	case *influxql.DropSeriesStatement:
		return x.done(x.dropSeries(stmt))
	case *influxql.CreateDatabaseStatement:
		return x.done(x.createDatabase(stmt))
	case *influxql.DropDatabaseStatement:
		return x.done(x.host.DropDatabase(x.ctx, stmt.Name))
	case *influxql.CreateRetentionPolicyStatement:
		return x.done(x.createRetentionPolicy(stmt))
	case *influxql.AlterRetentionPolicyStatement:
		return x.done(x.host.AlterRetentionPolicy(x.ctx, AlterRetentionPolicy{
			Database: stmt.Database, Name: stmt.Name, Duration: stmt.Duration, ReplicaN: stmt.Replication,
			ShardGroupDuration: stmt.ShardGroupDuration, Default: stmt.Default,
		}))
	case *influxql.DropRetentionPolicyStatement:
		return x.done(x.host.DropRetentionPolicy(x.ctx, stmt.Database, stmt.Name))
	}
	return query.ErrInvalidQuery
}

// createDatabaseReadOnly creates a database although the query may not change
// anything, and warns, as InfluxDB 1.x does: TSBS creates its database by GET, and
// creating what may exist already does no harm.
func (x *exec) createDatabaseReadOnly(stmt *influxql.CreateDatabaseStatement) error {
	if err := x.createDatabase(stmt); err != nil {
		return err
	}
	text := fmt.Sprintf("deprecated use of '%s' in a read only context, please use a POST request instead", stmt)
	return x.out.send(Result{Messages: []Message{{Level: "warning", Text: text}}})
}

// done emits the empty result of a statement that has succeeded.
func (x *exec) done(err error) error {
	if err != nil {
		return err
	}
	return x.out.send(Result{})
}

// unimplemented is the name of a statement that Headgate does not have, "" for
// one that it has. KILL QUERY goes by InfluxDB's name for it.
func unimplemented(stmt influxql.Statement) string {
	switch stmt := stmt.(type) {
	case *influxql.CreateContinuousQueryStatement:
		return "CREATE CONTINUOUS QUERY"
	case *influxql.CreateSubscriptionStatement:
		return "CREATE SUBSCRIPTION"
	case *influxql.CreateUserStatement:
		return "CREATE USER"
	case *influxql.DropContinuousQueryStatement:
		return "DROP CONTINUOUS QUERY"
	case *influxql.DropShardStatement:
		return "DROP SHARD"
	case *influxql.DropSubscriptionStatement:
		return "DROP SUBSCRIPTION"
	case *influxql.DropUserStatement:
		return "DROP USER"
	case *influxql.GrantStatement:
		return "GRANT"
	case *influxql.GrantAdminStatement:
		return "GRANT ALL"
	case *influxql.RevokeStatement:
		return "REVOKE"
	case *influxql.RevokeAdminStatement:
		return "REVOKE ALL"
	case *influxql.SetPasswordUserStatement:
		return "SET PASSWORD"
	case *influxql.ShowContinuousQueriesStatement:
		return "SHOW CONTINUOUS QUERIES"
	case *influxql.ShowDiagnosticsStatement:
		return "SHOW DIAGNOSTICS"
	case *influxql.ShowGrantsForUserStatement:
		return "SHOW GRANTS"
	case *influxql.ShowQueriesStatement, *influxql.KillQueryStatement:
		return "SHOW QUERIES"
	case *influxql.ShowShardsStatement:
		return "SHOW SHARDS"
	case *influxql.ShowShardGroupsStatement:
		return "SHOW SHARD GROUPS"
	case *influxql.ShowStatsStatement:
		return "SHOW STATS"
	case *influxql.ShowSubscriptionsStatement:
		return "SHOW SUBSCRIPTIONS"
	case *influxql.ShowUsersStatement:
		return "SHOW USERS"
	case *influxql.ShowSeriesCardinalityStatement:
		if estimated(stmt.Exact, stmt.Sources, stmt.Condition, stmt.Dimensions, stmt.Limit, stmt.Offset) {
			return "SHOW SERIES CARDINALITY"
		}
	case *influxql.ShowMeasurementCardinalityStatement:
		if estimated(stmt.Exact, stmt.Sources, stmt.Condition, stmt.Dimensions, stmt.Limit, stmt.Offset) {
			return "SHOW MEASUREMENT CARDINALITY"
		}
	}
	return ""
}

// estimated reports whether a cardinality statement asks for InfluxDB's sketches.
func estimated(exact bool, sources influxql.Sources, cond influxql.Expr, dims influxql.Dimensions, limit, offset int) bool {
	return !exact && sources == nil && cond == nil && dims == nil && limit == 0 && offset == 0
}

// changing is the name of a statement that changes something, or "".
func changing(stmt influxql.Statement) string {
	switch stmt.(type) {
	case *influxql.DeleteSeriesStatement:
		return "DELETE"
	case *influxql.DropMeasurementStatement:
		return "DROP MEASUREMENT"
	case *influxql.DropSeriesStatement:
		return "DROP SERIES"
	case *influxql.CreateDatabaseStatement:
		return "CREATE DATABASE"
	case *influxql.DropDatabaseStatement:
		return "DROP DATABASE"
	case *influxql.CreateRetentionPolicyStatement:
		return "CREATE RETENTION POLICY"
	case *influxql.AlterRetentionPolicyStatement:
		return "ALTER RETENTION POLICY"
	case *influxql.DropRetentionPolicyStatement:
		return "DROP RETENTION POLICY"
	}
	return ""
}

func (x *exec) createDatabase(stmt *influxql.CreateDatabaseStatement) error {
	if !validName(stmt.Name) {
		return ErrInvalidName
	}
	r := CreateDatabase{Name: stmt.Name}
	if stmt.RetentionPolicyCreate {
		if stmt.RetentionPolicyName != "" && !validName(stmt.RetentionPolicyName) {
			return ErrInvalidName
		}
		r.RetentionPolicy = &RetentionPolicySpec{
			Name: stmt.RetentionPolicyName, Duration: stmt.RetentionPolicyDuration,
			ReplicaN: stmt.RetentionPolicyReplication, ShardGroupDuration: stmt.RetentionPolicyShardGroupDuration,
		}
	}
	return x.host.CreateDatabase(x.ctx, r)
}

func (x *exec) createRetentionPolicy(stmt *influxql.CreateRetentionPolicyStatement) error {
	if !validName(stmt.Name) {
		return ErrInvalidName
	}
	return x.host.CreateRetentionPolicy(x.ctx, CreateRetentionPolicy{
		Database: stmt.Database, Name: stmt.Name, Duration: stmt.Duration, ReplicaN: stmt.Replication,
		ShardGroupDuration: stmt.ShardGroupDuration, Default: stmt.Default,
	})
}

// validName reports whether a database or retention policy can be called name:
// printable, no path of its own, and not split by the slash of `db/rp` buckets.
func validName(name string) bool {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
