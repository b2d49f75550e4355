#!/usr/bin/env python3
"""A distributor without a disk in front of two ingesters that take no pushes: three processes on loopback.

usage: targets.py PYROWIRE [--net 127.0.30.]
Pushes go to the distributor, which has no directory afterwards; both ingesters have every profile (two
replicas, two acknowledgements), asked of each alone after the distributor has gone; one of them is of several
megabytes. No root.
"""
import os, random, shutil, sys, tempfile, time

from small import PUSH, Appliance, profile, push_body

pyrowire = sys.argv[1]
net = sys.argv[3] if sys.argv[2:3] == ['--net'] else '127.0.30.'
PUSHES = 50
LARGE = 15000  # functions of the large one, with names of 600 bytes
directory = tempfile.mkdtemp(prefix='pyrowire-targets.')
secret = os.path.join(directory, 'secret')
with open(secret, 'wb') as f:
    f.write(os.urandom(32))


def start(i, target):
    address = net + str(i)
    data = os.path.join(directory, 'n%d' % i)
    with open(os.path.join(directory, 'n%d.log' % i), 'wb') as log:
        a = Appliance([os.path.abspath(pyrowire), '-target=' + target, '-nic.hugepages=off', '-pyroscopedb.data-path=' + data,
                       '-ingester.lifecycler.ID=n%d' % i, '-distributor.ring.instance-id=n%d' % i,
                       '-ingester.head.prefault-bytes=0', '-query.threads=1', '-ingester.min-ready-duration=0s',
                       '-memberlist.bind-addr=' + address, '-memberlist.advertise-addr=' + address,
                       '-memberlist.join=%s1:7946' % net, '-memberlist.join=%s2:7946' % net,
                       '-link.secret-file=' + secret, '-distributor.replication-factor=2',
                       '-validation.max-profile-size-bytes=0'],
                      address, 4040, log)
    a.data = data
    return a


def peers_up(a):
    return sum(int(float(l.split()[1])) for l in a.request('GET', '/metrics')[1].splitlines()
               if l.startswith('pyrowire_replica_peers_up '))


def main():
    nodes, bad = [], []
    try:
        nodes = [start(1, 'ingester'), start(2, 'ingester')]
        nodes.append(start(3, 'distributor'))
        until = time.time() + 60
        while peers_up(nodes[2]) != 2:
            if time.time() > until:
                raise SystemExit('the distributor does not reach both ingesters')
            time.sleep(0.05)
        names = ['push_%d' % i for i in range(PUSHES)]
        large = ['large_%d_%s' % (i, random.randbytes(295).hex()) for i in range(LARGE)]
        for pushed in [[name] for name in names] + [large]:
            status, text = nodes[2].request('POST', PUSH, push_body(profile(pushed), service_name='targets'))
            if status != 200:
                bad.append('push of %d functions answered %d: %s' % (len(pushed), status, text))
        names += large
        if os.path.exists(nodes[2].data):
            bad.append('the distributor made a directory')
        for a in nodes[:2]:
            if a.request('POST', PUSH, push_body(profile(['x']), service_name='targets'))[0] != 404:
                bad.append('an ingester took a push')
            have = a.values('{service_name="targets"}')
            if have != {n: 1 for n in names}:
                bad.append('asked of %s: %d functions, want %d each once' % (a.address, len(have), PUSHES))
    finally:
        for a in nodes:
            a.kill()
        shutil.rmtree(directory, ignore_errors=True)
    for line in bad[:5]:
        print('FAIL: ' + line)
    print('targets.py: %d pushes through a distributor, both ingesters have each once: %s' % (PUSHES, 'no' if bad else 'yes'))
    sys.exit(1 if bad else 0)


main()
