#!/usr/bin/env python3
"""The steps of perf/run.sh. Prints name=value lines; perf/README.md says what they mean.

unpack: what libdeflate alone needs to unpack the bodies of the mix, on the poller's CPU, before load.
load ADDR: everything that needs the running appliance (PW_PID, PW_SECONDS in the environment).
"""
import http.client, os, re, statistics, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STATE = '/run/pyrowire-perf-unpack'  # from the first step to the second, of the same run


def show(name, value, digits=1):
    print('%s=%.*f' % (name, digits, value), flush=True)


def figures(argv, **kw):
    """Runs a program that prints name=value lines."""
    out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=300, **kw)
    pairs = dict(re.findall(r'^(\w+)=([-0-9.]+)$', out.stdout, re.M))
    return out.returncode, {k: float(v) for k, v in pairs.items()}


def unpack():
    """libdeflate on the very bodies that are pushed (the mix, packed again as an SDK does it), round
    robin over 10 pods of each profile: 3.4 MB, so that the input is not all in the first caches."""
    cpu = os.cpu_count() - 1
    env = dict(os.environ, PW_BENCH_CPU=str(cpu), PW_SOURCE_ROOT=ROOT)
    rc, f = figures([os.path.join(ROOT, 'build/perf/pyroload'), '-addr', '127.0.0.1:1', '-unpack', '-corpus',
                     os.path.join(ROOT, 'perf/corpus'), '-cpu', str(cpu), '-variants', '200'])
    if rc:
        sys.exit('perf: pyroload -unpack failed')
    with open(STATE, 'w') as s:
        s.write(str(f['unpack_us']))
    show('unpack_us', f['unpack_us'])
    rc, f = figures([os.path.join(ROOT, 'build/perf/bench_wire')], env=env)
    for k in ('inflate_us', 'parse_us', 'validate_us', 'normalize_us', 'record_us'):
        if k in f:
            show('stage_' + k, f[k])


class Appliance:
    def __init__(self, addr):
        self.addr = addr
        self.pid = os.environ['PW_PID']

    def wait(self):
        for _ in range(150):
            try:
                c = http.client.HTTPConnection(self.addr, timeout=1)
                c.request('GET', '/ready')
                if c.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        sys.exit('perf: no answer from ' + self.addr)

    def metrics(self):
        c = http.client.HTTPConnection(self.addr, timeout=10)
        c.request('GET', '/metrics')
        text = c.getresponse().read().decode()
        c.close()
        out = {}
        for name, value in re.findall(r'^(\w+)(?:\{[^}]*\})? (\S+)$', text, re.M):
            if 'poller_busy' not in name:
                out[name] = out.get(name, 0) + float(value)
        return out

    def rss(self):
        for line in open('/proc/%s/status' % self.pid):
            if line.startswith('VmRSS'):
                return int(line.split()[1]) * 1024

    def load(self, *args):
        """Generator figures and what the appliance spent meanwhile."""
        before = self.metrics()
        rc, f = figures([os.path.join(ROOT, 'build/perf/pyroload'), '-addr', self.addr, '-corpus',
                         os.path.join(ROOT, 'perf/corpus'), '-cpu', '0', *map(str, args)])
        if rc:
            print('perf: pyroload %s ended with %d: %s' % (' '.join(map(str, args)), rc, f), file=sys.stderr)
            sys.exit(1)
        after = self.metrics()
        return f, {k: after[k] - before.get(k, 0) for k in after}


# The generator has a real-time priority and sleeps until something is due. Without the priority whoever
# else wants its CPU delays it by a scheduler's slice, 3 or 4 ms; spinning it would keep the CPU from the
# kernel's and the appliance's background work. When issue_p99_us comes near p99_us, it is the generator (or
# the hypervisor under it) that was measured.
GENERATOR = ('-fifo', 50, '-arrivals', 'poisson', '-connections', 16)
ROUNDS = 7


