#!/usr/bin/env python3
"""Load, SIGKILL at a random moment, start again: every push that was answered 200 is there once.

usage: kill.py PYROWIRE [--rounds N] [--address A] [--seed S] [--connections N]
Each push is a profile of its own function with the value 1 (two of them when it is split by a sample
label), gzip or not, small or larger than a lane's record. After each start the flame graph over everything
is read: an acknowledged push must have the value 1, one that was not answered 1 or nothing. Rounds start
with one ingester core and with two by turns; every other one is killed once more while it replays, and starts
with heads so small that replay has to write blocks. Standard library only.
"""
import argparse, gzip, http.client, os, random, shutil, sys, tempfile, threading, time

from small import PUSH, Appliance, noise, profile, push_body

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
ballast = noise(3000)


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

    def push(self, c, dice, many=2):
        name = 'push_%x' % dice.getrandbits(60)
        names = [name] if dice.random() < 0.8 and many == 2 else [name + '_%d' % i for i in range(many)]
        raw = profile(names, ballast if dice.random() < 0.05 else ())
        if dice.random() < 0.8:
            raw = gzip.compress(raw, 1)
        body = push_body(raw, service_name='kill', pod=str(dice.randrange(50)))
        with self.lock:
            self.sent.update(names)
        c.request('POST', PUSH, body, {'Content-Type': 'application/json'})
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


SMALL_HEADS = ('-ingester.head.max-bytes=16MiB', '-pyroscopedb.row-group-target-size=1MiB')


def start(data, cores, log, *options, ready=True):
    return Appliance([args.pyrowire, '-pyroscopedb.data-path=' + data, '-ingester.cores=%d' % cores, *args.option],
                     args.address, args.port, log, options=options, ready=ready)


def heads_cut(a):
    text = a.request('GET', '/metrics')[1]
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith('pyrowire_flush_heads_total ')))


def judge(appliance, acked, sent):
    have = appliance.values('{service_name="kill"}')
    lost = [n for n in acked if have.get(n, 0) == 0]
    twice = {n: v for n, v in have.items() if v != 1}
    strange = [n for n in have if n not in sent]
    if lost or twice or strange:
        print('FAIL: %d acknowledged pushes lost %s, %d not once %s, %d never sent %s' %
              (len(lost), lost[:3], len(twice), list(twice.items())[:3], len(strange), strange[:3]))
        return False
    return True


def starts_honestly(a):
    """Until /ready says 200 nobody listens, or it says 503, and pushes are refused while it says that it replays."""
    seen = 0
    while a.p.poll() is None:
        try:
            pushed, _ = a.request('POST', PUSH, '{}')
            status, text = a.request('GET', '/ready')
        except OSError:
            time.sleep(0.01)
            continue
        if status == 200:
            print('kill.py: /ready said %d times that it replays' % seen)
            return True
        seen += 'replaying the write-ahead log' in text
        if status != 503 or ('replaying' in text and pushed != 503):
            print('FAIL: while it starts a push is answered %d, /ready %d %s' % (pushed, status, text))
            return False
    print('FAIL: it ended while it started')
    return False


def log_larger_than_heads(log):
    """6,000 series in the log, several times what a head holds when it is cut."""
    data = tempfile.mkdtemp(prefix='pyrowire-kill.')
    a = start(data, 1, log)
    load, dice = Load(0), random.Random(args.seed)
    c = http.client.HTTPConnection(args.address, args.port, timeout=30)
    for _ in range(300):
        load.push(c, dice, 20)
    a.kill()
    a = start(data, 1, log, *SMALL_HEADS, ready=False)
    ok = starts_honestly(a) and judge(a, load.acked, load.sent)
    # Replay may be done before the first head that it cut is written.
    until = time.time() + 60
    while ok and heads_cut(a) == 0 and time.time() < until:
        time.sleep(0.05)
    cut = heads_cut(a)
    ok = ok and judge(a, load.acked, load.sent)
    if len(load.acked) != 6000 or cut == 0:
        print('FAIL: %d of 6000 acknowledged, replay cut %d heads' % (len(load.acked), cut))
        ok = False
    a.kill()
    shutil.rmtree(data)
    return ok


def main():
    log = open(os.environ.get('PW_KILL_LOG', os.devnull), 'w')
    data, ok, total, unanswered, cut = None, True, 0, 0, 0
    acked, sent = set(), set()
    for n in range(args.rounds):
        if n % ROUNDS_PER_DIRECTORY == 0:
            if data:
                shutil.rmtree(data)
            data = tempfile.mkdtemp(prefix='pyrowire-kill.')
            acked, sent = set(), set()
        a = start(data, 1 + n % 2, log)
        load = Load(args.connections)
        time.sleep(random.uniform(0.1, 1.2))
        a.kill()
        load.end()
        acked |= load.acked
        sent |= load.sent
        total += len(load.acked)
        unanswered += len(load.sent) - len(load.acked)
        if n % 2 == 1:
            a = start(data, 1 + (n + 1) // 2 % 2, log, *SMALL_HEADS, ready=False)
            time.sleep(random.uniform(0.2, 0.8))
            a.kill()
        a = start(data, 1 + (n + 1) % 2, log, *(SMALL_HEADS if n % 2 == 1 else ()))
        ok = judge(a, acked, sent) and ok
        cut += heads_cut(a)
        a.kill()
        if load.refused:
            print('FAIL: %d pushes refused' % load.refused)
            ok = False
        if not ok:
            break
    shutil.rmtree(data)
    ok = ok and log_larger_than_heads(log)
    print('kill.py: seed %d, %d rounds, %d functions acknowledged, %d without an answer, %d heads cut in replay: %s' %
          (args.seed, n + 1, total, unanswered, cut, 'each acknowledged one there once' if ok else 'FAILED'))
    sys.exit(0 if ok else 1)


main()
