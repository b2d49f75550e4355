"""check.py must say no when an answer is wrong: a fake query API gives right and spoilt answers."""
import contextlib
import http.server
import importlib.util
import io
import json
import os
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("check", os.path.join(HERE, "check.py"))
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)
check.VISIBLE_S = 0.3

S = 1000000000
REPORT = {"sdk": "python", "service": "svc", "start_ms": 1795251714286, "end_ms": 1795251722823,
          "hot_cpu_s": 3.0, "hot_wall_s": 4.0, "cold_cpu_s": 1.0, "cold_wall_s": 1.4}


def answers(hot=3 * S, cold=1 * S, types=(check.CPU,), services=("svc",), series=None, names=None):
    """total -> main -> hot, cold; main itself 0.1 s."""
    main = hot + cold + S // 10
    flame = {"names": names or ["total", "main", "client.py sdk_hot_work", "sdk_cold_work"],
             "levels": [{"values": [0, main, 0, 0]}, {"values": [0, main, S // 10, 1]},
                        {"values": [S // 10, cold, cold, 3, 0, hot, hot, 2]}],
             "total": str(main), "maxSelf": str(hot)}
    return {
        "LabelValues": lambda q: {"names": list(types if q["name"] == "__profile_type__" else services)},
        "ProfileTypes": lambda q: {"profileTypes": [{"ID": t} for t in types]},
        "SelectMergeStacktraces": lambda q: {"flamegraph": flame},
        "SelectSeries": lambda q: {"series": [
            {"labels": [{"name": "section", "value": v}], "points": [{"value": n}]}
            for v, n in (("hot", series or hot), ("cold", cold), ("", S // 10))]},
    }


class Fake(http.server.BaseHTTPRequestHandler):
    methods = {}

    def do_POST(self):
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.methods[self.path.rsplit("/", 1)[1]](query)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def outcome(methods):
    """"" when right, else the reason."""
    Fake.methods = methods
    server = http.server.HTTPServer(("127.0.0.1", 0), Fake)
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check.check(f"127.0.0.1:{server.server_port}", REPORT)
        return ""
    except check.Wrong as e:
        return str(e)
    finally:
        server.shutdown()
        server.server_close()


def expect(want, **spoilt):
    got = outcome(answers(**spoilt))
    assert (want in got) if want else got == "", (want, got)
    print("ok", spoilt or "right answers", "->", got or "right")


def test_frames():
    """The example of contract read-path.md 3.1."""
    total, totals = check.frames({
        "names": ["total", "z", "a", "e", "b", "d", "c"], "total": 130,
        "levels": [{"values": v} for v in ([0, 130, 0, 0], [0, 110, 0, 2, 0, 20, 20, 1],
                                           [0, 100, 0, 4, 0, 10, 10, 3], [0, 40, 40, 6, 0, 60, 60, 5])]})
    assert total == 130 and totals == {"total": 130, "a": 110, "z": 20, "b": 100, "e": 10, "c": 40,
                                       "d": 60}, totals
    # A recursive frame counts once.
    _, totals = check.frames({"names": ["total", "f"], "total": 5, "levels": [
        {"values": [0, 5, 0, 0]}, {"values": [0, 5, 2, 1]}, {"values": [2, 3, 3, 1]}]})
    assert totals["f"] == 5, totals


test_frames()
expect("")
expect("", hot=int(3.9 * S))  # samples of a busy machine lie between CPU and wall time
expect("hot work is 1.900", hot=int(1.9 * S))
expect("hot work is 5.500", hot=int(5.5 * S))
expect("cold work is 0.600", cold=int(0.6 * S))
expect("cold work is 0.000", names=["total", "main", "sdk_hot_work", "else"])
expect("no CPU profile type", types=("memory:alloc_space:bytes:space:bytes",))
expect("does not list the service", services=("other",))
expect("SelectSeries with step 1 adds up to", series=3 * S - 1)
print("10 passed, 0 failed, 0 skipped")
