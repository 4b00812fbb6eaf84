# Does what a program does with influxdb-python, against the server on 127.0.0.1 at
# the port of its first argument; the second says what. python_test.go starts that
# server, and gives it room again once this has printed "refused".
import sys
from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError, InfluxDBServerError

port, step = int(sys.argv[1]), sys.argv[2]


def client(password="operator-token", **o):
    return InfluxDBClient("127.0.0.1", port, "anyone", password, **o)


def refusal(kind, f, *args, **o):
    """refusal is the error of the kind that the call must raise."""
    try:
        f(*args, **o)
    except kind as e:
        return e
    raise AssertionError("no error from %r" % (args,))


def equal(got, want):
    assert got == want, "%r, want %r" % (got, want)


def contains(text, part):
    assert part in str(text), "%r, without %r" % (str(text), part)


def use():
    c = client(gzip=False)
    contains(c.ping(), "v2.")
    c.create_database("my db")
    c.create_database("my db")
    equal("my db" in [d["name"] for d in c.get_list_database()], True)
    c.switch_database("my db")
    c.create_retention_policy("week", "7d", "1", database="my db")
    equal("week" in [p["name"] for p in c.get_list_retention_policies("my db")], True)

    fields = {"f": 1.5, "i": -7, "b": True, "s": 'a "quoted" line'}
    for n, precision in enumerate(["n", "u", "ms", "s", "m", "h"]):
        c.write_points([{"measurement": "cpu load", "tags": {"host": "a b,c=d", "p": precision},
                         "time": "2026-05-04T03:00:00Z", "fields": fields}], time_precision=precision)
    points = list(c.query('SELECT * FROM "cpu load"').get_points())
    equal(len(points), 6)
    for p in points:
        equal([p["time"], p["host"], p["f"], p["i"], p["b"], p["s"]],
              ["2026-05-04T03:00:00Z", "a b,c=d", 1.5, -7, True, 'a "quoted" line'])

    # Batches, compressed; then a read in chunks, and one with parameters. Of several
    # chunks it can only read JSON: by itself it asks for MessagePack, and takes the
    # second for a mistake.
    z = client(gzip=True, database="my db", headers={"Accept": "application/json"})
    z.write_points(["many f=%di %d" % (i, i) for i in range(2500)], protocol="line", batch_size=1000)
    chunks = list(z.query("SELECT f FROM many", chunked=True, chunk_size=1000))
    equal([len(list(r.get_points())) for r in chunks], [1000, 1000, 500])
    equal(list(c.query("SELECT count(f) FROM many WHERE f < $n", bind_params={"n": 10}, epoch="ns").get_points()),
          [{"time": 0, "count": 10}])

    # In part: an error, and the good points are in.
    e = refusal(InfluxDBClientError, c.write_points, ["part f=1 1", 'part f="s" 2', "part f=3 3"], protocol="line")
    equal(e.code, 422)
    contains(e, "partial write: field type conflict")
    equal([p["f"] for p in c.query("SELECT f FROM part").get_points()], [1, 3])

    # Refused as a whole.
    for who, database, line, code, text in [
        (c, "my db", "bad", 400, "unable to parse 'bad': missing fields"),
        (client("wrong"), "my db", "none f=1", 401, "Unauthorized"),
        (c, "nope", "none f=1", 404, "database not found"),
        (c, "my db", 'none f="%s"' % ("x" * 70000), 413, "over Options.BodyBytesMax"),
    ]:
        e = refusal(InfluxDBClientError, who.write_points, [line], database=database, protocol="line")
        equal(e.code, code)
        contains(e, text)
    equal(list(c.query("SELECT f FROM none").get_points()), [])
    contains(refusal(InfluxDBClientError, c.query, "SELEC f"), "found SELEC")
    contains(refusal(InfluxDBClientError, c.query, "SELECT f FROM m", database="nope"), "database not found")

    equal([m["name"] for m in c.get_list_measurements()], ["cpu load", "many", "part"])
    c.delete_series(measurement="part")
    equal(list(c.query("SELECT f FROM part").get_points()), [])
    c.drop_database("my db")
    equal("my db" in [d["name"] for d in c.get_list_database()], False)


def overload():
    """It tries a 503 again by itself, without a pause but its own."""
    e = refusal(InfluxDBServerError, client(retries=1, database="b0").write_points, ["m f=1 1"], protocol="line")
    contains(e, "write queue is full; nothing was written")
    print("refused", flush=True)
    sys.stdin.readline()
    client(database="b0").write_points(["m f=1 1"], protocol="line")
    equal([p["f"] for p in client(database="b0").query("SELECT f FROM m").get_points()], [1])


{"use": use, "overload": overload}[step]()
