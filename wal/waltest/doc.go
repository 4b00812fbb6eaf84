// Package waltest is what every backend of wal.Log must pass.
//
// Nouns:
//
//   - A disk is a backend's storage under the test's control: it can be crashed,
//     made to fail, and damaged. The backend's test implements [Disk].
//   - A model is what a log may hold: per bucket, how far it was appended and how
//     far it was acknowledged. Records follow from the seed, so that a model needs
//     no copy of them.
//
// A backend calls the suite from one short test:
//
//	func TestConformance(t *testing.T) {
//		waltest.Run(t, func(t *testing.T) waltest.Disk { return newDisk(t) })
//	}
//
// Crashes are taken at every operation that changes the disk, and errors are
// injected at every such operation in turn: by count, never by luck. The suite
// prints its seed; HEADGATE_SEED repeats it.
package waltest
