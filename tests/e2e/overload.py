#!/usr/bin/env python3
"""More pushes than the appliance has room for: refused with a reason, counted, and no more memory than configured.

usage: overload.py HOST:PORT head|buffers|tenants GROWTH_MIB
head: started with a head that a few seconds fill: slowed by the window, then 429 and tenant_share (it is the only
tenant, and what is free is kept for others). tenants: the same with multi-tenancy: one tenant pushes twice what fits,
and every push of another one is taken meanwhile and afterwards. buffers: started with receive memory for a
handful of bodies: the window slows them, who waits too long has a 503, and the accepted ones are answered. In both:
the resident memory never grows by more than GROWTH_MIB (the head or the buffers, and what requests in flight need,
which is bounded too), as much load again does not add to it, and afterwards everything in use is back to level.
Prints `N passed, N failed, N skipped`.
"""
import http.client, os, re, subprocess, sys, threading, time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
addr, kind, growth_mib = sys.argv[1], sys.argv[2], float(sys.argv[3])
passed = failed = 0
lock = threading.Lock()
watcher = http.client.HTTPConnection(addr, timeout=20)


def check(ok, text):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print('FAIL ', text)


def metrics():
    with lock:
        watcher.request('GET', '/metrics')
        text = watcher.getresponse().read().decode()
    return {m[1]: float(m[2]) for m in re.finditer(r'^([a-z_]+(?:\{.*\})?) (\S+)$', text, re.M)}


def total(m, pattern):
    return sum(v for k, v in m.items() if re.search(pattern, k))


LEVEL = {'worker_connections\\{': 0, 'send_buffer_bytes': 8192, 'receive_budget_free_bytes': 16384, 'mbufs_free': 128,
         '_http_connections$': 0, 'reply_buffers': 0, 'head_buffers': 0, 'distributor_in_flight$': 0, 'distributor_bulk_bytes$': 0}