def half_load(a, rate, unpack_us, seconds):
    """The answer at half load. The median of the rounds, because a hypervisor's pause of 20 ms in one of
    them is enough to be its p99; how many rounds kept the bar is said too. An empty GET at the same rate
    shows what wire, kernels and hypervisor take alone."""
    def rounds(n, *args):
        return [a.load('-rate', rate, '-duration', seconds / 5, '-warmup', 0.3, '-seed', i + 1, *GENERATOR,
                       *args)[0] for i in range(n)]
    got = rounds(ROUNDS)
    for k in ('p50_us', 'p99_us', 'p999_us', 'issue_p99_us'):
        show(k, statistics.median(f[k] for f in got), 0)
    for k in ('p50', 'p99', 'p999'):
        show(k + '_ratio', statistics.median(f[k + '_us'] for f in got) / unpack_us)
    show('p99_us_best', min(f['p99_us'] for f in got), 0)
    show('p99_us_worst', max(f['p99_us'] for f in got), 0)
    show('p99_rounds_within', sum(f['p99_us'] <= 40 * unpack_us for f in got), 0)
    floor = rounds(3, '-get', '/ready')
    show('get_p50_us', statistics.median(f['p50_us'] for f in floor), 0)
    show('get_p99_us', statistics.median(f['p99_us'] for f in floor), 0)
    show('get_p99_us_worst', max(f['p99_us'] for f in floor), 0)


def stall(a, rate):
    """100,000 pushes at half load: how many took more than 50 ms, and what TCP had to send again."""
    f, d = a.load('-rate', rate, '-count', 100000, '-warmup', 0.5, *GENERATOR)
    show('stall_pushes', f['ok'], 0)
    show('stall_over_50ms', f['stalls'], 0)
    show('stall_max_us', f['max_us'], 0)
    show('stall_retransmits', d['pyrowire_worker_tcp_retransmits_total'], 0)
    f, d = a.load('-rate', rate, '-count', 100000, '-warmup', 0.5, *GENERATOR, '-get', '/ready')
    show('stall_get_over_50ms', f['stalls'], 0)
    show('stall_get_max_us', f['max_us'], 0)


def load(addr):
    seconds = float(os.environ.get('PW_SECONDS', '10'))
    unpack_us = float(open(STATE).read())
    os.unlink(STATE)
    a = Appliance(addr)
    a.wait()

    # 5,000 pushes first, on an empty head: what the head costs.
    f, d = a.load('-count', 5000, '-connections', 8)
    show('head_bytes_per_push', d['pyrowire_head_used_bytes'] / f['ok'], 0)

    # As fast as the poller and the generator go.
    f, d = a.load('-duration', seconds, '-connections', 16, '-warmup', 0.5)
    records = d['pyrowire_ingester_records_total']
    cpu = d['pyrowire_loop_busy_seconds_total'] * 1e6 / records
    rate = f['pushes_per_s']
    show('cpu_us_per_push', cpu)
    show('unpack_ratio', cpu / unpack_us, 2)
    show('driver_us_per_push', d['pyrowire_worker_driver_seconds_total'] * 1e6 / records)
    show('pushes_per_s', rate, 0)

    half_load(a, rate / 2, unpack_us, seconds)
    if os.environ.get('PW_STALL'):
        stall(a, rate / 2)

    # Empty GETs: what one costs the poller, so how many one core could answer.
    f, d = a.load('-get', '/ready', '-duration', seconds / 2, '-connections', 16, '-warmup', 0.2)
    per_get = d['pyrowire_loop_busy_seconds_total'] * 1e6 / d['pyrowire_http_requests_total']
    show('cpu_us_per_get', per_get, 2)
    show('get_per_s', 1e6 / per_get, 0)

    # Connections that say nothing.
    conns = 10000
    before = a.rss()
    p = subprocess.Popen([os.path.join(ROOT, 'build/perf/pyroload'), '-addr', addr, '-get', '/ready',
                          '-rate', '10', '-duration', '5', '-idle', str(conns), '-connections', '1'],
                         stdout=subprocess.PIPE, text=True)
    most = open_most = 0
    while p.poll() is None:
        n = a.metrics()['pyrowire_http_connections']
        if n >= open_most:
            open_most, most = n, a.rss()
        time.sleep(0.3)
    if open_most < conns:
        print('perf: only %d of %d idle connections were open at once' % (open_most, conns), file=sys.stderr)
    show('idle_conn_bytes', (most - before) / max(open_most, 1), 0)


if sys.argv[1] == 'unpack':
    unpack()
else:
    load(sys.argv[2])
