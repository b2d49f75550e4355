"""Client side of kernel_interop.sh: request/response exchanges over the Linux kernel's TCP.

usage: kernel_interop.py ADDRESS PORT EXCHANGES CONNECTIONS SLOWEST_S SEED
Every body is checked by the server's CRC-32, every reply byte by its pattern. An exchange slower than
SLOWEST_S is a stall and fails the run."""
import random
import socket
import struct
import sys
import time
import zlib

PATTERN = bytes((i * 7 + (i >> 8) * 13 + 1) & 255 for i in range(65536))


def size(rng):
    """Mostly like pushes and their answers, sometimes tiny or large, sometimes at a segment's edge."""
    kind = rng.randrange(10)
    if kind < 4:
        return rng.randrange(0, 2000)
    if kind < 8:
        return rng.randrange(2000, 60000)
    if kind < 9:
        return 1448 * rng.randrange(1, 20) + rng.randrange(-1, 2)
    return rng.randrange(60000, 600000)


def receive(sock, n):
    parts = []
    while n > 0:
        part = sock.recv(min(n, 1 << 16))
        if not part:
            raise SystemExit("connection closed early")
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def exchange(sock, rng, pieces):
    body = rng.randbytes(size(rng))
    reply_len = size(rng)
    data = struct.pack(">II", len(body), reply_len) + body
    if pieces:  # small writes, as careless clients do
        for i in range(0, min(len(data), 3000), 61):
            sock.sendall(data[i:i + 61] if i + 61 < 3000 else data[i:])
    else:
        sock.sendall(data)
    crc, = struct.unpack(">I", receive(sock, 4))
    if crc != zlib.crc32(body):
        raise SystemExit("a body of %d bytes arrived wrong" % len(body))
    want = (PATTERN * (reply_len // 65536 + 1))[:reply_len]
    if receive(sock, reply_len) != want:
        raise SystemExit("a reply of %d bytes arrived wrong" % reply_len)
    return len(body) + reply_len


def main():
    address, port = sys.argv[1], int(sys.argv[2])
    exchanges, connections = int(sys.argv[3]), int(sys.argv[4])
    slowest_allowed, rng = float(sys.argv[5]), random.Random(int(sys.argv[6]))
    socks = [socket.create_connection((address, port), timeout=30) for _ in range(connections)]
    slowest = total = 0
    begin = time.monotonic()
    for i in range(exchanges):
        k = i % connections
        if i % 97 == 96:  # a new connection now and then, the old one closed by us
            socks[k].close()
            socks[k] = socket.create_connection((address, port), timeout=30)
        t = time.monotonic()
        total += exchange(socks[k], rng, pieces=i % 10 == 9)
        took = time.monotonic() - t
        slowest = max(slowest, took)
        if took > slowest_allowed:
            raise SystemExit("exchange %d stalled: %.3f s" % (i, took))
    for sock in socks:
        sock.shutdown(socket.SHUT_WR)
        if sock.recv(1):
            raise SystemExit("bytes after the last reply")
        sock.close()
    print("exchanges=%d bytes=%d seconds=%.2f slowest_ms=%.1f" %
          (exchanges, total, time.monotonic() - begin, slowest * 1000))


main()
