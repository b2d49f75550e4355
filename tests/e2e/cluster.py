#!/usr/bin/env python3
"""Three appliances in network namespaces on one bridge, three replicas: kill -9 one, cut one off, under load.

usage: cluster.py PYROWIRE [--rounds N] [--seed S] [--name N] [--no-nic | --link-port kernel|own|kernel6|own6]
Each push is a profile of one function of its own with the value 1, sent to the appliances in turn. By turns a
round kills one of the three and starts it again on its data, or takes its link off the bridge and puts it
back. What must hold in every round:
  - an appliance that is neither dead nor cut off refuses nothing, once it has seen the other one go (unless it
    found the third silent too meanwhile: a machine that does not run that one for -link.silence, 800 ms. Such
    rounds are counted, and at most one in ten may be of that kind);
  - what was acknowledged is there once, asked of each of those, while the third is away and when it is back;
  - the third answers again, and all three see each other.
--no-nic: kernel sockets alone instead of a DPDK port in each namespace.
--link-port: each has a second cable, to a bridge of its own, for replication: -link.netdev with the address that the
  kernel has there, or one of the appliance's own beside it, IPv4 or IPv6 alone. Then every datagram of links must have been seen on
  the second bridge, and none on the first. Needs root. Standard library only.
"""
import argparse, http.client, os, random, select, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time

from small import HANG_S, PUSH, Appliance, comes_true, profile, push_body

ap = argparse.ArgumentParser()
ap.add_argument('pyrowire')
ap.add_argument('--rounds', type=int, default=20)
ap.add_argument('--seed', type=int, default=int(time.time()))
ap.add_argument('--name', default='clu', help='of the namespaces and the bridge: up to 4 letters')
ap.add_argument('--no-nic', action='store_true')
ap.add_argument('--link-port', choices=['kernel', 'own', 'kernel6', 'own6'])
ap.add_argument('--option', action='append', default=[], help='more options of the appliances')
args = ap.parse_args()
random.seed(args.seed)
NET = '10.214.%d.' % (1 + sum(args.name.encode()) % 250)
IP6 = bool(args.link_port) and args.link_port.endswith('6')
LINK_NET, LINK_BITS, LINK_UDP = ('fd00:215:%x::' % (sum(args.name.encode()) % 250), 64, 4041) if IP6 else (
    NET.replace('.214.', '.215.'), 24, 4041)
OWN = (args.link_port or '').startswith('own')


def sh(*argv, check=True):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANG_S)
    if check and r.returncode:
        raise SystemExit('%s: %s' % (' '.join(argv), r.stdout.decode()))
    return r.stdout.decode()


