#!/usr/bin/env python3
"""objstore against a real S3 server (versitygw, posix backend, on loopback).

usage: s3.py OBJSTORE_CLI

Skips (77) where the server cannot be built (no Go, no module proxy). PW_VERSITYGW names a binary that is
there already; what is built stays in PW_TOOLS (default: build/tools beside the CLI's build folder).
"""
import hashlib
import http.client
import http.server
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
HOST = "127.0.0.31"
ACCESS, SECRET, BUCKET = "pyrowire-test", "a secret/with+odd=chars", "profiles"


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def server_binary(cli):
    named = os.environ.get("PW_VERSITYGW")
    if named:
        return named
    build = next(p for p in pathlib.Path(cli).resolve().parents if (p / "build.ninja").exists())
    tools = pathlib.Path(os.environ.get("PW_TOOLS", build / "tools"))
    binary = tools / "bin" / "versitygw"
    if not binary.exists():
        if not shutil.which("go"):
            skip("no Go to build the S3 server with")
        got = subprocess.run(["go", "install", MODULE], capture_output=True, text=True, timeout=280,
                             env={**os.environ, "GOBIN": str(tools / "bin"), "GOFLAGS": "-modcacherw"})
        if got.returncode != 0:
            skip("the S3 server could not be built: " + got.stderr.strip().splitlines()[-1])
    return str(binary)


def free_port():
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


class Server:
    """versitygw on a directory; tls: (certificate, key)."""

    def __init__(self, binary, root, tls=None):
        self.port = free_port()
        args = [binary, "--port", f"{HOST}:{self.port}", "--access", ACCESS, "--secret", SECRET, "--region",
                "eu-north-7"]
        if tls:
            args += ["--cert", tls[0], "--key", tls[1]]
        self.log = open(root + ".log", "w")
        self.process = subprocess.Popen(args + ["posix", root], stdout=self.log, stderr=self.log)
        for _ in range(100):
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the S3 server did not start: " + open(root + ".log").read())

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.close()


class FaultyProxy:
    """Forwards to a server, but fails a share of the requests: with 503, or by closing."""

    def __init__(self, port, share, seed):
        rng, proxy = random.Random(seed), self
        self.failed = self.passed = 0
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    fail, close = rng.random() < share, rng.random() < 0.5
                    proxy.failed += fail
                    proxy.passed += not fail
                if fail and close:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if fail:
                    text = b"<Error><Code>SlowDown</Code><Message>Please reduce your rate</Message></Error>"
                    self.send_response(503)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(text)
                    return
                up = http.client.HTTPConnection(HOST, port, timeout=30)
                up.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    up.putheader(name, value)
                up.endheaders(body)
                answer = up.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(data)
                up.close()

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Bucket:
    def __init__(self, cli, port, **env):
        self.cli = cli
        self.env = {"OBJSTORE_ENDPOINT": f"{HOST}:{port}", "OBJSTORE_BUCKET": BUCKET,
                    "OBJSTORE_ACCESS": ACCESS, "OBJSTORE_SECRET": SECRET, "OBJSTORE_PREFIX": "team/a",
                    "OBJSTORE_INSECURE": "1", "PATH": os.environ["PATH"], **env}

    def run(self, *args, timeout=120):
        return subprocess.run([self.cli, *map(str, args)], env=self.env, capture_output=True, timeout=timeout)

    def ok(self, *args, timeout=120):
        got = self.run(*args, timeout=timeout)
        assert got.returncode == 0, f"{args}: {got.stderr.decode()}"
        return got.stdout

    def fails(self, *args):
        got = self.run(*args)
        assert got.returncode == 1, f"{args}: exit {got.returncode}, {got.stdout[:200]}"
        return got.stderr.decode()


def make_file(folder, size, seed):
    path = os.path.join(folder, f"{seed}.bin")
    block = random.Random(seed).randbytes(1 << 20)
    with open(path, "wb") as f:
        for at in range(0, size, len(block)):
            f.write(at.to_bytes(8, "big"))
            f.write(block[: max(0, min(len(block), size - at) - 8)])
        f.truncate(size)
    return path


def sha(data):
    return hashlib.sha256(data).hexdigest()


def test_objects(b, folder):
    b.ok("check")
    small = make_file(folder, 100_000, 1)
    data = open(small, "rb").read()
    for key in ("t/phlaredb/01M7/meta.json", "t/odd name+%25/ü&=~'.bin", "t2/x"):
        b.ok("put", key, small)
        assert b.ok("get", key, 0, 2**64 - 1) == data
    assert b.ok("get", "t2/x", 5, 10) == data[5:15]
    assert b.ok("get", "t2/x", 99_990, 2**64 - 1) == data[99_990:]
    assert b.ok("get", "t2/x", 99_990, 500) == data[99_990:]
    size, mtime = b.ok("stat", "t2/x").split()
    assert int(size) == 100_000 and abs(int(mtime) - time.time()) < 300
    assert b.ok("list", "").decode() == "t/ 0\nt2/ 0\n"
    assert b.ok("tree", "t/").decode().split("\n") == sorted(
        ["", "t/odd name+%25/ü&=~'.bin 100000", "t/phlaredb/01M7/meta.json 100000"],
        key=lambda s: (s == "", s))
    assert "416" in b.fails("get", "t2/x", 100_000, 1)
    b.ok("delete", "t2/x")
    b.ok("delete", "t2/x")
    assert "404 (No such file" in b.fails("stat", "t2/x")


