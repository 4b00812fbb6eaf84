// Package tagindex finds the series of a bucket by their tags.
//
// Nouns:
//
//   - An [Index] is the inverted index of one bucket: for each measurement and
//     tag key, which series have which value.
//   - A posting is the series of one value: a roaring bitmap with a short tail of
//     ids that are not in it yet. A value that one series alone has is no more
//     than that series' id in a hash table; the value itself stays in the key.
//
// The index is built by those who ask, not by those who write: defining a series
// costs it nothing, and a query first catches up with the series that it must see:
//
//	if err := x.CatchUp(ctx, cpu, upTo); err != nil {
//		return err // ctx has ended
//	}
//	ids := x.Equal(cpu, "host", "a")
//	ids.AndNot(x.Equal(cpu, "region", "eu"))
//
// Why so: TSBS cpu, a million series of ten tags of which one is unique, costs
// 0.8 to 1 us and 29 bytes a series to index, whoever does it, where creating a
// series costs 1.7 us in all. In the bucket actor that time would be taken from every
// batch that waits; done before the first query it is a second for that million, once,
// and nothing in a bucket that nobody asks by tags. Whoever wants that second to pass
// earlier calls CatchUp from the background.
//
// Invariants:
//
//   - A tag that a series does not have is the empty string, as in InfluxQL.
//   - Whatever is returned is the caller's own; nothing done to it is seen here.
//   - After CatchUp(ctx, m, upTo) every answer about m counts in every series up
//     to upTo. It may count in later ones: the caller knows which it may see.
//   - Remove never waits for a reader; readers wait for each other for a slice of
//     catching up, some ten milliseconds, never for all of it.
//
// The package does not know which series have points, or when.
package tagindex