class Node(Appliance):
    """One appliance, the namespace it lives in, and the cable from there to the bridge."""

    def __init__(self, i, directory):
        self.i, self.id, address = i, 'n%d' % i, NET + str(i)
        self.ns, self.cable, self.nic = 'pw-%s%d' % (args.name, i), 'pw%s%dh' % (args.name, i), 'pw%s%d' % (args.name, i)
        self.path = os.path.join(directory, self.id + '.log')
        self.cables = [(self.cable, bridge)]
        sh('ip', 'netns', 'add', self.ns)
        sh('ip', '-n', self.ns, 'link', 'set', 'lo', 'up')
        self.add_cable(self.cable, self.nic, bridge, address)
        if args.link_port:
            self.link = 'pw%s%dl' % (args.name, i)
            self.cables.append((self.link + 'h', bridge + 'l'))
            self.add_cable(self.link + 'h', self.link, bridge + 'l', LINK_NET + str(i + OWN * 10), LINK_BITS)
        where = ['-server.http-listen-address=' + address] if args.no_nic else ['-nic.netdev=' + self.nic]
        if args.link_port:
            where += ['-link.netdev=' + self.link]
        if OWN:
            where += ['-link.address%s=%s%d/%d' % ('6' if IP6 else '', LINK_NET, i, LINK_BITS), '-dataplane.idle=spin']
        super().__init__(
            ['ip', 'netns', 'exec', self.ns, args.pyrowire], address, 4040, open(self.path, 'ab'), where=where, start=False,
            options=['-nic.hugepages=off', '-dataplane.rx-buffer-bytes=8MiB', '-dataplane.connections-max=256',
                     '-pyroscopedb.data-path=' + os.path.join(directory, self.id), '-ingester.head.max-bytes=128MiB',
                     '-ingester.head.prefault-bytes=0', '-query.threads=1', '-distributor.replication-factor=3',
                     '-ingester.lifecycler.ID=' + self.id, '-distributor.ring.instance-id=' + self.id,
                     '-ingester.lifecycler.addr=' + address, '-ingester.unregister-on-shutdown=false',
                     '-ingester.min-ready-duration=0s', '-memberlist.bind-addr=' + address,
                     '-memberlist.advertise-addr=' + address, *['-memberlist.join=%s%d:7946' % (NET, k) for k in (1, 2, 3)],
                     '-link.secret-file=' + secret, *args.option])

    def add_cable(self, cable, nic, to, address, bits=24):
        sh('ip', 'link', 'add', cable, 'numrxqueues', '1', 'numtxqueues', '1', 'type', 'veth', 'peer', 'name', nic,
           'numrxqueues', '1', 'numtxqueues', '1', 'netns', self.ns)
        sh('ip', '-n', self.ns, 'addr', 'add', '%s/%d' % (address, bits), 'dev', nic, *['nodad'][:bits > 32])
        sh('ip', '-n', self.ns, 'link', 'set', nic, 'up')
        sh('ethtool', '-K', cable, 'tx', 'off', 'rx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off', check=False)
        sh('ip', 'netns', 'exec', self.ns, 'ethtool', '-K', nic, 'tx', 'off', 'rx', 'off', 'tso', 'off', 'gso', 'off',
           'gro', 'off', check=False)
        sh('ip', 'link', 'set', cable, 'master', to, 'up')

    def cut_off(self):
        for cable, _ in self.cables:
            sh('ip', 'link', 'set', cable, 'nomaster')

    def put_back(self):
        for cable, to in self.cables:
            sh('ip', 'link', 'set', cable, 'master', to)

    def sees(self, others):
        """Whether its ring has all others ACTIVE and its links to them are up."""
        return self.is_ready() and self.metric('pyrowire_replica_peers_up') == others

    def silences(self, of):
        """How often it found one of those silent, on any of its doors."""
        with open(self.path, errors='replace') as f:
            return sum('msg="peer is silent" id=%s ' % x.id in line for line in f for x in of)


def wait_for(what, condition):
    if comes_true(condition):
        return True
    print('FAIL: not within %d s: %s' % (HANG_S, what))
    return False


class Watch:
    """Counts the datagrams of links on all cables, by the bridge that they go to."""

    def __init__(self, nodes):
        self.cables, self.seen, self.stop = [c for x in nodes for c in x.cables], {bridge: 0, bridge + 'l': 0}, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        sockets = {}
        for cable, to in self.cables:
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            s.bind((cable, 0))
            sockets[s] = to
        while not self.stop:
            for s in select.select(list(sockets), [], [], 0.2)[0]:
                f = s.recv(2048)
                at = 34 if f[12:14] == b'\x08\x00' and f[23] == 17 else 54 if f[12:14] == b'\x86\xdd' and f[20] == 17 else 0
                if at and LINK_UDP in struct.unpack('!HH', f[at:at + 4]):
                    self.seen[sockets[s]] += 1
        for s in sockets:
            s.close()

    def judge(self, nodes):
        """No datagram on the NICs' bridge, nor through a worker of the NIC's port; all of them on the other."""
        self.stop = True
        self.thread.join()
        ok = self.seen[bridge] == 0 and self.seen[bridge + 'l'] > 0
        for x in nodes:
            text = x.request('GET', '/metrics')[1]
            count = {k: sum(float(l.split()[-1]) for l in text.splitlines() if l.startswith(k)) for k in (
                'pyrowire_worker_udp_in_total{worker="0"}', 'pyrowire_worker_udp_out_total{worker="0"}',
                'pyrowire_worker_udp_in_total{worker="link0"}', 'pyrowire_worker_udp_out_total{worker="link0"}',
                'pyrowire_nic_steered_frames_total{port="nic",verdict="ours_udp"}',
                'pyrowire_nic_steered_frames_total{port="link",verdict="ours_udp"}')}
            ok = ok and all((v > 0) == ('link' in k) for k, v in count.items())
            if not ok:
                print('%s: %s' % (x.id, count))
        print('%s: datagrams of links seen by the kernel: %d at the NICs, %d at the link ports' % (
            'ok' if ok else 'FAIL', self.seen[bridge], self.seen[bridge + 'l']))
        return ok


