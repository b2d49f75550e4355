#!/usr/bin/env python3
"""The disk of the log runs full: pushes get 503 with the reason, nothing crashes, and they are taken again
when there is room; what was acknowledged is there after a restart, and after one while the disk is full. On a disk that
cannot be written at all nothing starts, and says why.

usage: unshare -m disk_full.py PYROWIRE [--address A]     (root: a small tmpfs in a mount namespace of its own)
"""
import gzip, os, random, subprocess, sys, tempfile, time

from small import HANG_S, PUSH, Appliance, comes_true, noise, profile, push_body

address = sys.argv[sys.argv.index('--address') + 1] if '--address' in sys.argv else '127.0.0.26'
if os.geteuid() != 0:
    print('disk_full.py: needs root for a tmpfs')
    sys.exit(77)
random.seed(1)
ballast = noise(2000)


def body(name):
    """About 130 KB that do not compress further."""
    return push_body(gzip.compress(profile([name], ballast), 1), service_name='full')


def start():
    return Appliance([sys.argv[1], '-pyroscopedb.data-path=' + data], address, 4040, log)


def until_refused(name):
    for i in range(1000):
        status, answer = a.request('POST', PUSH, body(name % i))
        if status != 200:
            return status, answer
        acked.add(name % i)
    return 0, ''


def check(what, ok):
    print(('ok   ' if ok else 'FAIL ') + what)
    return ok


data = tempfile.mkdtemp(prefix='pyrowire-full.')
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', data], check=True)
log = open(os.environ.get('PW_FULL_LOG', os.devnull), 'w')
a, good = None, True
try:
    filler = data + '/filler'
    with open(filler, 'wb') as f:
        f.write(bytes(16 << 20))
    a = start()
    acked = set()
    refused, text = until_refused('full_%d')
    good &= check('%d pushes, then 503 unavailable: %s' % (len(acked), text.strip()),
                  len(acked) > 20 and refused == 503 and 'no room on the disk' in text)
    good &= check('still 503, and ready', a.request('POST', PUSH, body('x'))[0] == 503 and
                  a.request('GET', '/ready')[0] == 200)
    metrics = a.request('GET', '/metrics')[1]
    good &= check('counted', 'pyrowire_wal_full_logs 1\n' in metrics and
                  'pyrowire_wal_refused_total{reason="disk_full"} 0\n' not in metrics and
                  'reason="disk_full"' in metrics)
    os.unlink(filler)
    t0 = time.time()
    while time.time() - t0 < 20 and a.request('POST', PUSH, body('after'))[0] != 200:
        time.sleep(0.05)
    good &= check('room again: taken after %.2f s' % (time.time() - t0), time.time() - t0 < 20)
    acked.add('after')
    a.kill()
    a = start()
    lost = acked - set(a.values())
    good &= check('after SIGKILL all %d are there' % len(acked), not lost)
    a.kill()
    with open(filler, 'wb', buffering=0) as f:
        try:
            while f.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    a = start()
    lost = acked - set(a.values())
    status, text = until_refused('later_%d')  # what the process before kept to use again is room, too
    good &= check('started on a full disk: all are there, pushes get %d' % status,
                  not lost and status == 503 and 'no room on the disk' in text)
    os.unlink(filler)
    good &= check('room again: taken', comes_true(lambda: a.request('POST', PUSH, body('after'))[0] == 200))
    a.p.terminate()
    good &= check('ends cleanly', a.p.wait(60) == 0)
    subprocess.run(['mount', '-o', 'remount,ro', data], check=True)
    p = subprocess.run([sys.argv[1], '-nic.hugepages=off', '-server.http-listen-address=' + address,
                        '-pyroscopedb.data-path=' + data], capture_output=True, text=True, timeout=HANG_S)
    last = p.stderr.strip().splitlines()[-1]
    good &= check('started on a read-only disk: exit %d, %s' % (p.returncode, last),
                  p.returncode == 1 and 'cannot write in the directory: %s/wal: Read-only file system' % data in last and
                  '-pyroscopedb.data-path=' + data in last)
finally:
    if a:
        a.kill()
    subprocess.run(['umount', data])
    os.rmdir(data)
sys.exit(0 if good else 1)
