#!/usr/bin/env python3
"""The disk of the log runs full: pushes get 503 with the reason, nothing crashes, and they are taken again
when there is room; what was acknowledged is there after a restart.

usage: unshare -m disk_full.py PYROWIRE [--address A]     (root: a small tmpfs in a mount namespace of its own)
"""
import base64, gzip, http.client, json, os, random, signal, subprocess, sys, tempfile, time

address = sys.argv[sys.argv.index('--address') + 1] if '--address' in sys.argv else '127.0.0.26'
if os.geteuid() != 0:
    print('disk_full.py: needs root for a tmpfs')
    sys.exit(77)
random.seed(1)
noise = [base64.b64encode(random.randbytes(60)).decode() for _ in range(2000)]


def varint(v):
    out = b''
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def field(n, v):
    return varint(n << 3) + varint(v) if isinstance(v, int) else varint(n << 3 | 2) + varint(len(v)) + v


def body(name):
    """About 130 KB that do not compress further."""
    kind = field(1, 1) + field(2, 2)
    raw = (field(1, kind) + field(2, field(1, 1) + field(2, 1)) + field(4, field(1, 1) + field(4, field(1, 1))) +
           field(5, field(1, 1) + field(2, 3)) +
           b''.join(field(6, s.encode()) for s in ['', 'cpu', 'nanoseconds', name] + noise) +
           field(9, time.time_ns()) + field(11, kind) + field(12, 1))
    labels = [{'name': '__name__', 'value': 'process_cpu'}, {'name': 'service_name', 'value': 'full'}]
    return json.dumps({'series': [{'labels': labels, 'samples': [
        {'rawProfile': base64.b64encode(gzip.compress(raw, 1)).decode()}]}]})


def request(method, path, text=None):
    c = http.client.HTTPConnection(address, 4040, timeout=20)
    c.request(method, path, text, {'Content-Type': 'application/json'} if text else {})
    r = c.getresponse()
    return r.status, r.read().decode()


def start(data, log):
    p = subprocess.Popen([sys.argv[1], '-server.http-listen-address=' + address, '-pyroscopedb.data-path=' + data,
                          '-ingester.head.max-bytes=512MiB', '-ingester.wal.segment-bytes=4MiB',
                          '-distributor.ingestion-rate-limit-mb=10000', '-distributor.ingestion-burst-size-mb=10000'],
                         stdout=log, stderr=log)
    for _ in range(200):
        try:
            if request('GET', '/ready')[0] == 200:
                return p
        except OSError:
            time.sleep(0.05)
    p.kill()
    sys.exit('disk_full.py: not ready')


def names():
    now = int(time.time() * 1000)
    text = request('POST', '/querier.v1.QuerierService/SelectMergeStacktraces', json.dumps(
        {'profileTypeID': 'process_cpu:cpu:nanoseconds:cpu:nanoseconds', 'labelSelector': '{}',
         'start': now - 3600000, 'end': now + 60000, 'maxNodes': 100000}))[1]
    return set(json.loads(text).get('flamegraph', {}).get('names', []))


def check(what, ok):
    print(('ok   ' if ok else 'FAIL ') + what)
    return ok


data = tempfile.mkdtemp(prefix='pyrowire-full.')
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', data], check=True)
log = open(os.environ.get('PW_FULL_LOG', os.devnull), 'w')
good = True
try:
    filler = data + '/filler'
    with open(filler, 'wb') as f:
        f.write(bytes(16 << 20))
    p = start(data, log)
    acked, refused, text = set(), 0, ''
    for i in range(1000):
        status, answer = request('POST', '/push.v1.PusherService/Push', body('full_%d' % i))
        if status == 200:
            acked.add('full_%d' % i)
        else:
            refused, text = status, answer
            break
    good &= check('%d pushes, then 503 unavailable: %s' % (len(acked), text.strip()),
                  len(acked) > 20 and refused == 503 and 'no room on the disk' in text)
    good &= check('still 503, and ready', request('POST', '/push.v1.PusherService/Push', body('x'))[0] == 503 and
                  request('GET', '/ready')[0] == 200)
    metrics = request('GET', '/metrics')[1]
    good &= check('counted', 'pyrowire_wal_full_logs 1\n' in metrics and
                  'pyrowire_wal_refused_total{reason="disk_full"} 0\n' not in metrics and
                  'reason="disk_full"' in metrics)
    os.unlink(filler)
    t0 = time.time()
    while time.time() - t0 < 20 and request('POST', '/push.v1.PusherService/Push', body('after'))[0] != 200:
        time.sleep(0.05)
    good &= check('room again: taken after %.2f s' % (time.time() - t0), time.time() - t0 < 20)
    acked.add('after')
    p.send_signal(signal.SIGKILL)
    p.wait()
    p = start(data, log)
    lost = acked - names()
    good &= check('after SIGKILL all %d are there' % len(acked), not lost)
    p.terminate()
    good &= check('ends cleanly', p.wait(20) == 0)
finally:
    try:
        p.kill()
    except OSError:
        pass
    subprocess.run(['umount', data])
    os.rmdir(data)
sys.exit(0 if good else 1)
