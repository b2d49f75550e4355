"""Client, and for comparison server, of kernel_relay.sh: the protocol of tcp_echo_main.c over Linux's TCP.

usage: kernel_relay.py serve ADDRESS PORT
       kernel_relay.py wide ADDRESS PORT EXCHANGES SEED    bodies and replies of 1 KB to 4 MB, most of them small
       kernel_relay.py bulk ADDRESS PORT MEGABYTES         4 MB bodies, then 4 MB replies: MB/s of each
CC in the environment names the congestion control of the Linux ends; without, the machine's default.
Every body is checked by the server's CRC-32, every reply byte by its pattern."""
import os
import random
import socket
import struct
import sys
import threading
import time
import zlib

CONNECTIONS = 10
CC = os.environ.get("CC")
BLOCK = bytes((i * 7 + (i >> 8) * 13 + 1) & 255 for i in range(65536))
PATTERN = BLOCK * 65


def congestion_control(sock):
    """What both Linux stacks are to use: the machine's default may be something that a loss does not slow."""
    if CC:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CC.encode())


def connect(address, port):
    sock = socket.create_connection((address, port), timeout=60)
    congestion_control(sock)
    return sock


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
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family)
    print("ready", flush=True)
    while True:
        sock, _ = listener.accept()
        congestion_control(sock)
        threading.Thread(target=answer, args=(sock,), daemon=True).start()


def sizes_of(rng, i):
    """Bytes of the body and of the reply: both small, one log-uniform up to 256 KB, and one in 25 up to 4 MB."""
    most = 4096 if i % 25 == 0 else 256 if i % 3 == 0 else 16
    pair = [int(1024 * most ** rng.random()), 1024]
    if i % 50 == 0:
        pair[0] = 4 << 20
    return pair if i // 25 % 2 else pair[::-1]


def wide(address, port, exchanges, seed):
    begin = time.monotonic()
    times, total, failures = [], [], []

    def run(first):
        rng = random.Random(seed * 1000 + first)
        try:
            sock = connect(address, port)
            for i in range(first, exchanges, CONNECTIONS):
                body_len, reply_len = sizes_of(rng, i)
                t = time.monotonic()
                exchange(sock, rng.randbytes(body_len), reply_len)
                times.append(time.monotonic() - t)
                total.append(body_len + reply_len)
            sock.close()
        except (OSError, SystemExit) as e:
            failures.append("connection %d: %r" % (first, e))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(min(CONNECTIONS, exchanges))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures or len(times) != exchanges:
        raise SystemExit("%d of %d exchanges\n%s" % (len(times), exchanges, "\n".join(failures)))
    print("exchanges=%d bytes=%d largest=%d seconds=%.2f slowest_ms=%.0f" %
          (exchanges, sum(total), max(total), time.monotonic() - begin, max(times) * 1000))


def bulk(address, port, megabytes):
    """Requests are sent without waiting for answers: a lost last segment of one, which only a timeout of 200 ms
    finds whoever sends it, is then no matter of throughput."""
    sock = connect(address, port)
    body = random.Random(1).randbytes(4 << 20)
    crc = struct.pack(">I", zlib.crc32(body))
    empty = struct.pack(">I", zlib.crc32(b""))
    n = megabytes // 4
    rates = []
    for up in (True, False):
        request = struct.pack(">II", len(body), 0) + body if up else struct.pack(">II", 0, len(body))
        reply = crc if up else empty + PATTERN[:len(body)]
        begin = time.monotonic()
        sender = threading.Thread(target=lambda: [sock.sendall(request) for _ in range(n)])
        sender.start()
        for _ in range(n):
            if receive(sock, len(reply)) != reply:
                raise SystemExit("a reply arrived wrong")
        sender.join()
        rates.append(4 * n / (time.monotonic() - begin))
    print("up_MBps=%.1f down_MBps=%.1f" % tuple(rates))


command, host, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
if command == "serve":
    serve(host, number)
elif command == "wide":
    wide(host, number, int(sys.argv[4]), int(sys.argv[5]))
else:
    bulk(host, number, int(sys.argv[4]))