def test_pages(b, folder):
    """More objects than one page of a listing holds (1,000)."""
    small = make_file(folder, 10, 2)
    root = pathlib.Path(b.root) / BUCKET / "team/a/many"
    root.mkdir(parents=True)
    for i in range(1234):
        shutil.copy(small, root / f"{i:05d}")
    got = b.ok("tree", "many/").decode().splitlines()
    assert got == [f"many/{i:05d} 10" for i in range(1234)], len(got)


def test_large(b, folder, size):
    big = make_file(folder, size, 3)
    b.ok("put", "big", big, timeout=200)
    with open(big, "rb") as f:
        want = hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else sha(f.read())
    assert int(b.ok("stat", "big").split()[0]) == size
    assert sha(b.ok("get", "big", 0, 2**64 - 1, timeout=200)) == want
    os.unlink(big)


def test_refusals(b):
    wrong = Bucket(b.cli, 0, **{**b.env, "OBJSTORE_SECRET": "wrong"})
    text = wrong.fails("check")
    assert BUCKET in text and "403" in text and "SignatureDoesNotMatch" in text, text
    wrong = Bucket(b.cli, 0, **{**b.env, "OBJSTORE_BUCKET": "nobody"})
    text = wrong.fails("check")
    assert '"nobody"' in text and ("404" in text or "NoSuchBucket" in text), text
    wrong = Bucket(b.cli, 0, **{**b.env, "OBJSTORE_ENDPOINT": f"{HOST}:{free_port()}"})
    text = wrong.fails("check")
    assert BUCKET in text and "onnect" in text, text
    wrong = Bucket(b.cli, 0, **{**b.env, "OBJSTORE_ENDPOINT": "http://x"})
    assert "without a scheme" in wrong.fails("check")


def test_faults(b, server_port, folder):
    """One request in five fails: every object arrives whole, and retries were needed."""
    proxy = FaultyProxy(server_port, 0.2, seed=7)
    f = Bucket(b.cli, 0, **{**b.env, "OBJSTORE_ENDPOINT": f"{HOST}:{proxy.port}", "OBJSTORE_REGION": ""})
    files = [make_file(folder, size, 100 + i) for i, size in enumerate([1, 4096, 700_000, 40 << 20])]
    for i, path in enumerate(files * 5):
        f.ok("put", f"faulty/{i}", path)
    for i, path in enumerate(files * 5):
        assert f.ok("get", f"faulty/{i}", 0, 2**64 - 1) == open(path, "rb").read()
    proxy.stop()
    assert proxy.failed > 10, proxy.failed
    print(f"faults: {proxy.failed} of {proxy.failed + proxy.passed} requests failed")


def test_interrupted(b, folder):
    """A put that is killed leaves no object, or the whole one."""
    big = make_file(folder, 200 << 20, 4)
    for delay in (0.05, 0.2, 0.5):
        p = subprocess.Popen([b.cli, "put", "cut/big", big], env=b.env)
        time.sleep(delay)
        p.kill()
        p.wait()
        got = b.run("stat", "cut/big")
        assert got.returncode == 1 or int(got.stdout.split()[0]) == 200 << 20
    b.ok("put", "cut/big", big)
    assert int(b.ok("stat", "cut/big").split()[0]) == 200 << 20
    os.unlink(big)


def test_tls(cli, binary, folder):
    cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out",
                    cert, "-subj", "/CN=pyrowire-test", "-addext", f"subjectAltName=IP:{HOST}"], check=True,
                   capture_output=True)
    root = f"{folder}/tls"
    os.makedirs(f"{root}/{BUCKET}")
    server = Server(binary, root, (cert, key))
    try:
        b = Bucket(cli, server.port, OBJSTORE_INSECURE="", OBJSTORE_CA=cert)
        b.ok("put", "k", cert)
        assert b.ok("get", "k", 0, 2**64 - 1) == open(cert, "rb").read()
        text = Bucket(cli, server.port, OBJSTORE_INSECURE="").fails("check")
        assert "certificate" in text, text
    finally:
        server.stop()


def main():
    cli = sys.argv[1]
    binary = server_binary(cli)
    passed = 0
    with tempfile.TemporaryDirectory(prefix="pw_s3_") as folder:
        root = f"{folder}/root"
        os.makedirs(f"{root}/{BUCKET}")
        server = Server(binary, root)
        try:
            b = Bucket(cli, server.port)
            b.root = root
            for name, test in (("objects", lambda: test_objects(b, folder)), ("pages", lambda: test_pages(b, folder)),
                               ("large", lambda: test_large(b, folder, 1 << 30)),
                               ("refusals", lambda: test_refusals(b)),
                               ("faults", lambda: test_faults(b, server.port, folder)),
                               ("interrupted", lambda: test_interrupted(b, folder)),
                               ("tls", lambda: test_tls(cli, binary, folder))):
                started = time.time()
                test()
                passed += 1
                print(f"ok {name} {time.time() - started:.1f} s", flush=True)
        finally:
            server.stop()
    print(f"{passed} passed, 0 failed, 0 skipped")


main()
