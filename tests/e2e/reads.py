#!/usr/bin/env python3
"""Three appliances in one ring: whoever is asked, the answer has what all of them have, each profile once.

usage: reads.py PYROWIRE [--address A] [--option O]...
Each appliance is filled alone, so that it is known who has what: every profile on one of them (replication factor 1), or on
two or three (3). Killed and started again in one ring, with what their logs hold, each must answer flame graphs, series,
label queries and statistics alike, with the total of everything; with factor 3 also while one of the three is stopped, after
it went on, and after it was killed.
Over kernel sockets on one loopback address. Standard library only. Prints `N passed, N failed, N skipped`.
"""
import argparse, http.client, json, os, shutil, signal, subprocess, sys, tempfile, time, urllib.parse

ap = argparse.ArgumentParser()
ap.add_argument('pyrowire')
ap.add_argument('--address', default='127.0.0.18')
ap.add_argument('--port', type=int, default=4440)
ap.add_argument('--option', action='append', default=[])
args = ap.parse_args()
passed = failed = 0
PROFILES = 300
TYPE = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds'


def check(ok, text):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print('FAIL ', text)


class Appliance:
    def __init__(self, i, base):
        self.i, self.port, self.process = i, args.port + i, None
        self.dir, self.log = os.path.join(base, 'a%d' % i), os.path.join(base, 'a%d.log' % i)

    def start(self, factor, join):
        gossip = [args.port + 14000 + k for k in range(3)]
        options = ['-server.http-listen-address=' + args.address, '-server.http-listen-port=%d' % self.port,
                   '-pyroscopedb.data-path=' + self.dir, '-distributor.replication-factor=%d' % factor,
                   '-ingester.lifecycler.addr=' + args.address, '-ingester.lifecycler.ID=appliance-%d' % self.i,
                   '-memberlist.bind-addr=' + args.address, '-memberlist.bind-port=%d' % gossip[self.i],
                   '-nic.hugepages=off', '-ingester.min-ready-duration=0s', '-distributor.ingestion-rate-limit-mb=1000', '-distributor.ingestion-burst-size-mb=1000'] + args.option
        if join:
            options.append('-memberlist.join=%s:%d' % (args.address, gossip[(self.i + 1) % 3]))
        with open(self.log, 'a') as log:
            self.process = subprocess.Popen([args.pyrowire] + options, stdout=log, stderr=subprocess.STDOUT)

    def call(self, method, path, body=None, headers={}):
        c = http.client.HTTPConnection(args.address, self.port, timeout=30)
        try:
            c.request(method, path, body, headers)
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def ask(self, method, body):
        status, text = self.call('POST', '/querier.v1.QuerierService/' + method, json.dumps(body), {'Content-Type': 'application/json'})
        return status, json.loads(text or b'{}')

    def active(self):
        """How many members this one sees ACTIVE."""
        try:
            if self.call('GET', '/ready')[0] != 200:
                return 0
            status, text = self.call('GET', '/ring', headers={'Accept': 'application/json'})
            return text.count(b'"ACTIVE"') if status == 200 else 0
        except (OSError, http.client.HTTPException):
            return 0

    def ready(self):
        try:
            return self.call('GET', '/ready')[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self, how=signal.SIGKILL):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)


def wait(what, text):
    end = time.time() + 90
    while not what():
        if time.time() > end:
            raise SystemExit('%s: not within 90 s' % text)
        time.sleep(0.2)


def answers(a, start):
    span = {'start': str(start * 1000), 'end': str((start + 3600) * 1000)}
    merge = dict(span, profileTypeID=TYPE, labelSelector='{}')
    return [a.ask('SelectMergeStacktraces', merge),
            a.ask('SelectMergeStacktraces', dict(merge, labelSelector='{service_name=~"svc1.*"}')),
            a.ask('SelectSeries', dict(merge, step=15, groupBy=['service_name'])),
            a.ask('LabelValues', dict(span, name='service_name')),
            a.ask('Series', dict(span, labelNames=['service_name'])),
            a.ask('GetProfileStats', {})]


def total(answer):
    return int(answer[0][1].get('flamegraph', {}).get('total', 0))


def push(a, n, start):
    when = start + n // 30 * 15
    q = {'name': 'svc%d' % (n % 30), 'from': when, 'until': when, 'format': 'folded', 'units': 'samples', 'sampleRate': 1000000000}
    status, text = a.call('POST', '/ingest?' + urllib.parse.urlencode(q), b'main;work%d %d\n' % (n % 7, n + 1))
    if status != 200:
        check(False, 'push %d to %d: %d %s' % (n, a.i, status, text[:200]))


def judge(factor, a, start, want):
    got = [answers(x, start) for x in a]
    for x, g in zip(a, got):
        for k, (status, body) in enumerate(g):
            check(status == 200, 'factor %d: appliance %d, question %d: %d %s' % (factor, x.i, k, status, str(body)[:200]))
        check(total(g) == want, 'factor %d: appliance %d: total %d, %d were pushed' % (factor, x.i, total(g), want))
        check(g == got[0], 'factor %d: appliances %d and %d answer differently' % (factor, a[0].i, x.i))
    print('factor %d, %d of 3 alive: total %d of %d at each' % (factor, len(a), total(got[0]), want))


def trial(factor, owners):
    """owners[k]: which appliances have the profiles of services k, k + len(owners), ..."""
    base = tempfile.mkdtemp(prefix='pyrowire-reads.')
    a = [Appliance(i, base) for i in range(3)]
    start = int(time.time()) - 1800
    try:
        for x in a:
            os.mkdir(x.dir)
            x.start(1, False)
            wait(x.ready, 'appliance %d ready' % x.i)
            for n in range(PROFILES):
                if x.i in owners[n % 30 % len(owners)]:
                    push(x, n, start)
            x.stop()
        want = PROFILES * (PROFILES + 1) // 2
        for x in a:
            x.start(factor, True)
        wait(lambda: all(x.active() >= 3 for x in a), 'three ACTIVE members')
        judge(factor, a, start, want)
        if factor > 1:
            a[1].process.send_signal(signal.SIGSTOP)  # its kernel takes connections, and nobody answers
            judge(factor, [a[0], a[2]], start, want)
            a[1].process.send_signal(signal.SIGCONT)
            wait(lambda: all(x.active() >= 3 for x in a), 'three ACTIVE members again')
            judge(factor, a, start, want)
            a[1].stop()
            judge(factor, [a[0], a[2]], start, want)
    finally:
        for x in a:
            x.stop()
        if failed or sys.exc_info()[0]:
            print('logs are in ' + base)
        else:
            shutil.rmtree(base)


trial(1, [[0], [1], [2]])
trial(3, [[0, 1], [1, 2], [2, 0], [0, 1, 2]])
print('%d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(1 if failed else 0)
