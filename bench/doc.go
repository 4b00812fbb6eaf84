// Package bench drives a server from outside, over its sockets, as its clients
// do: it measures how fast the server takes writes, and it shows by killing the
// server that what was acknowledged is kept.
//
// Its nouns:
//   - [Target] and [Conn]: a server's address, and one keep-alive HTTP/1.1
//     connection to it that costs the client next to nothing.
//   - [Workload] and [Ring]: a seeded source of line protocol, and the bodies made
//     of it in advance, whose timestamps move on each time they are sent again.
//   - [Load]: some connections, each with one write under way at most, which send
//     as fast as they are answered (the closed loop) or as requests arrive at a rate
//     (the open loop); [LoadReport] says what came of it.
//   - [Compare]: the same load to several servers in turn; [CompareReport] has
//     medians, spreads and ratios.
//   - [Fill]: a fixed set of points, made while it is sent, so that several servers
//     hold the same and it is known what that is.
//   - [Query]: the same InfluxQL to several servers that hold the same;
//     [QueryReport] has times, and whether the answers are the same row for row.
//   - [Size]: what the same data takes up on the disks of several servers, in
//     [SizeReport].
//   - [WriteHTML]: one page of diagrams made of the JSON of these.
//   - [Crash]: the kill -9 loop. Writers fill a ledger with what was acknowledged,
//     refused and left open; after each restart everything is read back and
//     compared with the ledger. [CrashReport] names every difference.
//
// A short load run against a server that takes everyone:
//
//	report, err := bench.Load(ctx, bench.LoadOptions{
//		URL:      "http://127.0.0.1:8086",
//		Workload: bench.CPU,
//		Database: "b",
//		Duration: 10 * time.Second,
//	})
//	if err != nil {
//		return err
//	}
//	report.WriteTable(os.Stdout)
//
// What holds everywhere: the same seed makes the same bodies in the same order;
// no two points that Load sends have the same series and time unless it says so
// (duplicates were asked for, a replayed file has them, or compressed bodies are
// sent again as they are); a point counts as accepted only
// when its request was answered 2xx.
//
// The package never looks into the server's files and never imports what the
// server is made of, so it runs against any server that speaks the same protocol.
// Killing a process leaves the operating system's page cache alone: Crash shows
// that nothing acknowledged waits in the process, and the conformance suite of the
// log shows what a power cut does.
package bench
