#!/usr/bin/env python3
"""Attacks while a client pushes: it must not notice much, nothing may leak, every attack has its counter.

usage: attacks.py HOST:PORT INTERFACE ATTACKER      (root, inside the namespace behind INTERFACE)
The client is perf/pyroload at a fixed rate over connections of its own, new ones each round. ATTACKER is another
address of INTERFACE, so that the cap per address separates the two, as it would outside. Client and attackers
share the first CPU, the client before them: outside they would be different machines. What is asserted: every
push answered 2xx; the attack's counters moved; and at the end connections, buffers, budgets and requests in flight
are back where they were. Time is not judged here, machines are noisy: it is printed, `attack_NAME_of_bar` being the
client's p99 (the median of ROUNDS short rounds, because a virtual machine's pauses are a round's p99 now and then)
by its bar, twice the quiet one and 2 ms; `perf/run.sh attacks` runs this program and judges that. Standard library
only. Prints `N passed, N failed, N skipped`. PW_ATTACKS names those to run (a,b,c).
"""
import http.client, os, random, re, selectors, socket, statistics, struct, subprocess, sys, threading, time, zlib

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
addr, interface, attacker = sys.argv[1:4]
HOST, PORT = addr.rsplit(':', 1)[0], int(addr.rsplit(':', 1)[1])
RATE, SECONDS, ROUNDS = 500, 0.8, 7
SLACK_MS = 2
ONLY = os.environ.get('PW_ATTACKS', '').split(',') if os.environ.get('PW_ATTACKS') else None
if len(os.sched_getaffinity(0)) > 1:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
results = {'passed': 0, 'failed': 0}


def check(ok, text):
    results['passed' if ok else 'failed'] += 1
    if not ok:
        print('FAIL ', text)


# ---- Looking -----------------------------------------------------------------------------------------

watcher = http.client.HTTPConnection(HOST, PORT, timeout=20)


def metrics():
    watcher.request('GET', '/metrics')
    out = {}
    for line in watcher.getresponse().read().decode().split('\n'):
        m = re.match(r'([a-z_]+(?:\{.*\})?) (\S+)$', line)
        if m:
            out[m[1]] = float(m[2])
    return out


def total(m, pattern):
    """Sum of all series whose name or labels contain the pattern."""
    return sum(v for k, v in m.items() if re.search(pattern, k))


LEVEL = {  # what must be back where it was, and how far off it may be
    'connections{': 0, 'connections_half_open{': 0, 'send_buffer_bytes{': 8192, 'receive_budget_free_bytes{': 16384,
    'mbufs_free{': 128, 'http_connections ': 0, 'http_head_buffers': 0, 'http_reply_buffers': 0,
    'distributor_in_flight ': 0, 'distributor_bulk_bytes ': 0,
}


def level(m):
    return {k: sum(v for name, v in m.items() if ('_' + k.strip()) in name + ' ' and
                   (not k.endswith(' ') or name.endswith(k.strip()))) for k in LEVEL}


# ---- Raw frames --------------------------------------------------------------------------------------

def addresses():
    """Our MAC and the appliance's, from the kernel."""
    own = open('/sys/class/net/%s/address' % interface).read().strip()
    for line in open('/proc/net/arp'):
        if line.split()[0] == HOST:
            return [bytes.fromhex(x.replace(':', '')) for x in (own, line.split()[3])]
    sys.exit('no MAC of %s in the kernel' % HOST)