def refused_ports(directory):
    """What cannot be a second port stops the start with a text that says so."""
    ok = True
    for link, text in (('lo-none', 'there is no network interface lo-none'), ('same', "is the NIC's already")):
        nic = 'pw%s1' % args.name
        r = subprocess.run(['ip', 'netns', 'exec', 'pw-%s1' % args.name, args.pyrowire, '-nic.netdev=' + nic,
                            '-link.netdev=' + (nic if link == 'same' else link), '-link.secret-file=' + secret,
                            '-pyroscopedb.data-path=' + os.path.join(directory, 'refused')],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANG_S)
        if r.returncode == 0 or text not in r.stdout.decode():
            print('FAIL: -link.netdev %s: exit %d, %s' % (link, r.returncode, r.stdout.decode()[-500:]))
            ok = False
    return ok


class Load:
    """Pushes to the nodes it is told to until it is told to stop. A push that has no answer may be there or not."""

    def __init__(self):
        self.acked, self.sent, self.refused = set(), set(), []
        self.targets, self.strict, self.stop = [], False, False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(random.random(),)) for _ in range(3)]
        for t in self.threads:
            t.start()

    def run(self, seed):
        dice, conns = random.Random(seed), {}
        while not self.stop:
            with self.lock:
                targets, strict = list(self.targets), self.strict
            if not targets:
                time.sleep(0.01)
                continue
            node = dice.choice(targets)
            name = 'push_%x' % dice.getrandbits(60)
            body = push_body(profile([name]), service_name='cluster', pod=str(dice.randrange(50)))
            with self.lock:
                self.sent.add(name)
            try:
                life = (node.i, node.starts)  # a connection to one that was killed is no news of the next
                c = conns.get(life) or http.client.HTTPConnection(node.address, 4040, timeout=10)
                conns[life] = c
                c.request('POST', PUSH, body, {'Content-Type': 'application/json'})
                r = c.getresponse()
                text = r.read().decode()
                status = r.status
            except (OSError, http.client.HTTPException) as e:
                conns.pop(life, None)
                status, text = 0, repr(e)
            with self.lock:
                if status == 200:
                    self.acked.add(name)
                elif strict and self.strict and node in self.targets:
                    self.refused.append('%s: %d %s' % (node.id, status, text[:200]))
            time.sleep(0.004)

    def aim(self, nodes, strict):
        """strict: from now on nobody of them may refuse."""
        with self.lock:
            self.targets, self.strict = list(nodes), strict

    def forgive(self, silent):
        """True: there was something to forgive."""
        with self.lock:
            found = silent and len(self.refused) > 0
            if found:
                self.refused = []
        return found

    def count(self):
        with self.lock:
            return len(self.acked)

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()


def acked_more(load, n):
    start = load.count()
    return wait_for('%d more pushes acknowledged' % n, lambda: load.count() >= start + n)


def judge(load, nodes, when):
    with load.lock:
        acked = set(load.acked)
    ok = True
    for node in nodes:
        try:
            have = node.values('{service_name="cluster"}')
        except SystemExit as e:
            print('FAIL: %s, %s: %s' % (when, node.id, e))
            ok = False
            continue
        with load.lock:
            sent = set(load.sent)
        lost = [n for n in acked if have.get(n, 0) == 0]
        twice = {n: v for n, v in have.items() if v != 1}
        strange = [n for n in have if n not in sent]
        if lost or twice or strange:
            print('FAIL: %s, asked of %s: %d of %d acknowledged lost %s, %d not once %s, %d never sent %s' % (
                when, node.id, len(lost), len(acked), lost[:3], len(twice), list(twice.items())[:3], len(strange), strange[:3]))
            ok = False
    return ok


