#!/usr/bin/env python3
"""The series limit of a tenant is one of the cluster: two ingesters of one replica take half of it each, and who is left all of it.

usage: series_limit.py PYROWIRE [--net 127.0.31.]
A distributor in front of two ingesters on loopback; every push is a series of its own. No root. Prints `N passed, M failed`.
"""
import os, shutil, signal, sys, tempfile, time

from small import PUSH, Appliance, profile, push_body

pyrowire = os.path.abspath(sys.argv[1])
net = sys.argv[3] if sys.argv[2:3] == ['--net'] else '127.0.31.'
LIMIT, OFFERED = 40, 300
directory = tempfile.mkdtemp(prefix='pyrowire-series.')
secret = os.path.join(directory, 'secret')
passed = failed = 0


def check(what, ok, seen=''):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print('%s %s%s' % ('ok  ' if ok else 'FAIL', what, '' if ok else ': %s' % (seen,)))


def start(i, target):
    address = net + str(i)
    with open(os.path.join(directory, 'n%d.log' % i), 'wb') as log:
        return Appliance([pyrowire, '-target=' + target, '-nic.hugepages=off', '-pyroscopedb.data-path=%s/n%d' % (directory, i),
                          '-ingester.lifecycler.ID=n%d' % i, '-distributor.ring.instance-id=n%d' % i, '-query.threads=1',
                          '-ingester.head.prefault-bytes=0', '-ingester.min-ready-duration=0s', '-ingester.heartbeat-period=1s',
                          '-memberlist.bind-addr=' + address, '-memberlist.advertise-addr=' + address,
                          '-memberlist.join=%s1:7946' % net, '-memberlist.join=%s2:7946' % net,
                          '-link.secret-file=' + secret, '-distributor.replication-factor=1'],
                         address, 4040, log, options=['-ingester.max-global-series-per-tenant=%d' % LIMIT])


def wait_for(what, condition):
    until = time.time() + 60
    while not condition():
        if time.time() > until:
            raise SystemExit('not within a minute: ' + what)
        time.sleep(0.05)


def offer(a, name):
    """How many of the series are taken, and the first text of a refusal that is not the limit's."""
    taken, strange = 0, ''
    for i in range(OFFERED):
        status, text = a.request('POST', PUSH, push_body(profile(['f']), service_name=name, pod='%s-%d' % (name, i)))
        taken += status == 200
        if status != 200 and not (status == 429 and 'Maximum active series limit exceeded' in text):
            strange = strange or '%d %s' % (status, text[:200])
    return taken, strange


def trial():
    nodes = []
    try:
        nodes = [start(1, 'ingester'), start(2, 'ingester'), start(3, 'distributor')]
        wait_for('the distributor reaches both', lambda: nodes[2].metric('pyrowire_replica_peers_up') == 2)
        for a in nodes[:2]:
            wait_for('each sees two', lambda: a.request('GET', '/ring', headers={'Accept': 'application/json'})[1].count('"ACTIVE"') == 2)
        taken, strange = offer(nodes[2], 'two')
        check('two ingesters take %d of %d series together' % (LIMIT, OFFERED), taken == LIMIT and not strange, (taken, strange))
        nodes[1].stop(signal.SIGTERM)
        wait_for('one is left', lambda: all(
            x.request('GET', '/ring', headers={'Accept': 'application/json'})[1].count('"ACTIVE"') == 1 for x in (nodes[0], nodes[2])))
        taken, strange = offer(nodes[2], 'one')
        check('who is left takes the other half too', taken == LIMIT // 2 and not strange, (taken, strange))
    finally:
        for a in nodes:
            a.stop(signal.SIGKILL)


with open(secret, 'wb') as f:
    f.write(os.urandom(32))
try:
    trial()
finally:
    shutil.rmtree(directory, ignore_errors=True)
print('%d passed, %d failed' % (passed, failed))
sys.exit(1 if failed else 0)
