#!/usr/bin/env python3
"""Three appliances in one ring: whoever is asked, the answer has what all of them have, each profile once.

usage: reads.py PYROWIRE [--address A] [--option O]...
Each appliance is filled alone, so that it is known who has what: every profile on one of them (replication factor 1), or on
two or three (3). Killed and started again in one ring, with what their logs hold, each must answer flame graphs, series,
label queries and statistics alike, with the total of everything; with factor 3 also while one of the three is stopped, after
it went on, after it was killed, and when all run with factor 1 again, among the copies of before. With factor 1 and no such
copies a flame graph takes one question to each of the others.
Over kernel sockets on one loopback address. Standard library only. Prints `N passed, N failed, N skipped`.
"""
import argparse, http.client, json, os, shutil, signal, sys, tempfile, time, urllib.parse

from small import Appliance

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


class Member(Appliance):
    """One of three on one address; alone in a ring of its own until it is joined."""

    def __init__(self, i, base):
        self.i = i
        self.gossip = [args.port + 14000 + k for k in range(3)]
        super().__init__([args.pyrowire, '-pyroscopedb.data-path=' + os.path.join(base, 'a%d' % i),
                          '-ingester.lifecycler.addr=' + args.address, '-ingester.lifecycler.ID=appliance-%d' % i,
                          '-memberlist.bind-addr=' + args.address, '-memberlist.bind-port=%d' % self.gossip[i],
                          '-nic.hugepages=off', '-ingester.min-ready-duration=0s', '-distributor.replication-factor=1'],
                         args.address, args.port + i, open(os.path.join(base, 'a%d.log' % i), 'a'), options=args.option)

    def join(self, factor):
        self.start('-distributor.replication-factor=%d' % factor,
                   '-memberlist.join=%s:%d' % (args.address, self.gossip[(self.i + 1) % 3]), ready=False)

    def ask(self, method, body):
        status, text = self.request('POST', '/querier.v1.QuerierService/' + method, json.dumps(body))
        return status, json.loads(text or '{}')

    def active(self):
        """How many members this one sees ACTIVE."""
        if not self.is_ready():
            return 0
        try:
            status, text = self.request('GET', '/ring', headers={'Accept': 'application/json'})
        except (OSError, http.client.HTTPException):
            return 0
        return text.count('"ACTIVE"') if status == 200 else 0


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
    status, text = a.request('POST', '/ingest?' + urllib.parse.urlencode(q), b'main;work%d %d\n' % (n % 7, n + 1), headers={})
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
    a = []
    start = int(time.time()) - 1800
    try:
        for i in range(3):
            a.append(Member(i, base))
            for n in range(PROFILES):
                if i in owners[n % 30 % len(owners)]:
                    push(a[i], n, start)
            a[i].stop(signal.SIGKILL)
        want = PROFILES * (PROFILES + 1) // 2
        for x in a:
            x.join(factor)
        wait(lambda: all(x.active() >= 3 for x in a), 'three ACTIVE members')
        judge(factor, a, start, want)
        if factor > 1:
            a[1].p.send_signal(signal.SIGSTOP)  # its kernel takes connections, and nobody answers
            judge(factor, [a[0], a[2]], start, want)
            a[1].p.send_signal(signal.SIGCONT)
            wait(lambda: all(x.active() >= 3 for x in a), 'three ACTIVE members again')
            judge(factor, a, start, want)
            a[1].stop(signal.SIGKILL)
            judge(factor, [a[0], a[2]], start, want)
            for x in a:
                x.stop(signal.SIGKILL)
                x.join(1)
            wait(lambda: all(x.active() >= 3 for x in a), 'three ACTIVE members of one replica')
            judge(1, a, start, want)
        first = a[0].metric('pyrowire_peer_questions_total')
        a[0].ask('SelectMergeStacktraces', {'start': str(start * 1000), 'end': str((start + 3600) * 1000), 'profileTypeID': TYPE,
                                            'labelSelector': '{}'})
        questions = a[0].metric('pyrowire_peer_questions_total') - first
        check((questions == 2) == (factor == 1), 'factor %d: %d questions for a flame graph' % (factor, questions))
    finally:
        for x in a:
            x.stop(signal.SIGKILL)
        if failed or sys.exc_info()[0]:
            print('logs are in ' + base)
        else:
            shutil.rmtree(base)


trial(1, [[0], [1], [2]])
trial(3, [[0, 1], [1, 2], [2, 0], [0, 1, 2]])
print('%d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(1 if failed else 0)
