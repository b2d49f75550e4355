#!/usr/bin/env python3
"""Retention deletes local blocks that are in the bucket: answers stay the same, before, after and under load.

usage: bucket.py PYROWIRE [--seconds N] [--address A] [--versitygw BINARY]
1. Load with cuts, everything stays local: the answers to a list of queries are kept.
2. Started again with retention at once: when no local block is left the same queries have the same answers, and
   what was asked meanwhile had none but those.
3. Load with cuts, uploads, deletions and looks at the bucket at the same time (flush_load.py): every total
   is right.
4. Killed and started again: the same answers; then with a cache smaller than a block: the same answers.
The bucket is a directory, or with --versitygw an S3 server on loopback. Standard library only. Prints
`N passed, M failed`.
"""
import argparse, json, pathlib, shutil, signal, subprocess, sys, tempfile, threading, time

from small import Appliance

ap = argparse.ArgumentParser()
ap.add_argument('pyrowire')
ap.add_argument('--seconds', type=float, default=4)
ap.add_argument('--address', default='127.0.0.13')
ap.add_argument('--versitygw')
args = ap.parse_args()
here = pathlib.Path(__file__).resolve().parent
root = pathlib.Path(tempfile.mkdtemp(prefix='pyrowire-bucket.'))
data = root / 'data'
data.mkdir()
log = open(root / 'log', 'w')
passed = failed = 0
PORT, S3_PORT = 4046, 7070
RETENTION = ['-pyroscopedb.retention-policy-min-age=0s', '-pyroscopedb.retention-policy-enforcement-interval=200ms',
             '-blocks-storage.bucket-store.sync-interval=300ms']
KEEP = ['-pyroscopedb.retention-policy-disable=true']


def check(what, ok, detail=''):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print('%s %s%s' % ('ok  ' if ok else 'FAIL', what, '' if ok else ': ' + str(detail)[:600]), flush=True)


def backend():
    if not args.versitygw:
        return ['-storage.backend=filesystem', '-storage.filesystem.dir=%s' % (root / 'bucket')]
    return ['-storage.backend=s3', '-storage.s3.endpoint=%s:%d' % (args.address, S3_PORT), '-storage.s3.bucket-name=profiles',
            '-storage.s3.access-key-id=bucket', '-storage.s3.secret-access-key=a/secret', '-storage.s3.region=eu-north-7',
            '-storage.s3.insecure=true']


def s3_server():
    (root / 's3' / 'profiles').mkdir(parents=True)
    p = subprocess.Popen([args.versitygw, '--port', '%s:%d' % (args.address, S3_PORT), '--access', 'bucket', '--secret',
                          'a/secret', '--region', 'eu-north-7', 'posix', str(root / 's3')], stdout=log, stderr=log)
    time.sleep(2)
    return p


class Local(Appliance):
    def __init__(self, *options):
        super().__init__([args.pyrowire, '-pyroscopedb.data-path=%s' % data], args.address, PORT, log,
                         options=['-ingester.head.max-bytes=256MiB', *backend(), *options])

    def stop(self, how=signal.SIGTERM):
        rc = super().stop(how)
        if how == signal.SIGTERM:
            check('a clean end', rc == 0, rc)


def load(service):
    return subprocess.run([sys.executable, here / 'flush_load.py', '%s:%d' % (args.address, PORT), str(args.seconds), '3', service],
                          capture_output=True, text=True, timeout=args.seconds * 10 + 120)


def questions():
    kind = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'
    span = {'start': (begin - 60) * 1000, 'end': (begin + 3600) * 1000}
    for selector in ('{}', '{service_name="flushload"}', '{pod=~"p1.*"}', '{pod="p7"}', '{pod="none"}'):
        q = dict(span, profileTypeID=kind, labelSelector=selector)
        yield 'SelectMergeStacktraces', dict(q, maxNodes=5000)
        yield 'SelectSeries', dict(q, step=15, groupBy=['pod'])
        yield 'SelectMergeProfile', q
    yield 'SelectMergeStacktraces', dict(span, end=(begin + 1) * 1000, profileTypeID=kind, labelSelector='{}', maxNodes=5000)
    yield 'ProfileTypes', span
    yield 'LabelNames', span
    yield 'LabelValues', dict(span, name='pod')
    yield 'Series', dict(span, labelNames=['pod', 'service_name'])


def answers():
    out = []
    for method, q in questions():
        status, body = a.request('POST', '/querier.v1.QuerierService/' + method, json.dumps(q))
        if status != 200:
            raise SystemExit('%s %s: %d %s' % (method, q, status, body[:300]))
        out.append(body)
    return out


def local_blocks():
    return len(list(data.glob('*/local/*/meta.json')))


def same(what, want, got):
    different = [i for i, (a, b) in enumerate(zip(want, got)) if a != b]
    check('%s: %d answers' % (what, len(want)), not different and len(want) == len(got),
          [list(questions())[i] for i in different[:3]])


s3 = s3_server() if args.versitygw else None
begin = int(time.time())
a = None
try:
    a = Local(*KEEP)
    r = load('flushload')
    check('load, all local: ' + r.stdout.strip().splitlines()[-1], r.returncode == 0, r.stdout + r.stderr)
    kept, blocks = answers(), local_blocks()
    check('%d local blocks, no query reads the bucket' % blocks, blocks > 2 and a.metric('pyrowire_bucket_reads_total') == 0)
    a.stop()

    a = Local(*RETENTION)
    rounds = 0
    for _ in range(600):
        got = answers()
        rounds += 1
        if got != kept:
            break
        if local_blocks() == 0 and rounds > 3:
            break
        time.sleep(0.02)
    same('while local blocks go (%d rounds)' % rounds, kept, got)
    check('no local block is left', local_blocks() == 0, local_blocks())
    same('after they went', kept, answers())
    check('read in the bucket: %d of %d blocks, %d requests, %d bytes' % (
        a.metric('pyrowire_bucket_blocks_read'), a.metric('pyrowire_bucket_blocks'), a.metric('pyrowire_bucket_reads_total'),
        a.metric('pyrowire_bucket_read_bytes_total')), a.metric('pyrowire_bucket_blocks_read') == blocks)

    r = load('later')
    check('load, uploads, deletions: ' + r.stdout.strip().splitlines()[-1], r.returncode == 0, r.stdout + r.stderr)
    for _ in range(200):
        if local_blocks() == 0 and a.metric('pyrowire_flush_unsafe_heads') == 0:
            break
        time.sleep(0.1)
    check('no local block is left', local_blocks() == 0, local_blocks())
    check('the log of every head is let go', a.metric('pyrowire_flush_unsafe_heads') == 0, a.metric('pyrowire_flush_unsafe_heads'))
    kept = answers()
    a.stop(signal.SIGKILL)

    a = Local(*RETENTION)
    same('after a kill', kept, answers())
    a.stop()
    a = Local(*RETENTION, '-blocks-storage.bucket-store.cache-bytes=1MiB')
    same('with a small cache', kept, answers())
    threads = [threading.Thread(target=lambda: same('with a small cache, four at once', kept, answers())) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print('     %d bytes cached, %d evictions' % (a.metric('pyrowire_bucket_cache_bytes'),
                                                  a.metric('pyrowire_bucket_cache_evictions_total')))
    a.stop()
    shutil.rmtree(root) if not failed else print('left: %s' % root)
finally:
    for p in (a and a.p, s3):
        if p and p.poll() is None:
            p.kill()
print('%d passed, %d failed' % (passed, failed))
sys.exit(1 if failed else 0)
