// Package engine is Headgate as a library: open a data directory, write line
// protocol or typed points into buckets, and query them back with InfluxQL.
//
//	e, err := engine.Open(ctx, engine.Options{Dir: "data", AuthDisabled: true})
//	...
//	defer e.Close()
//	org, err := e.DefaultOrganization()
//	...
//	b, ok := e.BucketByName(org.ID, "sensors")
//	if !ok { // the first time
//		b, err = e.CreateBucket(ctx, e.Operator(), engine.BucketRequest{OrgID: org.ID, Name: "sensors"})
//	}
//	...
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
//
// # Embedding
//
// The example of an appliance is a whole one: limits, retention, writing, a query, a
// backup. What to decide:
//
//   - Memory. Everything that grows with what callers do comes out of
//     Options.MemoryBytesMax; the default is a quarter of the machine or of its cgroup.
//     The process takes about 30 MiB more. On a machine of 256 MiB, 64 MiB is a good
//     budget: TSBS cpu, four writers, peaks at 93 MiB of resident memory, at 127 MiB with
//     a budget of 128 MiB. The least is 32 MiB. Set Go's own limit
//     (debug.SetMemoryLimit) at seven eighths of the budget and GOGC=30, as the server
//     does; the package leaves them to you, they are the whole process's.
//   - Processors. The server also sets GOMAXPROCS two above the processors, for the
//     threads that wait in fdatasync: on a machine with two that is 5 to 10 % more.
//   - Bodies. Options.BodyBytesMax and InflatedBodyBytesMax bound one batch. Each writer
//     holds one, and what it becomes when it is parsed.
//   - Cardinality. Options.SeriesPerBucketMax and its neighbours end what a slip in a tag
//     begins: points of more series are dropped, and the error says which.
//   - Disk. Writes are refused while less than Options.DiskFreeMin is free, and the
//     ballast is taken up front; a device that is small wants both smaller.
//   - Recovery. A point is in the log until it is Options.FlushAge old or memory wants
//     it; what is in the log is replayed by Open, about three million points of TSBS cpu a second. With
//     Options.RecoverInBackground Open returns before that, and writes and queries are
//     refused as Unavailable until it is done.
//   - Ending. Close waits for what is in flight. A process that ends without it loses
//     nothing that was answered.
//   - What to watch. [Engine.Health] tries the write path, [Engine.Stats] counts, and
//     Options.Events tells of each write, flush and failure.
//
// A program that does nothing but open an engine is 30 MB (-trimpath -ldflags='-s -w'),
// without cgo.
package engine
