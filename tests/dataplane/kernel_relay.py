"""Client, and for comparison server, of kernel_relay.sh: the protocol of tcp_echo_main.c over Linux's TCP.

usage: kernel_relay.py serve ADDRESS PORT
       kernel_relay.py wide ADDRESS PORT EXCHANGES SEED    bodies and replies of 1 KB to 4 MB, log-uniform
       kernel_relay.py bulk ADDRESS PORT MEGABYTES         4 MB bodies, then 4 MB replies: MB/s of each
Every body is checked by the server's CRC-32, every reply byte by its pattern."""
import random
import socket
import struct
import sys
import threading
import time
import zlib

BLOCK = bytes((i * 7 + (i >> 8) * 13 + 1) & 255 for i in range(65536))
PATTERN = BLOCK * 65


def receive(sock, n):
    data = bytearray(n)
    view = memoryview(data)
    while view:
        got = sock.recv_into(view)
        if got == 0:
            raise SystemExit("connection closed early")
        view = view[got:]
    return data


def exchange(sock, body, reply_len):
    sock.sendall(struct.pack(">II", len(body), reply_len) + body)
    crc, = struct.unpack(">I", receive(sock, 4))
    if crc != zlib.crc32(body):
        raise SystemExit("a body of %d bytes arrived wrong" % len(body))
    if receive(sock, reply_len) != PATTERN[:reply_len]:
        raise SystemExit("a reply of %d bytes arrived wrong" % reply_len)


def answer(sock):
    while True:
        head = sock.recv(8, socket.MSG_WAITALL)
        if len(head) < 8:
            return
        body_len, reply_len = struct.unpack(">II", head)
        crc = zlib.crc32(receive(sock, body_len))
        sock.sendall(struct.pack(">I", crc) + PATTERN[:reply_len])


def serve(address, port):
    listener = socket.create_server((address, port))
    print("ready", flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=answer, args=(sock,), daemon=True).start()


def wide(address, port, exchanges, seed):
    rng = random.Random(seed)
    socks = [socket.create_connection((address, port), timeout=30) for _ in range(4)]
    begin, total, slowest = time.monotonic(), 0, 0
    for i in range(exchanges):
        sizes = [int(1024 * 4096 ** rng.random()) for _ in range(2)]
        if i % 2:
            sizes[rng.randrange(2)] = 1024
        t = time.monotonic()
        exchange(socks[i % 4], rng.randbytes(sizes[0]), sizes[1])
        slowest = max(slowest, time.monotonic() - t)
        total += sum(sizes)
    print("exchanges=%d bytes=%d seconds=%.2f slowest_ms=%.0f" %
          (exchanges, total, time.monotonic() - begin, slowest * 1000))


def bulk(address, port, megabytes):
    sock = socket.create_connection((address, port), timeout=30)
    body = random.Random(1).randbytes(4 << 20)
    rates = []
    for up in (True, False):
        begin = time.monotonic()
        for _ in range(megabytes // 4):
            exchange(sock, body if up else b"", 0 if up else 4 << 20)
        rates.append(megabytes / (time.monotonic() - begin))
    print("up_MBps=%.1f down_MBps=%.1f" % tuple(rates))


command, host, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
if command == "serve":
    serve(host, number)
elif command == "wide":
    wide(host, number, int(sys.argv[4]), int(sys.argv[5]))
else:
    bulk(host, number, int(sys.argv[4]))
