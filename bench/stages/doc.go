// Package stages is what the benchmarks of the stages of a write have in common: the
// same bodies (TSBS cpu: 4,000 hosts, 10 tags and 10 integer fields, 5,000 lines each),
// the batches that they become, and one way to report. The benchmarks stand beside the
// code that they measure, in stage_bench_test.go, and are named BenchmarkStage...:
//
//	go test -run '^$' -bench 'Stage|EngineWrite' -count 6 ./...
//
//	func BenchmarkStageParse(b *testing.B) {
//		bodies := stages.Bodies(b, bench.BodiesOptions{})
//		m := stages.Start(b, stages.WorkOf(bodies.Next()))
//		for b.Loop() {
//			...
//		}
//		m.Stop()
//	}
//
// Besides the clock's ns/line and ns/value each reports cpu-ns/line: what the process used, on
// all cores, its garbage collector and everything in the background included. On a machine
// that others use too that is the figure to look at.
//
// The package is for benchmarks only; nothing of the server imports it.
package stages
