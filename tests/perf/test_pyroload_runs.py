"""pyroload against a stub: exact counts, every status told apart, no coordinated omission."""
import os
import resource
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stub import Stub  # noqa: E402

PYROLOAD, CORPUS = sys.argv[1], sys.argv[2]


def run(stub, *args, expect=0, host="127.0.0.1"):
    out = subprocess.run(
        [PYROLOAD, f"-addr={host}:{stub.port}", f"-corpus={CORPUS}", "-variants=40", *args],
        capture_output=True, text=True, timeout=30)
    assert out.returncode == expect, (out.returncode, out.stdout, out.stderr)
    return {k: float(v) for k, v in (line.split("=") for line in out.stdout.splitlines())}, out.stderr


def test_count_exact():
    with Stub() as stub:
        r, _ = run(stub, "-count=300", "-connections=7")
        assert r["sent"] == r["ok"] == 300 and r["errors"] == 0, r
        assert stub.requests == 300 and stub.connections == 7, (stub.requests, stub.connections)
        assert stub.paths == {"/push.v1.PusherService/Push": 300}, stub.paths
        assert 10000 < r["body_bytes_mean"] < 25000, r
        assert 0 < r["p50_us"] <= r["p90_us"] <= r["p99_us"] <= r["p999_us"] <= r["max_us"], r


def test_closed_loop_no_false_errors():
    """Once, a request sent after the loop had read the clock looked older than the time-out."""
    with Stub() as stub:
        r, _ = run(stub, "-duration=1.2", "-connections=8")
        assert r["errors"] == 0 and r["ok"] > 100, r


def test_statuses_and_breaks():
    def behave(n):
        if n == 10:
            return 429, b"slow down", 0, False
        if n == 20:
            return 500, b"", 0, True
        if n == 30:
            return 0, b"", 0, True  # closes without an answer
        return 200, b"", 0, n % 50 == 49
    with Stub(behave) as stub:
        r, err = run(stub, "-count=200", "-connections=3", expect=1)
        assert r["sent"] == 200 and r["ok"] == 197 and r["errors"] == 3, r
        assert r["errors_http_429"] == 1 and r["errors_http_500"] == 1, r
        assert r["errors_connection"] == 1, r
        assert "status 429: slow down" in err, err
        run(stub, "-count=1", "-allow-errors")


def test_timeout_counted():
    with Stub(lambda n: (200, b"", 1.0 if n == 5 else 0, False)) as stub:
        r, _ = run(stub, "-count=20", "-connections=1", "-timeout=0.3", expect=1)
        assert r["ok"] == 19 and r["errors_timeout"] == 1, r


def test_open_loop_sees_a_stall():
    """A server that stops for 0.4 s of 1 s makes about 40 % of the requests late, though few are in
    flight: a generator that waits for answers would report a single slow one."""
    def behave(n):
        return 200, b"", 0.4 if n == 100 else 0, False
    with Stub(behave) as stub:
        r, _ = run(stub, "-rate=400", "-duration=1", "-connections=1", "-arrivals=uniform")
        assert abs(r["sent"] - 400) <= 2, r
        assert r["max_us"] > 390000, r
        assert r["p90_us"] > 200000, r
        assert r["errors"] == 0, r


def test_poisson_rate_held():
    with Stub() as stub:
        r, _ = run(stub, "-rate=500", "-duration=1.5", "-warmup=0.3", "-connections=16")
        assert 600 < r["sent"] < 900, r  # 750, sigma 27
        assert stub.requests > r["sent"], (stub.requests, r)  # the warm-up is not counted


def test_unsent_is_an_error():
    with Stub(lambda n: (200, b"", 0.2, False)) as stub:
        r, _ = run(stub, "-rate=100", "-duration=1", "-connections=2", expect=1)
        # About 100 are due; two connections answer 10 a second in all, for 1 s.
        assert r["unsent"] > 20, r
        assert r["sent"] < 70, r
        assert r["max_us"] > 500000, r


def test_waits_for_the_last_answer_without_spinning():
    """With -fifo a loop that spins there keeps the CPU from the kernel, which has that answer to deliver."""
    def cpu_s():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def behave(n):
        return 200, b"", 4 if n == 9 else 0, False
    with Stub(behave) as stub:
        before = cpu_s()
        r, _ = run(stub, "-get=/ready", "-rate=100", "-count=10", "-connections=4", "-arrivals=uniform", "-variants=1")
        assert r["ok"] == 10 and r["max_us"] > 3500000, r
        assert cpu_s() - before < 1, cpu_s() - before  # of the 4 s that it waits


def test_get_and_ipv6():
    if not socket.has_ipv6:
        return
    try:
        probe = socket.socket(socket.AF_INET6)
        probe.bind(("::1", 0))
        probe.close()
    except OSError:
        print("no ::1 here: IPv6 not tried")
        return
    with Stub(host="::1") as stub:
        r, _ = run(stub, "-get=/ready", "-count=50", host="[::1]")
        assert r["ok"] == 50 and "gets_per_s" in r, r
        assert stub.paths == {"/ready": 50}, stub.paths


def test_idle_connections():
    with Stub() as stub:
        run(stub, "-idle=20", "-count=5", "-connections=1")
        assert stub.connections == 21, stub.connections


def test_interrupt_prints():
    with Stub() as stub:
        p = subprocess.Popen(
            [PYROLOAD, f"-addr=127.0.0.1:{stub.port}", f"-corpus={CORPUS}", "-variants=20",
             "-rate=100", "-duration=60"], stdout=subprocess.PIPE, text=True)
        while stub.requests < 20:
            time.sleep(0.01)
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate(timeout=20)
        assert p.returncode == 0, p.returncode
        assert "pushes_per_s=" in out, out


def test_refused():
    p = subprocess.run([PYROLOAD, "-addr=127.0.0.1:1", f"-corpus={CORPUS}", "-variants=1",
                        "-connections=0"], capture_output=True, text=True, timeout=5)
    assert p.returncode == 2 and "-connections: must be a number from 1" in p.stderr, p
    p = subprocess.run([PYROLOAD, "-rate=1"], capture_output=True, text=True, timeout=5)
    assert p.returncode == 2 and "-addr" in p.stderr, p


for name, test in list(globals().items()):
    if name.startswith("test_"):
        start = time.time()
        test()
        print(f"ok {name} {time.time() - start:.2f}s", flush=True)
