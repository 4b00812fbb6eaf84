// Does what a program does with InfluxDB's JavaScript client, against the server of
// HEADGATE_URL, and ends with 1 at the first surprise. node_test.go starts that
// server, and gives it room again once this has printed "refused".
import assert from 'node:assert/strict'
import {HttpError, InfluxDB, Point, setLogger} from '@influxdata/influxdb-client'
import {
  BucketsAPI, DeleteAPI, HealthAPI, OrgsAPI, PingAPI, ReadyAPI, SetupAPI,
} from '@influxdata/influxdb-client-apis'

const {HEADGATE_URL: url, HEADGATE_STEP: step} = process.env
const token = 'operator-token', org = 'acme', bucket = 'b0'
const influx = new InfluxDB({url, token})
const queries = influx.getQueryApi(org)
setLogger({error() {}, warn() {}}) // what it would log is checked

// write sends lines and tells what became of them, once each is delivered or failed:
// the client's own flush and close wait for the last batch only. A patient one leaves
// the client the time that it takes to try again, until all are delivered.
async function write(lines, {failed, patient, ...o} = {}, to = bucket, as = influx) {
  let done, open = lines.length
  const all = new Promise((resolve) => { done = resolve })
  const answered = (batch) => { if ((open -= batch.length) === 0) done() }
  const seen = {failures: [], batches: 0, delivered: 0}
  const w = as.getWriteApi(org, to, 'ns', {
    maxRetries: 0, ...o,
    writeFailed(error, lines, attempt) {
      seen.failures.push({error, lines, attempt})
      if (!patient) answered(lines)
      return failed?.(error)
    },
    writeSuccess(sent) { // a 204; it takes no other success for one
      seen.batches++
      seen.delivered += sent.length
      answered(sent)
    },
  })
  for (const l of lines) typeof l === 'string' ? w.writeRecord(l) : w.writePoint(l)
  await w.flush().catch(() => {})
  await all
  await w.close()
  return seen
}

// f is the field f of measurement m, in the order of time.
const f = (m) => queries.collectRows(
  `from(bucket: "${bucket}") |> range(start: 0, stop: 2100-01-01T00:00:00Z) |> filter(fn: (r) => r._measurement == "${m}" and r._field == "f") |> group() |> sort(columns: ["_time"])`,
  (row, table) => table.toObject(row)._value)

const steps = {
  async setup() {
    const api = new SetupAPI(new InfluxDB({url}))
    assert.equal((await api.getSetup()).allowed, true)
    const done = await api.postSetup({body: {username: 'admin', password: 'password1', org, bucket, token}})
    assert.deepEqual([done.auth.token, done.org.name, done.bucket.name, done.user.name], [token, org, bucket, 'admin'])
    assert.equal((await api.getSetup()).allowed, false)
    assert.equal((await write(['m f=1 1'])).delivered, 1)
  },

  async use() {
    await new PingAPI(influx).getPing()
    const health = await new HealthAPI(influx).getHealth()
    assert.deepEqual([health.status, health.name], ['pass', 'headgate'])
    assert.equal((await new ReadyAPI(influx).getReady()).status, 'ready')

    // Every type, with what must be escaped; then enough for gzip and several batches.
    const odd = new Point('cpu load').tag('host', 'a b,c=d').floatField('f', 1.5).intField('i', -7)
      .uintField('u', '18446744073709551615').booleanField('b', true).stringField('s', 'a "quoted" line').timestamp('5')
    let seen = await write([odd])
    assert.deepEqual([seen.delivered, seen.failures], [1, []])
    const row = (await queries.collectRows(
      `from(bucket: "${bucket}") |> range(start: 0) |> filter(fn: (r) => r._measurement == "cpu load") |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")`))[0]
    assert.deepEqual([row.host, row.f, row.i, row.b, row.s, String(row.u), row._time],
      ['a b,c=d', 1.5, -7, true, 'a "quoted" line', String(Number('18446744073709551615')), '1970-01-01T00:00:00.000000005Z'])
    seen = await write(Array.from({length: 2500}, (_, i) => new Point('many').intField('f', i).timestamp(String(i))))
    assert.deepEqual([seen.batches, seen.delivered, seen.failures], [3, 2500, []])
    assert.equal((await f('many')).length, 2500)

    // In part: the client drops the batch and says why; the good points are in.
    seen = await write(['part f=1 1', 'part f="s" 2', 'part f=3 3'])
    let {error} = seen.failures[0]
    assert.ok(error instanceof HttpError)
    assert.deepEqual([error.statusCode, error.code, error.json.written, error.json.dropped], [422, 'unprocessable entity', 2, 1])
    assert.match(error.message, /partial write: field type conflict.*dropped=1/)
    assert.deepEqual(await f('part'), [1, 3])

    // Refused as a whole.
    for (const [lines, to, as, status, text] of [
      [['bad', 'none f=1 1'], bucket, influx, 400, /unable to parse 'bad': missing fields/],
      [['none f=1 1'], bucket, new InfluxDB({url, token: 'wrong'}), 401, /unauthorized access/],
      [['none f=1 1'], 'nope', influx, 404, /bucket "nope" not found/],
      [['none s="' + 'x'.repeat(70_000) + '"'], bucket, influx, 413, /over Options.BodyBytesMax/],
    ]) {
      seen = await write(lines, {gzipThreshold: 1 << 20}, to, as)
      ;({error} = seen.failures[0])
      assert.equal(error.statusCode, status)
      assert.match(error.message, text)
      assert.equal(seen.delivered, 0)
    }
    assert.deepEqual(await f('none'), [])
    await assert.rejects(queries.collectRows('from(bucket: "b0") |> nope()'), {statusCode: 400})

    const orgs = await new OrgsAPI(influx).getOrgs({org})
    const buckets = new BucketsAPI(influx)
    const made = await buckets.postBuckets({body: {orgID: orgs.orgs[0].id, name: 'week', retentionRules: [{type: 'expire', everySeconds: 604800}]}})
    assert.deepEqual((await buckets.getBuckets({org, name: 'week'})).buckets.map((b) => [b.name, b.retentionRules[0].everySeconds]), [['week', 604800]])
    await buckets.deleteBucketsID({bucketID: made.id})
    await assert.rejects(buckets.getBucketsID({bucketID: made.id}), {statusCode: 404})

    await new DeleteAPI(influx).postDelete({org, bucket, body: {start: '1970-01-01T00:00:00Z', stop: '1970-01-01T00:00:00.000000002Z', predicate: '_measurement="part"'}})
    assert.deepEqual(await f('part'), [3])
  },

  // The client takes Retry-After for milliseconds, so it is given none: it waits by
  // its own rule, and delivers.
  async overload() {
    const seen = await write(['late f=1 1'], {patient: true, maxRetries: 50, minRetryDelay: 100, maxRetryDelay: 200, retryJitter: 1, failed(error) {
      assert.equal(error.statusCode, 503)
      assert.match(error.message, /write queue is full; nothing was written/)
      assert.equal(error.retryAfter(), 0)
      console.log('refused')
    }})
    assert.equal(seen.delivered, 1)
    assert.deepEqual(await f('late'), [1])
  },
}

await steps[step]()
