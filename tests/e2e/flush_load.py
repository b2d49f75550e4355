#!/usr/bin/env python3
"""Push, cut and query at the same time: no profile is lost, none is counted twice.

usage: flush_load.py HOST:PORT [SECONDS [PUSHERS [SERVICE]]]
PUSHERS connections push folded profiles of one sample each, one asks IngesterService/Flush again and again, one
asks for the total again and again: every total lies between what was answered 200 before it was asked and what
had been sent when it came; at the end it is exact, in the heads, in blocks, as flame graph and as series.
SECONDS are exceeded until there is enough to judge. Profiles that were refused with 429 or 503 are not counted, anything else ends the test. Exit 1 on a wrong total.
"""
import http.client, json, sys, threading, time

addr = sys.argv[1]
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5
pushers = int(sys.argv[3]) if len(sys.argv) > 3 else 4
service = sys.argv[4] if len(sys.argv) > 4 else 'flushload'
UNIT = 10000000  # ns of one sample at 100 Hz
TYPE = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'
begin = int(time.time())
end = threading.Event()
lock = threading.Lock()
sent = acked = refused = totals = flushes = 0
wrong = []


def post(c, path, body, kind):
    c.request('POST', path, body, {'Content-Type': kind})
    r = c.getresponse()
    return r.status, r.read()


def connect():
    return http.client.HTTPConnection(addr, timeout=120)


def push(k):
    global sent, acked, refused
    c, n = connect(), 0
    while not end.is_set():
        n += 1
        now = int(time.time())
        path = '/ingest?name=%s%%7Bpod%%3Dp%d%%7D&from=%d&until=%d&format=folded&sampleRate=100' % (service, n % 50, now, now + 1)
        with lock:
            sent += 1
        status, body = post(c, path, 'main;work%d;leaf%d 1\n' % (k, n % 997), 'text/plain')
        with lock:
            if status == 200:
                acked += 1
            elif status in (429, 503):
                refused += 1
                sent -= 1
            else:
                wrong.append('push: %d %r' % (status, body[:200]))
                end.set()


def total(c):
    req = {'profileTypeID': TYPE, 'labelSelector': '{service_name="%s"}' % service, 'start': (begin - 60) * 1000,
           'end': (begin + 3600) * 1000, 'maxNodes': 100}
    status, body = post(c, '/querier.v1.QuerierService/SelectMergeStacktraces', json.dumps(req), 'application/json')
    if status != 200:
        raise SystemExit('query: %d %s' % (status, body[:300]))
    return int(json.loads(body).get('flamegraph', {}).get('total', 0)) // UNIT


def series_total(c):
    req = {'profileTypeID': TYPE, 'labelSelector': '{service_name="%s"}' % service, 'start': (begin - 60) * 1000,
           'end': (begin + 3600) * 1000, 'step': 15, 'groupBy': ['pod']}
    status, body = post(c, '/querier.v1.QuerierService/SelectSeries', json.dumps(req), 'application/json')
    return int(sum(p['value'] for s in json.loads(body).get('series', []) for p in s['points'])) // UNIT


def query():
    global totals
    c = connect()
    while not end.is_set():
        least = acked
        got = total(c)
        totals += 1
        most = sent + refused
        if not least <= got <= most:
            wrong.append('total %d, answered before %d, sent %d' % (got, least, most))
            end.set()


def flush_once(c):
    status, body = post(c, '/ingester.v1.IngesterService/Flush', '{}', 'application/json')
    if (status, body) != (200, b'{}'):
        raise SystemExit('Flush: %d %r' % (status, body[:300]))


def flush():
    global flushes
    c = connect()
    while not end.is_set():
        flush_once(c)
        flushes += 1
        time.sleep(0.05)


threads = [threading.Thread(target=push, args=(k,)) for k in range(pushers)]
threads += [threading.Thread(target=query), threading.Thread(target=flush)]
for t in threads:
    t.start()
end.wait(seconds)
patience = time.monotonic() + 120  # a disk that others keep busy may take a second a sync
while not end.is_set() and time.monotonic() < patience and (acked < 10 or flushes < 3 or totals < 3):
    time.sleep(0.1)
end.set()
for t in threads:
    t.join()
c = connect()
for what in ('after the load', 'after a last flush'):
    for name, fn in (('flame graph', total), ('series', series_total)):
        got = fn(c)
        if got != acked:
            wrong.append('%s, %s: %d, want %d' % (what, name, got, acked))
    flush_once(c)
for w in wrong:
    print('FAIL %s' % w)
print('acknowledged %d, refused %d, flushes %d, totals %d, wrong %d' % (acked, refused, flushes, totals, len(wrong)))
sys.exit(1 if wrong or acked < 10 or flushes < 3 or totals < 3 else 0)
