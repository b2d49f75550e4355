#!/usr/bin/env python3
"""Members that find each other by names: dnssrv+, dnssrvnoa+ and dns+ of -memberlist.join, over IPv4 and IPv6.

usage: unshare -mn names.py PYROWIRE
Namespaces of its own: /etc/resolv.conf becomes a name server of this script on their loopback. Needs root for them.
Standard library only."""
import os, socket, struct, subprocess, sys, tempfile, threading

from small import Appliance, comes_true

passed = failed = 0
asked = []


def check(what, ok, seen=''):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(('ok   ' if ok else 'FAIL ') + what + ('' if ok else ': %s' % (seen,)))


def dns_name(n):
    return b''.join(bytes([len(p)]) + p.encode() for p in n.split('.')) + b'\0'


SRV, A, AAAA = 33, 1, 28
ZONE = {('_gossip._tcp.ring.test', SRV): [struct.pack('!HHH', 1, 1, 7001) + dns_name('n1.ring.test'),
                                          struct.pack('!HHH', 1, 1, 7999) + dns_name('nobody.ring.test')],
        ('_six._tcp.ring.test', SRV): [struct.pack('!HHH', 1, 1, 7003) + dns_name('n3.ring.test')],
        ('n1.ring.test', A): [socket.inet_aton('127.0.0.1')],
        ('n3.ring.test', AAAA): [socket.inet_pton(socket.AF_INET6, '::1')]}


def serve(s):
    """RFC 1035, one question a datagram; a name that is not in ZONE does not exist."""
    while True:
        q, who = s.recvfrom(512)
        at, labels = 12, []
        while q[at]:
            labels.append(q[at + 1:at + 1 + q[at]].decode())
            at += 1 + q[at]
        key = '.'.join(labels), struct.unpack('!H', q[at + 1:at + 3])[0]
        asked.append(key)
        found = ZONE.get(key, [])
        known = any(k[0] == key[0] for k in ZONE)
        answer = q[:2] + struct.pack('!HHHHH', 0x8580 | (0 if known else 3), 1, len(found), 0, 0) + q[12:at + 5]
        for data in found:
            answer += struct.pack('!HHHIH', 0xC00C, key[1], 1, 5, len(data)) + data
        s.sendto(answer, who)


def member(n, bind, join):
    return Appliance([sys.argv[1], '-pyroscopedb.data-path=%s/n%d' % (work, n), '-ingester.lifecycler.ID=n%d' % n,
                      '-distributor.ring.instance-id=n%d' % n, '-memberlist.nodename=n%d' % n,
                      '-ingester.min-ready-duration=0s', '-query.threads=1', '-ingester.head.prefault-bytes=0',
                      '-memberlist.bind-addr=' + bind, '-memberlist.bind-port=%d' % (7000 + n),
                      '-memberlist.advertise-addr=' + bind, '-memberlist.advertise-port=%d' % (7000 + n)],
                     '127.0.0.%d' % n, 4040, log, options=['-memberlist.join=' + join] if join else [])


def members(a):
    return a.metric('pyrowire_memberlist_members', 'state="alive"')


def wait_for(what, found):
    check(what, comes_true(found), 'not within a minute')


work = tempfile.mkdtemp(prefix='pyrowire-names.')
log = open(work + '/log', 'ab')
with open(work + '/resolv.conf', 'w') as f:
    f.write('nameserver 127.0.0.1\noptions timeout:1 attempts:1\n')
for c in (['ip', 'link', 'set', 'lo', 'up'], ['mount', '--make-rprivate', '/'],
          ['mount', '--bind', work + '/resolv.conf', '/etc/resolv.conf']):
    if subprocess.run(c).returncode:
        print('skip: no namespaces of its own here')
        sys.exit(77)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
threading.Thread(target=serve, args=(server,), daemon=True).start()
all_of_them = []
try:
    for n, bind, join in ((1, '127.0.0.1', ''), (2, '127.0.0.1', 'dnssrv+_gossip._tcp.ring.test'),
                          (3, '::1', 'dns+n1.ring.test:7001'), (4, '::1', 'dnssrvnoa+_six._tcp.ring.test')):
        all_of_them.append(member(n, bind, join))
        wait_for('n%d at %s, by %s, is one of %d for all' % (n, bind, join or 'itself', n),
                 lambda: all(members(a) == n for a in all_of_them))
    check('SRV records were asked for', ('_gossip._tcp.ring.test', SRV) in asked and ('_six._tcp.ring.test', SRV) in asked)
    text = all_of_them[0].request('GET', '/memberlist')[1]
    check('the page shows an IPv6 member', '[::1]:7003' in text, text[:2000])
    check('a target without an address is said to be one', b'nobody.ring.test' in open(log.name, 'rb').read())
finally:
    for a in all_of_them:
        a.kill()
    if failed:
        print(open(log.name, errors='replace').read()[-4000:])
    subprocess.run(['umount', '/etc/resolv.conf'])
    subprocess.run(['rm', '-rf', work])
print('%d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(failed > 0)
