#!/usr/bin/env python3
"""Nothing is allocated or freed on a polling core after start-up.

usage: allocations.py HOST:PORT PID COUNTS_FILE
PID runs with tests/support/alloc_count.c preloaded, which counts in COUNTS_FILE for every thread. What was
counted before the first push is start-up. Then: real pushes replayed byte for byte, every refusal of the
write cases, queries, pages, garbage of the fuzz corpus, thousands of pushes over many connections; and no
row of a thread named rte-worker-* may have moved. What the answers are is for other tests. Prints `N passed, N failed, N skipped`.
"""
import glob, http.client, os, re, socket, struct, subprocess, sys, time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
addr, pid, path = sys.argv[1:4]
ROW = struct.Struct('<QQQQQ24x')


def rows():
    out = {}
    with open(path, 'rb') as f:
        data = f.read()
    for i in range(0, len(data), ROW.size):
        tid, allocs, frees, maps, caller = ROW.unpack_from(data, i)
        if tid == 0:
            continue
        try:
            with open('/proc/%s/task/%d/comm' % (pid, tid)) as f:
                name = f.read().strip()
        except OSError:
            name = 'ended'
        out[tid] = (name, allocs, frees, maps, caller)
    return out


def where(caller):
    """Object and offset of an address, for addr2line."""
    for line in open('/proc/%s/maps' % pid):
        m = re.match(r'([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \S+\s*(\S*)', line)
        if m and int(m[1], 16) <= caller < int(m[2], 16):
            off = caller - int(m[1], 16) + int(m[3], 16)
            r = subprocess.run(['addr2line', '-f', '-e', m[4], hex(off)], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
            return '%s+%#x %s' % (m[4], off, r.stdout.replace('\n', ' '))
    return hex(caller)


def run(what, *args):
    r = subprocess.run(args, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
    last = r.stdout.strip().split('\n')[-1]
    done = re.match(r'(\d+) passed', last)
    if int(done[1]) < 50 if done else r.returncode != 0:
        sys.exit('%s did not run:\n%s' % (what, r.stdout[-2000:]))
    return what, r.returncode, last


def garbage():
    """Every file of the HTTP and frame corpora as what a client says; half of them cut off."""
    host, port = addr.rsplit(':', 1)
    n = 0
    for f in sorted(glob.glob(os.path.join(ROOT, 'tests/fuzz/corpus/http1/*')))[:200]:
        data = open(f, 'rb').read()
        for part in (data, data[:len(data) // 2]):
            s = socket.create_connection((host.strip('[]'), int(port)), timeout=5)
            s.settimeout(0.05)
            try:
                s.sendall(part)
                s.recv(4096)
            except OSError:
                pass
            s.close()
            n += 1
    return 'garbage', 0, '%d connections' % n


def pages():
    c = http.client.HTTPConnection(addr, timeout=10)
    for p in ('/metrics', '/config', '/ready', '/', '/nothing', '/api/v1/status/buildinfo',
              '/pyroscope/render?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds{}&from=now-1h&until=now'):
        c.request('GET', p)
        c.getresponse().read()
    c.close()
    return 'pages', 0, ''


before = rows()
names = {int(t): open('/proc/%s/task/%s/comm' % (pid, t)).read().strip() for t in os.listdir('/proc/%s/task' % pid)}
pollers = [t for t, name in names.items() if name.startswith('rte-worker')]
if not pollers or int(pid) not in before:
    sys.exit('no thread named rte-worker-* among %s, or nothing is counted (%d rows)' % (names, len(before)))
deeds = [
    lambda: run('replay', sys.executable, 'tests/e2e/replay.py', addr, 'tests/golden/pushes', '--modes',
                'whole,pipelined'),
    lambda: run('write cases', sys.executable, 'tests/e2e/write_cases.py', addr, 'tests/golden/write-cases.json',
                'default'),
    garbage, pages,
    lambda: run('pushes', 'build/perf/pyroload', '-addr', addr, '-count', '2000', '-connections', '64',
                '-allow-errors'),
    pages,
]
passed = failed = 0
for deed in deeds:
    name, rc, said = deed()
    now = rows()
    none = ('', 0, 0, 0, 0)  # a thread has no row before its first call
    moved = [(t, [b - a for a, b in zip(before.get(t, none)[1:4], now.get(t, none)[1:4])]) for t in pollers]
    bad = [(t, d) for t, d in moved if any(d)]
    for t, d in bad:
        print('FAIL  %s: %s has %d allocations, %d frees, %d mappings; the last from %s' %
              (name, names[t], *d, where(now[t][4])))
    others = sum(sum(r[1:4]) - sum(before.get(t, none)[1:4]) for t, r in now.items() if t not in pollers)
    print('      %s: exit %d, %s (other threads: %d calls)' % (name, rc, said, others))
    failed += 1 if bad else 0
    passed += 0 if bad else 1
    before = now
print('%d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(1 if failed else 0)