class Frames:
    def __init__(self):
        own, peer = addresses()
        self.ether = peer + own + b'\x08\0'
        self.dst = socket.inet_aton(HOST)
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.s.bind((interface, 0))
        self.sent = 0

    @staticmethod
    def fold(words):
        while words >> 16:
            words = (words & 0xffff) + (words >> 16)
        return words ^ 0xffff

    def send(self, src, sport, seq, ack, flags, data=b''):
        src = socket.inet_aton(src)
        n = 40 + len(data)
        ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, n, 1, 0, 64, 6, 0, src, self.dst)
        ip = ip[:10] + struct.pack('>H', self.fold(sum(struct.unpack('>10H', ip)))) + ip[12:]
        tcp = struct.pack('>HHIIBBHHH', sport, PORT, seq & 0xffffffff, ack & 0xffffffff, 0x50, flags, 64240, 0, 0)
        padded = tcp + data + b'\0' * (len(data) & 1)
        c = sum(struct.unpack('>%dH' % (len(padded) // 2), padded)) + 6 + n - 20
        c += sum(struct.unpack('>4H', src + self.dst))
        frame = self.ether + ip + tcp[:16] + struct.pack('>H', self.fold(c)) + tcp[18:] + data
        try:
            self.s.send(frame)
        except OSError:  # the link's queue is full: an attacker would not care
            pass
        self.sent += 1


FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def client_ports():
    """Ports of the client's established connections."""
    out = []
    want = '%08X:%04X' % (struct.unpack('<I', socket.inet_aton(HOST))[0], PORT)
    for line in open('/proc/net/tcp').readlines()[1:]:
        f = line.split()
        local = socket.inet_ntoa(struct.pack('<I', int(f[1].split(':')[0], 16)))
        port = int(f[1].split(':')[1], 16)
        if f[2] == want and f[3] == '01' and local != attacker and port != watcher.sock.getsockname()[1]:
            out.append((local, port))
    return out


# ---- Attacks: each runs until it is over, and says what it did ------------------------------------------

ended = threading.Event()  # the client's last round is


def over(until=0):
    return ended.is_set() or (until and time.time() >= until)


def strangers(until=0):
    """20,000 SYNs a second, of all addresses of the link."""
    f, rnd = Frames(), random.Random(1)
    net = HOST.rsplit('.', 1)[0]
    while not over(until):
        for _ in range(200):
            f.send('%s.%d' % (net, rnd.randrange(20, 250)), rnd.randrange(1024, 65535), rnd.getrandbits(32), 0, SYN)
        time.sleep(0.01)
    return '%d SYNs of other people' % f.sent


def syn_flood():
    """And meanwhile somebody new connects and asks, again and again."""
    took = []

    def newcomer():
        while not over():
            t = time.time()
            c = http.client.HTTPConnection(HOST, PORT, timeout=10)
            c.request('GET', '/ready')
            check(c.getresponse().status == 200, 'SYN flood: a newcomer was refused')
            c.close()
            took.append(time.time() - t)
            time.sleep(0.05)
    t = threading.Thread(target=newcomer)
    t.start()
    said = strangers()
    t.join(20)
    check(len(took) > 3, 'SYN flood: only %d newcomers' % len(took))
    return '%s, %d newcomers served within %.0f ms' % (said, len(took), max(took, default=9) * 1000)


def blind_rst():
    f, rnd = Frames(), random.Random(2)
    rounds = 0
    while not over():
        targets = client_ports()
        rounds += len(targets) > 0
        for i in range(4000 if targets else 0):
            # A step smaller than any window: one of each round of 2^32 falls into it.
            src, port = targets[0]
            f.send(src, port, f.sent * 65521 + rnd.randrange(1000), 0, RST)
        time.sleep(0.01)
    return '%d RSTs at connections seen %d times' % (f.sent, rounds)


def blind_data():
    f, rnd = Frames(), random.Random(3)
    evil = b'GET /evil HTTP/1.1\r\nHost: h\r\n\r\n'
    while not over():
        targets = client_ports()
        for i in range(2000 if targets else 0):
            src, port = targets[i % len(targets)]
            f.send(src, port, rnd.getrandbits(32), rnd.getrandbits(32), rnd.choice((ACK | PSH, SYN, ACK, FIN | ACK)),
                   evil)
        time.sleep(0.01)
    return '%d segments into connections of the client' % f.sent


def connect_many(n, until, rcvbuf=None):
    """n connections of ATTACKER; those that the other side resets are left out."""
    out, waiting = [], selectors.DefaultSelector()
    started = 0
    while (started < n or waiting.get_map()) and not over(until):
        while started < n and len(waiting.get_map()) < 200:
            s = socket.socket()
            s.setblocking(False)
            if rcvbuf:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            s.bind((attacker, 0))
            s.connect_ex((HOST, PORT))
            waiting.register(s, selectors.EVENT_WRITE)
            started += 1
        for key, _ in waiting.select(0.1):
            waiting.unregister(key.fileobj)
            out.append(key.fileobj)
    for key in list(waiting.get_map().values()):
        key.fileobj.close()
    return out, started


held = []  # sockets that stay open until the end of an attack, or of all attacks


def silent():
    socks, started = connect_many(10000, time.time() + 30)
    most = metrics()['pyrowire_http_connections']
    ended.wait(30)
    for s in socks:
        s.close()
    return '%d connections that say nothing, %d open at once' % (started, most)


slow_stop = threading.Event()


def slow_ones():
    """From before the first measured attack to the end: heads, bodies and readers that take for ever."""
    def drip(socks, piece):
        while not slow_stop.wait(0.5):
            for s in socks:
                try:
                    s.send(piece)
                except OSError:
                    pass
    until = time.time() + 10
    heads, _ = connect_many(300, until)
    bodies, _ = connect_many(300, until)
    readers, _ = connect_many(100, until, rcvbuf=2048)
    for s in heads:
        s.send(b'GET / HT')
    for s in bodies:
        s.send(b'POST /ingest?name=a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n')
    for s in readers:
        s.send(b'GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n' * 30)
    held.extend(heads + bodies + readers)
    threading.Thread(target=drip, args=(heads, b'x'), daemon=True).start()
    threading.Thread(target=drip, args=(bodies, b'0123456789'), daemon=True).start()


def wait():
    ended.wait(30)
    return '300 heads, 300 bodies, 100 readers'


# ---- Bombs -------------------------------------------------------------------------------------------

def gzip_bomb():
    """1 GiB of zeros in 1 MB. The checksum is wrong, which nobody gets to see who stops in time."""
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    z = b'\0' * (1 << 20)
    c.compress(z)
    c.flush(zlib.Z_FULL_FLUSH)
    block = c.compress(z) + c.flush(zlib.Z_FULL_FLUSH)
    return b'\x1f\x8b\x08\0\0\0\0\0\0\xff' + block * 1023 + c.compress(z) + c.flush() + b'\0' * 8


def varint(v):
    out = b''
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def field(n, data):
    return varint(n << 3 | 2) + varint(len(data)) + data


def push(raw):
    label = field(1, b'__name__') + field(2, b'process_cpu')
    service = field(1, b'service_name') + field(2, b'bomb')
    return field(1, field(1, label) + field(1, service) + field(2, field(1, raw)))


def nested(depth):
    """Messages inside messages, a length to every one; built from the inside."""
    parts, n = [], 0
    for _ in range(depth):
        h = b'\x12' + varint(n)
        parts.append(h)
        n += len(h)
    return b''.join(reversed(parts))


def protobuf_bombs():
    """Bodies for Push: (what, body). Each at most 3 MB of profile."""
    mega = b'\0' * 3000000
    head = field(1, b'\x08\x01\x10\x02') + field(6, b'') + field(6, b'cpu') + field(6, b'ns')
    yield 'nested 500,000 deep', push(head + nested(500000))
    yield 'envelope nested', nested(500000)
    yield 'a packed location_id of 3,000,000 zeros', push(head + field(2, field(1, mega)))
    yield 'a packed value of 3,000,000', push(head + field(2, field(2, mega)))
    yield 'packed that never ends', push(head + b'\x12' + varint(2 << 20) + b'\x0a' + varint(1 << 62) + mega[:2 << 20])
    yield 'varint of ones', push(head + field(2, b'\x0a' + varint(100000) + b'\xff' * 100000))
    yield 'length beyond the end', push(head + b'\x32' + varint(0xffffffff) + b'abc')
    yield 'length of 2^63', push(head + b'\x12' + b'\x80' * 8 + b'\x80\x01')
    yield 'envelope lies', b'\x0a' + varint(1 << 40) + b'\x12\x01'
    yield '1,400,000 empty samples', push(head + b'\x12\0' * 1400000)
    yield '1,400,000 empty strings', push(head + b'\x32\0' * 1400000)
    yield '1,400,000 empty functions', push(head + b'\x2a\0' * 1400000)
    yield '1,400,000 empty locations', push(head + b'\x22\0' * 1400000)
    yield '500,000 types', push(b'\x0a\0' * 500000 + head)
    yield '1,400,000 series', b'\x0a\0' * 1400000
    yield '1,000,000 labels', field(1, b'\x0a\0' * 1000000)
    yield 'negative ids', push(head + field(4, b'\x08' + b'\xff' * 9 + b'\x01') * 50000)


def post(path, body, headers, until=0, gap=0.0):
    """One after another on a connection of ATTACKER; statuses and the longest answer."""
    c = None
    seen, worst = {}, 0.0
    while not over(until):
        if c is None:
            c = http.client.HTTPConnection(HOST, PORT, timeout=10, source_address=(attacker, 0))
        t = time.time()
        try:
            c.request('POST', path, body, headers)
            r = c.getresponse()
            r.read()
            seen[r.status] = seen.get(r.status, 0) + 1
            if r.will_close:
                c = None
        except OSError as e:
            seen[type(e).__name__] = seen.get(type(e).__name__, 0) + 1
            c = None
        worst = max(worst, time.time() - t)
        time.sleep(gap)
    check(not any(str(k).startswith('5') and k != 503 for k in seen), '%s answered %s' % (path, seen))
    return '%s, longest %.0f ms' % (seen, worst * 1000)


PROTO = {'Content-Type': 'application/proto', 'Connect-Protocol-Version': '1'}
PUSH = '/push.v1.PusherService/Push'


def bomb_raw():
    return post(PUSH, push(BOMB), PROTO)


def bomb_outer():
    return post(PUSH, BOMB, dict(PROTO, **{'Content-Encoding': 'gzip'}))


def bomb_ingest():
    return post('/ingest?name=bomb&format=pprof', BOMB, {})


def bombs_protobuf():
    said = {}
    while not over():
        for what, body in PROTO_BOMBS:
            if over():
                break
            out = post(PUSH, body, PROTO, time.time() + 0.001)
            said[what] = out
    for what, out in said.items():
        print('        %-42s %s' % (what, out))
    return '%d kinds' % len(said)


# ---- The client ----------------------------------------------------------------------------------------

def client(rounds=ROUNDS):
    """Figures of each round; the exit codes are judged here."""
    out = []
    for i in range(rounds):
        p = subprocess.run(['build/perf/pyroload', '-addr', addr, '-rate', str(RATE), '-duration', str(SECONDS),
                            '-connections', '4', '-pods', '4', '-fifo', '50', '-seed', str(i + 1)], cwd=ROOT,
                           stdout=subprocess.PIPE, text=True, timeout=60)
        f = {k: float(v) for k, v in (x.split('=', 1) for x in p.stdout.split('\n') if '=' in x)}
        # What was due and never found a free connection says that the machine is slow, not that a push failed.
        failed = f.get('errors', -1) - f.get('unsent', 0)
        check(p.returncode <= 1 and failed == 0 and f['ok'] > 0, 'the client: %d pushes failed' % failed)
        out.append(f)
    return out


def median(rounds, name):
    return statistics.median(f[name + '_us'] for f in rounds) / 1e3


def figures(rounds):
    return 'p50 %6.2f ms  p99 %7.2f ms  worst round %7.2f ms  max %7.2f ms' % (
        median(rounds, 'p50'), median(rounds, 'p99'), max(f['p99_us'] for f in rounds) / 1e3,
        max(f['max_us'] for f in rounds) / 1e3)


def run(attack, rounds=ROUNDS):
    said = []
    ended.clear()
    t = threading.Thread(target=lambda: said.append(attack()))
    t.start()
    time.sleep(0.3)
    got = client(rounds)
    ended.set()
    t.join(60)
    check(said, 'the attack did not end')
    return got, said[0] if said else ''


def attacked(name, attack, counters):
    if ONLY and name not in ONLY:
        return
    before = metrics()
    got, said = run(attack)
    after = metrics()
    moved = {c: total(after, c) - total(before, c) for c in counters}
    bar = 2 * median(quiet, 'p99') + SLACK_MS
    print('%-14s %s;  %s  %s' % (name, figures(got), said,
                                ', '.join('%s +%d' % (c.strip('"{}'), n) for c, n in moved.items())), flush=True)
    key = 'attack_' + name.lower().replace(' ', '_')
    print('%s_of_bar=%.2f' % (key, median(got, 'p99') / bar))
    print('%s_slowest_ms=%.0f' % (key, max(f['max_us'] for f in got) / 1e3), flush=True)
    for c, n in moved.items():
        check(n > 0, '%s: no counter %s moved' % (name, c))


metrics()
base = metrics()
client(1)  # first touch of memory
quiet = client()
print('quiet          %s' % figures(quiet))
start = metrics()
started = time.time()
BOMB, PROTO_BOMBS = gzip_bomb(), list(protobuf_bombs())
slow_ones()
attacked('slow ones', wait, [])
attacked('blind RST', blind_rst, ['rst_inexact|outside_window|paws'])
attacked('blind data', blind_data, ['outside_window|bad_ack|syn_in_state|no_timestamp|paws'])
attacked('silent', silent, ['"connections_per_address"'])
attacked('gzip inside', bomb_raw, ['samples_total.*"profile_size_limit"'])
attacked('gzip outside', bomb_outer, ['refused_requests_total.*"request_too_large"'])
attacked('gzip ingest', bomb_ingest, ['samples_total.*"profile_size_limit"'])
attacked('protobuf', bombs_protobuf, ['samples_total.*"(undecodable_profile|malformed_profile)"', '"bad_request"'])
while time.time() < started + 36:
    time.sleep(0.2)
slow_stop.set()
end = metrics()
for reason, what in (('head_timeout', 'heads'), ('body_timeout|body_slow', 'bodies'), ('send_timeout', 'readers')):
    n = total(end, reason) - total(start, reason)
    print('%-14s %s +%d' % ('slow ' + what, reason, n))
    check(n >= 90, '%s: only %d' % (reason, n))
for s in held:
    s.close()
# Last: the half-open ones need half a minute to go.
attacked('SYN flood', syn_flood, ['syn_full', 'cookies_sent', 'cookies_taken'])
deadline = time.time() + 45
while time.time() < deadline:
    end = metrics()
    off = {k: (level(base)[k], v) for k, v in level(end).items() if abs(v - level(base)[k]) > LEVEL[k]}
    if not off:
        break
    time.sleep(0.5)
for k, (was, now) in off.items():
    print('FAIL  %s was %d, is %d' % (k, was, now))
check(not off, 'not back to level')
print('memory: resident %.0f MiB (before %.0f), scratch peak %.1f MiB' % (
    end['process_resident_memory_bytes'] / 2**20, base['process_resident_memory_bytes'] / 2**20,
    end['pyrowire_distributor_scratch_bytes_peak'] / 2**20))
print('%(passed)d passed, %(failed)d failed, 0 skipped' % results)
sys.exit(1 if results['failed'] else 0)