starved = []


def one_round(n, nodes, load):
    away = random.choice(nodes)
    others = [x for x in nodes if x is not away]
    by_kill = n % 2 == 0
    how = 'kill -9 of ' + away.id if by_kill else away.id + ' cut off'
    load.aim(nodes, False)
    if not acked_more(load, 20):
        return False
    load.aim(others, False)
    if by_kill:
        away.kill()
    else:
        away.cut_off()
    ok = wait_for('both others have seen it go: ' + how, lambda: all(x.metric('pyrowire_replica_peers_up') == 1 for x in others))
    before = sum(x.silences(others) for x in others)
    load.aim(others, True)  # order, not time: from here on no push may fail
    ok = ok and acked_more(load, 30)
    ok = ok and judge(load, others, how)
    if load.forgive(sum(x.silences(others) for x in others) != before):
        starved.append(n)
    load.aim(others, False)
    if by_kill:
        away.start(ready=False)
    else:
        away.put_back()
    ok = ok and wait_for('all three see each other again: ' + how, lambda: all(x.sees(2) for x in nodes))
    ok = ok and judge(load, nodes, 'after ' + how)
    load.aim([], False)
    with load.lock:
        if load.refused:
            print('FAIL: %s: %d pushes refused by who was there: %s' % (how, len(load.refused), load.refused[:2]))
            ok = False
    if len(starved) > (args.rounds + 9) // 10:
        print('FAIL: appliances found each other silent in rounds %s' % starved)
        ok = False
    return ok


def clear():
    for i in (1, 2, 3):
        sh('ip', 'netns', 'del', 'pw-%s%d' % (args.name, i), check=False)
        sh('ip', 'link', 'del', 'pw%s%dh' % (args.name, i), check=False)
        sh('ip', 'link', 'del', 'pw%s%dlh' % (args.name, i), check=False)
    sh('ip', 'link', 'del', bridge, check=False)
    sh('ip', 'link', 'del', bridge + 'l', check=False)


def main():
    global secret, bridge
    watch = None
    directory = tempfile.mkdtemp(prefix='pyrowire-cluster.')
    secret, bridge, nodes, load, ok, n = os.path.join(directory, 'secret'), 'pw%sbr' % args.name, [], None, False, -1
    with open(secret, 'wb') as f:
        f.write(os.urandom(32))
    try:
        clear()
        sh('ip', 'link', 'add', bridge, 'type', 'bridge')
        sh('ip', 'addr', 'add', NET + '254/24', 'dev', bridge)
        sh('ip', 'link', 'set', bridge, 'up')
        if args.link_port:
            sh('ip', 'link', 'add', bridge + 'l', 'type', 'bridge')
            sh('ip', 'link', 'set', bridge + 'l', 'up')
        for i in (1, 2, 3):
            nodes.append(Node(i, directory))
        if args.link_port:
            if not refused_ports(directory):
                return 1
            watch = Watch(nodes)
        for node in nodes:
            node.start(ready=False)
        ok = wait_for('three appliances see each other', lambda: all(x.sees(2) for x in nodes))
        load = Load() if ok else None
        for n in range(args.rounds if ok else 0):
            ok = one_round(n, nodes, load)
            if not ok:
                break
        if watch and ok:
            ok = watch.judge(nodes)
    finally:
        if watch:
            watch.stop = True
        if load:
            load.end()
        for node in nodes:
            node.stop(signal.SIGKILL)
        clear()
        if not ok:
            for node in nodes:
                print('--- end of the log of %s' % node.id)
                with open(os.path.join(directory, node.id + '.log'), errors='replace') as f:
                    print(''.join(f.readlines()[-12:]), end='')
        if not os.environ.get('PW_CLUSTER_KEEP'):
            shutil.rmtree(directory, ignore_errors=True)
    print('cluster.py: seed %d, %d rounds, %d pushes acknowledged, %d rounds starved: %s' % (
        args.seed, n + 1, load.count() if load else 0, len(starved),
        'each there once, none refused' if ok else 'FAILED'))
    return 0 if ok else 1


sys.exit(main())
