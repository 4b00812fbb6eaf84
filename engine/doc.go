// Package engine is Headgate as a library: open a data directory, write line
// protocol or typed points into buckets, and query them back with InfluxQL.
//
//	e, err := engine.Open(ctx, engine.Options{Dir: "data", AuthDisabled: true})
//	...
//	defer e.Close()
//	org, err := e.DefaultOrganization()
//	...
//	b, err := e.CreateBucket(ctx, e.Operator(), engine.BucketRequest{OrgID: org.ID, Name: "sensors"})
//	err = e.Write(ctx, b.ID, []byte("room,name=kitchen celsius=21.5"), engine.Nanosecond)
//
// A nil error from Write means that every point is synced to disk and that any
// query sees it. An [*Error] says what else happened: see [Kind].
//
// Nouns: a bucket holds points and has a retention period; an organization holds
// buckets; a [Principal] is who calls; an [Admission] is the credit that one
// write holds while it is in flight.
//
// Invariants: no point is visible before it is durable; a rejected batch leaves
// nothing behind, and neither does a dropped point; every wait and every buffer
// has a limit in [Options]. Several engines can live in one process, each with a
// directory of its own; there are no package variables.
//
// The package knows nothing of HTTP: httpfront is one caller among others.
package engine
