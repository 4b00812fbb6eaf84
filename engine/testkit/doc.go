// Package testkit is what the tests of all packages share: whether a test, or all
// of a package's tests, left goroutines or descriptors behind, and how much a test
// does under the race detector.
//
// A package whose code starts goroutines or opens files has
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
//
// and a test that wants to be named itself calls [CheckLeaks] before it opens
// anything.
//
// Only tests import it, and it imports nothing of ours.
package testkit