def load(connections, seconds, *more):
    p = subprocess.Popen(['build/perf/pyroload', '-addr', addr, '-connections', str(connections), '-duration', str(seconds),
                          '-allow-errors', *more], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out, most = None, 0
    while p.poll() is None:
        most = max(most, metrics()['process_resident_memory_bytes'])
        time.sleep(0.1)
    out = dict(x.split('=', 1) for x in p.stdout.read().split('\n') if '=' in x)
    return {k: float(v) for k, v in out.items()}, most / 2**20


def finish():
    print('%d passed, %d failed, 0 skipped' % (passed, failed))
    sys.exit(1 if failed else 0)


class Modest(threading.Thread):
    """One small push after another, each of a new series, until stop() and then `after` more."""
    def __init__(self):
        super().__init__()
        self.taken, self.other, self.ending = 0, [], threading.Event()

    def push(self, c):
        c.request('POST', '/ingest?name=modest%d&format=folded' % self.taken, b'main;work %d\n' % (self.taken + 1),
                  {'X-Scope-OrgID': 'modest'})
        r = c.getresponse()
        text = r.read()
        self.taken += r.status == 200
        if r.status != 200:
            self.other.append('%d %s' % (r.status, text[:200]))

    def run(self):
        c = http.client.HTTPConnection(addr, timeout=30)
        while not self.ending.is_set() and not self.other:
            self.push(c)
            time.sleep(0.005)
        for _ in range(100):
            self.push(c)


def tenants():
    base, modest = metrics(), Modest()
    limit = base['pyrowire_head_limit_bytes']
    modest.start()
    ok = refused = most = rounds = 0
    while rounds < 20 and (ok == 0 or refused < ok):  # twice what fits
        f, m = load(256, 2, '-tenant', 'greedy')
        ok, refused, most, rounds = ok + f['ok'], refused + f['errors'], max(most, m), rounds + 1
    modest.ending.set()
    modest.join()
    end = metrics()
    counted = sum(v for k, v in end.items() if 'discarded_samples_total' in k and '"tenant_share"' in k and '"greedy"' in k)
    slowed = total(end, 'slowed_total.*"greedy"')
    print('tenants: greedy %d taken, %d refused, %d slowed; modest %d taken; head %d of %d bytes' % (
        ok, refused, slowed, modest.taken, end['pyrowire_head_used_bytes'], limit))
    check(not modest.other, 'modest: %s' % modest.other[:3])
    check(modest.taken > 150, 'modest pushed only %d' % modest.taken)
    check(ok > 100 and refused >= ok, 'greedy did not push twice what fits')
    check(counted >= refused, '%d counted as tenant_share of %d refused' % (counted, refused))
    check(slowed > 0, 'nobody was slowed')
    check(total(end, 'slowed_total.*"modest"') == 0, 'modest was slowed')
    check(end['pyrowire_head_used_bytes'] <= limit, 'the head is larger than its limit')
    check(most - resident(base) < growth_mib, '%.1f MiB resident, %.1f before the load' % (most, resident(base)))
    finish()


resident = lambda m: m['process_resident_memory_bytes'] / 2**20
if kind == 'tenants':
    tenants()
base = metrics()
f, most = load(128, 4)
end = metrics()
print('%s: %d sent, %d taken, %d refused; p50 %.2f ms, p99 %.2f ms; resident at most %.0f MiB' % (
    kind, f['sent'], f['ok'], f['errors'], f['p50_us'] / 1e3, f['p99_us'] / 1e3, most))
moved = lambda pattern: total(end, pattern) - total(base, pattern)
check(f['ok'] > 100, 'only %d pushes were taken' % f['ok'])
check(most - resident(base) < growth_mib, '%.1f MiB resident, %.1f before the load' % (most, resident(base)))
if kind == 'head':
    check(f['errors'] > 0, 'nothing was refused')
    full = 'discarded_samples_total.*"(head_full|tenant_share)"'
    check(moved(full) >= f['errors'] > 0, '+%d for %d refusals' % (moved(full), f['errors']))
    check(moved('slowed_total') > 0, 'nobody was slowed before')
    check(moved('responses_total.*4xx') >= f['errors'], 'answers 4xx: +%d' % moved('responses_total.*4xx'))
    check(end['pyrowire_head_used_bytes'] <= end['pyrowire_head_limit_bytes'], 'the head is larger than its limit')
    print('      head_full and tenant_share +%d, slowed +%d, head %d of %d bytes' % (
        moved(full), moved('distributor_slowed_total'), end['pyrowire_head_used_bytes'], end['pyrowire_head_limit_bytes']))
else:
    waited, refused = moved('reserve_failed'), moved('"no_receive_buffers"') + moved('"body_slow"')
    print('      reservations that failed +%d, 503 or reset +%d, windows closed +%d' % (waited, refused, moved('zero_windows')))
    check(waited > 0, 'the load never met the limit')
    check(refused >= f['errors'], '%d errors, %d counted' % (f['errors'], refused))
check(moved('responses_total.*5xx') == moved('"no_receive_buffers"'), '5xx other than those: +%d' % moved('responses_total.*5xx'))
again, most_again = load(128, 4)
used = metrics()['pyrowire_head_used_bytes'] - end['pyrowire_head_used_bytes']
print('      the same again: %d taken, %d refused; resident %.1f MiB before, at most %.1f and %.1f, head +%.1f' % (
    again['ok'], again['errors'], resident(base), most, most_again, used / 2**20))
check(most_again < most + used / 2**20 + 8, '%.1f MiB resident the first time, %.1f the second' % (most, most_again))
deadline = time.time() + 15
while time.time() < deadline:
    end = metrics()
    off = {k: (total(base, k), total(end, k)) for k in LEVEL if abs(total(end, k) - total(base, k)) > LEVEL[k]}
    if not off:
        break
    time.sleep(0.3)
check(not off, 'not back to level: %s' % off)
finish()
