#!/usr/bin/env python3
"""Load, SIGKILL at a random moment, start again: every push that was answered 200 is there once.

usage: kill.py PYROWIRE [--rounds N] [--address A] [--seed S] [--connections N]
Each push is a profile of its own function with the value 1 (two of them when it is split by a sample
label), gzip or not, small or larger than a lane's record. After each start the flame graph over everything
is read: an acknowledged push must have the value 1, one that was not answered 1 or nothing. Rounds start
with one ingester core and with two by turns. Standard library only.
"""
import argparse, base64, gzip, http.client, json, os, random, shutil, signal, subprocess, sys, tempfile, threading, time

ap = argparse.ArgumentParser()
ap.add_argument('pyrowire')
ap.add_argument('--rounds', type=int, default=20)
ap.add_argument('--address', default='127.0.0.26')
ap.add_argument('--port', type=int, default=4040)
ap.add_argument('--seed', type=int, default=int(time.time()))
ap.add_argument('--connections', type=int, default=8)
ap.add_argument('--option', action='append', default=[], help='more options of the appliance')
args = ap.parse_args()
random.seed(args.seed)
ROUNDS_PER_DIRECTORY = 20
noise = [base64.b64encode(random.randbytes(60)).decode() for _ in range(3000)]


def varint(v):
    out = b''
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def field(n, v):
    return varint(n << 3) + varint(v) if isinstance(v, int) else varint(n << 3 | 2) + varint(len(v)) + v


def profile(names, big):
    """One sample of value 1 for each name, each but the first with a label of its own."""
    strings = ['', 'cpu', 'nanoseconds', 'part']
    samples, locations, functions = b'', b'', b''
    for i, name in enumerate(names):
        strings += [name, 'p%d' % i]
        label = field(3, field(1, 3) + field(2, len(strings) - 1)) if i else b''
        samples += field(2, field(1, i + 1) + field(2, 1) + label)
        locations += field(4, field(1, i + 1) + field(4, field(1, i + 1)))
        functions += field(5, field(1, i + 1) + field(2, len(strings) - 2))
    if big:
        strings += noise
    kind = field(1, 1) + field(2, 2)
    return (field(1, kind) + samples + locations + functions +
            b''.join(field(6, s.encode()) for s in strings) +
            field(9, time.time_ns()) + field(11, kind) + field(12, 1))


class Load:
    """Pushes until told to stop, or until the appliance is gone."""

    def __init__(self, connections):
        self.acked, self.sent, self.refused = set(), set(), 0
        self.stop = False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(random.random(),)) for _ in range(connections)]
        for t in self.threads:
            t.start()

    def run(self, seed):
        dice = random.Random(seed)
        try:
            c = http.client.HTTPConnection(args.address, args.port, timeout=10)
            while not self.stop:
                self.push(c, dice)
        except (OSError, http.client.HTTPException):
            pass  # killed

    def push(self, c, dice):
        name = 'push_%x' % dice.getrandbits(60)
        names = [name] if dice.random() < 0.8 else [name, name + '_2']
        raw = profile(names, dice.random() < 0.05)
        if dice.random() < 0.8:
            raw = gzip.compress(raw, 1)
        labels = [{'name': '__name__', 'value': 'process_cpu'}, {'name': 'service_name', 'value': 'kill'},
                  {'name': 'pod', 'value': str(dice.randrange(50))}]
        body = json.dumps({'series': [{'labels': labels, 'samples': [{'rawProfile': base64.b64encode(raw).decode()}]}]})
        with self.lock:
            self.sent.update(names)
        c.request('POST', '/push.v1.PusherService/Push', body, {'Content-Type': 'application/json'})
        r = c.getresponse()
        r.read()
        with self.lock:
            if r.status == 200:
                self.acked.update(names)
            else:
                self.refused += 1

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()


class Appliance:
    def __init__(self, data, cores, log):
        self.p = subprocess.Popen(
            [args.pyrowire, '-server.http-listen-address=' + args.address, '-server.http-listen-port=%d' % args.port,
             '-pyroscopedb.data-path=' + data, '-ingester.cores=%d' % cores, '-ingester.head.max-bytes=512MiB',
             '-ingester.wal.segment-bytes=4MiB', '-distributor.ingestion-rate-limit-mb=10000',
             '-distributor.ingestion-burst-size-mb=10000', '-ingester.max-global-series-per-tenant=0',
             '-querier.max-flamegraph-nodes-max=0', *args.option], stdout=log, stderr=log)
        for _ in range(1200):
            if self.p.poll() is not None:
                break
            try:
                if self.request('GET', '/ready')[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.p.kill()
        self.p.wait()
        raise SystemExit('kill.py: the appliance is not ready')

    def request(self, method, path, body=None):
        c = http.client.HTTPConnection(args.address, args.port, timeout=30)
        c.request(method, path, body, {'Content-Type': 'application/json'} if body else {})
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, text

    def values(self):
        """Function -> value over everything there is."""
        now = int(time.time() * 1000)
        status, text = self.request('POST', '/querier.v1.QuerierService/SelectMergeStacktraces', json.dumps(
            {'profileTypeID': 'process_cpu:cpu:nanoseconds:cpu:nanoseconds', 'labelSelector': '{service_name="kill"}',
             'start': now - 3600000, 'end': now + 60000, 'maxNodes': 1 << 30}))
        if status != 200:
            raise SystemExit('kill.py: query answered %d: %s' % (status, text[:300]))
        graph = json.loads(text).get('flamegraph') or {}
        out = {}
        for level in graph.get('levels', []):
            v = [int(x) for x in level['values']]
            for i in range(0, len(v), 4):
                name = graph['names'][v[i + 3]]
                out[name] = out.get(name, 0) + v[i + 1]
        return out

    def kill(self):
        self.p.send_signal(signal.SIGKILL)
        self.p.wait()


def judge(appliance, acked, sent):
    have = appliance.values()
    have.pop('total', None)
    lost = [n for n in acked if have.get(n, 0) == 0]
    twice = {n: v for n, v in have.items() if v != 1}
    strange = [n for n in have if n not in sent]
    if lost or twice or strange:
        print('FAIL: %d acknowledged pushes lost %s, %d not once %s, %d never sent %s' %
              (len(lost), lost[:3], len(twice), list(twice.items())[:3], len(strange), strange[:3]))
        return False
    return True


def main():
    log = open(os.environ.get('PW_KILL_LOG', os.devnull), 'w')
    data, ok, total, unanswered = None, True, 0, 0
    acked, sent = set(), set()
    for n in range(args.rounds):
        if n % ROUNDS_PER_DIRECTORY == 0:
            if data:
                shutil.rmtree(data)
            data = tempfile.mkdtemp(prefix='pyrowire-kill.')
            acked, sent = set(), set()
        a = Appliance(data, 1 + n % 2, log)
        load = Load(args.connections)
        time.sleep(random.uniform(0.1, 1.2))
        a.kill()
        load.end()
        acked |= load.acked
        sent |= load.sent
        total += len(load.acked)
        unanswered += len(load.sent) - len(load.acked)
        a = Appliance(data, 1 + (n + 1) % 2, log)
        ok = judge(a, acked, sent) and ok
        a.kill()
        if load.refused:
            print('FAIL: %d pushes refused' % load.refused)
            ok = False
        if not ok:
            break
    shutil.rmtree(data)
    print('kill.py: seed %d, %d rounds, %d functions acknowledged, %d without an answer: %s' %
          (args.seed, n + 1, total, unanswered, 'each acknowledged one there once' if ok else 'FAILED'))
    sys.exit(0 if ok else 1)


main()
