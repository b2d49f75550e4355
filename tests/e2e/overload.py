#!/usr/bin/env python3
"""More pushes than the appliance has room for: refused with a reason, counted, and no more memory than configured.

usage: overload.py HOST:PORT head|buffers GROWTH_MIB
head: started with a head that a few seconds fill: 429 and head_full. buffers: started with receive memory for a
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


def load(connections, seconds):
    p = subprocess.Popen(['build/perf/pyroload', '-addr', addr, '-connections', str(connections), '-duration', str(seconds),
                          '-allow-errors'], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out, most = None, 0
    while p.poll() is None:
        most = max(most, metrics()['process_resident_memory_bytes'])
        time.sleep(0.1)
    out = dict(x.split('=', 1) for x in p.stdout.read().split('\n') if '=' in x)
    return {k: float(v) for k, v in out.items()}, most / 2**20


resident = lambda m: m['process_resident_memory_bytes'] / 2**20
base = metrics()
f, most = load({'head': 32, 'buffers': 128}[kind], 4)
end = metrics()
print('%s: %d sent, %d taken, %d refused; p50 %.2f ms, p99 %.2f ms; resident at most %.0f MiB' % (
    kind, f['sent'], f['ok'], f['errors'], f['p50_us'] / 1e3, f['p99_us'] / 1e3, most))
moved = lambda pattern: total(end, pattern) - total(base, pattern)
check(f['ok'] > 100, 'only %d pushes were taken' % f['ok'])
check(most - resident(base) < growth_mib, '%.1f MiB resident, %.1f before the load' % (most, resident(base)))
if kind == 'head':
    check(f['errors'] > 0, 'nothing was refused')
    check(moved('samples_total.*"head_full"') >= f['errors'] > 0, 'head_full +%d for %d refusals' % (moved('"head_full"'), f['errors']))
    check(moved('responses_total.*4xx') >= f['errors'], 'answers 4xx: +%d' % moved('responses_total.*4xx'))
    check(end['pyrowire_head_used_bytes'] <= end['pyrowire_head_limit_bytes'], 'the head is larger than its limit')
    print('      head_full +%d, head %d of %d bytes' % (
        moved('samples_total.*"head_full"'), end['pyrowire_head_used_bytes'], end['pyrowire_head_limit_bytes']))
else:
    waited, refused = moved('reserve_failed'), moved('"no_receive_buffers"') + moved('"body_slow"')
    print('      reservations that failed +%d, 503 or reset +%d, windows closed +%d' % (waited, refused, moved('zero_windows')))
    check(waited > 0, 'the load never met the limit')
    check(refused >= f['errors'], '%d errors, %d counted' % (f['errors'], refused))
check(moved('responses_total.*5xx') == moved('"no_receive_buffers"'), '5xx other than those: +%d' % moved('responses_total.*5xx'))
again, most_again = load({'head': 32, 'buffers': 128}[kind], 4)
used = metrics()['pyrowire_head_used_bytes'] - end['pyrowire_head_used_bytes']
print('      the same again: %d taken, %d refused; resident %.1f MiB before, at most %.1f and %.1f, head +%.1f' % (
    again['ok'], again['errors'], resident(base), most, most_again, used / 2**20))
check(most_again < most + used / 2**20 + 4, '%.1f MiB resident the first time, %.1f the second' % (most, most_again))
deadline = time.time() + 15
while time.time() < deadline:
    end = metrics()
    off = {k: (total(base, k), total(end, k)) for k in LEVEL if abs(total(end, k) - total(base, k)) > LEVEL[k]}
    if not off:
        break
    time.sleep(0.3)
check(not off, 'not back to level: %s' % off)
print('%d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(1 if failed else 0)
