#!/usr/bin/env python3
"""Three appliances gossip over TLS and are in one ring; one in plain text and one of another authority are not, and
counters say why; connections that stall in their handshake hold nobody; a bad file ends the start.

usage: gossip_tls.py PYROWIRE [--net 127.0.31.]
Certificates by openssl(1), 77 without it. Every wait is for an event, up to a minute. No root."""
import json, os, shutil, socket, subprocess, sys, tempfile

from small import Appliance, comes_true

pyrowire = os.path.abspath(sys.argv[1])
net = sys.argv[3] if sys.argv[2:3] == ['--net'] else '127.0.31.'
here = os.path.dirname(os.path.abspath(__file__))
STALLED = 20
passed = failed = 0


def check(what, ok, seen=''):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(('ok   ' if ok else 'FAIL ') + what + ('' if ok else ': %s' % (seen,)))


def tls(own, ca):
    return ['-memberlist.tls-enabled', '-memberlist.tls-cert-path=%s/%s.pem' % (work, own),
            '-memberlist.tls-key-path=%s/%s.key' % (work, own), '-memberlist.tls-ca-path=%s/%s.pem' % (work, ca)]


def appliance(n, options, start=True):
    address = net + str(n)
    return Appliance([pyrowire, '-nic.hugepages=off', '-pyroscopedb.data-path=%s/n%d' % (work, n),
                      '-ingester.lifecycler.ID=n%d' % n, '-distributor.ring.instance-id=n%d' % n,
                      '-ingester.head.prefault-bytes=0', '-query.threads=1', '-ingester.min-ready-duration=0s',
                      '-memberlist.bind-addr=' + address, '-memberlist.advertise-addr=' + address,
                      *(['-memberlist.join=%s1:7946' % net] if n > 1 else [])],
                     address, 4040, log, options=options, start=start)


def ring(a):
    return sorted((m['id'], m['state']) for m in json.loads(a.request('GET', '/ring?format=json')[1])['shards'])


def alive(a):
    return a.metric('pyrowire_memberlist_members', 'state="alive"')


def refused(a, reason):
    return a.metric('pyrowire_memberlist_tls_handshakes_failed_total', 'reason="%s"' % reason)


work = tempfile.mkdtemp(prefix='pyrowire-gossip-tls.')
made = subprocess.run(['bash', here + '/../support/tls_files.sh', work, *(net + str(n) for n in range(1, 6))])
if made.returncode:
    shutil.rmtree(work)
    sys.exit(made.returncode)
log = open(work + '/log', 'ab')
nodes, stalled = [], []
try:
    nodes.append(appliance(1, tls('node', 'ca')))
    for i in range(STALLED):
        stalled.append(socket.create_connection((net + '1', 7946)))
        stalled[-1].send(b'\x16\x03\x01\x02\x00\x01'[:i % 7])
    nodes.append(appliance(2, tls('node', 'ca')))
    nodes.append(appliance(3, tls('node', 'ca')))
    three = [('n%d' % n, 'ACTIVE') for n in (1, 2, 3)]
    check('all see three ACTIVE on /ring, beside connections that stall',
          comes_true(lambda: all(alive(a) == 3 and ring(a) == three for a in nodes)), [ring(a) for a in nodes])
    check('those are cut and counted', comes_true(lambda: refused(nodes[0], 'timeout') == STALLED),
          refused(nodes[0], 'timeout'))
    plain, foreign = appliance(4, []), appliance(5, tls('foreign', 'other-ca'))
    nodes += [plain, foreign]
    check('who speaks plain text is counted', comes_true(lambda: refused(nodes[0], 'not_tls') >= 1))
    check('who trusts another authority counts our certificate', comes_true(lambda: refused(foreign, 'certificate') >= 1))
    check('and its alert is counted', comes_true(lambda: refused(nodes[0], 'refused') >= 1))
    for a, n in ((plain, 4), (foreign, 5)):
        check('n%d stays alone' % n, alive(a) == 1 and ring(a) == [('n%d' % n, 'ACTIVE')], ring(a))
    check('and the three among themselves', all(alive(a) == 3 and ring(a) == three for a in nodes[:3]))
    check('n3 leaves in good order', nodes[2].stop() == 0)
    check('which the others are told', comes_true(lambda: all(ring(a) == three[:2] for a in nodes[:2])), ring(nodes[0]))
    check('the log says with whom it was', b'no TLS with another member' in open(log.name, 'rb').read())
    bad = appliance(3, [*tls('node', 'ca'), '-memberlist.tls-key-path=%s/named.key' % work], start=False)
    p = subprocess.run(bad.argv, capture_output=True, text=True, timeout=60)
    check('a key that is not that of the certificate ends the start',
          p.returncode != 0 and '-memberlist.tls-key-path %s/named.key' % work in p.stderr, p.stderr[-500:])
finally:
    for s in stalled:
        s.close()
    for a in nodes:
        a.kill()
    if failed:
        print(open(log.name, errors='replace').read()[-4000:])
    shutil.rmtree(work)
print('%d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(failed > 0)
