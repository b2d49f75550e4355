"""What tests of durability and of rings push and ask: profiles of one function each, an appliance, and every
function's value over everything it has. Standard library only."""
import base64, http.client, json, random, signal, subprocess, time


HANG_S = 60  # longer than anything that is waited for may take; reaching it is a failure


def comes_true(condition):
    """Whether it does before HANG_S are over."""
    until = time.time() + HANG_S
    while not condition():
        if time.time() > until:
            return False
        time.sleep(0.05)
    return True


def varint(v):
    out = b''
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def field(n, v):
    return varint(n << 3) + varint(v) if isinstance(v, int) else varint(n << 3 | 2) + varint(len(v)) + v


def noise(n):
    """Strings that do not compress: 80 bytes each."""
    return [base64.b64encode(random.randbytes(60)).decode() for _ in range(n)]


def profile(names, more_strings=()):
    """A pprof with one sample of value 1 for each name, each but the first with a label of its own."""
    strings = ['', 'cpu', 'nanoseconds', 'part']
    samples, locations, functions = b'', b'', b''
    for i, name in enumerate(names):
        strings += [name, 'p%d' % i]
        label = field(3, field(1, 3) + field(2, len(strings) - 1)) if i else b''
        samples += field(2, field(1, i + 1) + field(2, 1) + label)
        locations += field(4, field(1, i + 1) + field(4, field(1, i + 1)))
        functions += field(5, field(1, i + 1) + field(2, len(strings) - 2))
    kind = field(1, 1) + field(2, 2)
    return (field(1, kind) + samples + locations + functions +
            b''.join(field(6, s.encode()) for s in [*strings, *more_strings]) +
            field(9, time.time_ns()) + field(11, kind) + field(12, 1))


def push_body(raw, **labels):
    """Push in Connect's JSON of one profile, gzip or not."""
    pairs = [{'name': k, 'value': v} for k, v in {'__name__': 'process_cpu', **labels}.items()]
    return json.dumps({'series': [{'labels': pairs, 'samples': [{'rawProfile': base64.b64encode(raw).decode()}]}]})


PUSH = '/push.v1.PusherService/Push'
SELECT = '/querier.v1.QuerierService/SelectMergeStacktraces'


def everything(selector):
    """The question whose answer function_values reads: an untruncated flame graph of the last hour."""
    now = int(time.time() * 1000)
    return json.dumps({'profileTypeID': 'process_cpu:cpu:nanoseconds:cpu:nanoseconds', 'labelSelector': selector,
                       'start': now - 3600000, 'end': now + 60000, 'maxNodes': 1 << 30})


def function_values(text):
    """Function -> total value of its frames in a flame graph."""
    graph = json.loads(text).get('flamegraph') or {}
    out = {}
    for level in graph.get('levels', []):
        v = [int(x) for x in level['values']]
        for i in range(0, len(v), 4):
            name = graph['names'][v[i + 3]]
            out[name] = out.get(name, 0) + v[i + 1]
    out.pop('total', None)
    return out


class Appliance:
    """Started on address:port, and ready unless told not to wait; options come after its own. Whoever cannot wait that long gets SystemExit.
    `where`: instead of the options that make it listen on a kernel socket there."""

    def __init__(self, argv, address, port, log, wait_s=60, options=(), ready=True, where=None, start=True):
        self.address, self.port, self.log, self.wait_s = address, port, log, wait_s
        if where is None:
            where = ['-server.http-listen-address=' + address, '-server.http-listen-port=%d' % port]
        self.argv = [*argv, *where, '-ingester.head.max-bytes=512MiB', '-ingester.wal.segment-bytes=4MiB',
                     '-distributor.ingestion-rate-limit-mb=10000', '-distributor.ingestion-burst-size-mb=10000',
                     '-ingester.max-global-series-per-tenant=0', '-querier.max-flamegraph-nodes-max=0', *options]
        self.p, self.starts = None, 0
        if start:
            self.start(ready=ready)

    def start(self, *options, ready=True):
        self.starts += 1
        self.p = subprocess.Popen([*self.argv, *options], stdout=self.log, stderr=self.log)
        if not ready:
            return
        until = time.time() + self.wait_s
        while self.p.poll() is None and time.time() < until:
            if self.is_ready():
                return
            time.sleep(0.05)
        self.kill()
        raise SystemExit('the appliance is not ready (exit code %s); last said: %s' % (self.p.returncode, self.last_said()))

    def last_said(self):
        try:
            with open(self.log.name, errors='replace') as f:
                return ' | '.join(f.read().splitlines()[-3:])
        except (OSError, AttributeError, TypeError):
            return 'its log is not a file'

    def request(self, method, path, body=None, headers=None, timeout=60):
        """Status and text. JSON, where the body is not said to be something else."""
        c = http.client.HTTPConnection(self.address, self.port, timeout=timeout)
        try:
            c.request(method, path, body, {'Content-Type': 'application/json'} if headers is None else headers)
            r = c.getresponse()
            return r.status, r.read().decode()
        finally:
            c.close()

    def is_ready(self):
        try:
            return self.request('GET', '/ready', timeout=5)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def metric(self, name, labels=''):
        """Sum of the samples whose labels have that text, or None when it does not answer."""
        try:
            text = self.request('GET', '/metrics', timeout=5)[1]
        except (OSError, http.client.HTTPException):
            return None
        return sum(float(l.split()[-1]) for l in text.splitlines()
                   if (l.startswith(name + ' ') or l.startswith(name + '{')) and labels in l)

    def values(self, selector='{}'):
        """Function -> value over everything there is."""
        status, text = self.request('POST', SELECT, everything(selector))
        if status != 200:
            raise SystemExit('query answered %d: %s' % (status, text[:300]))
        return function_values(text)

    def stop(self, how=signal.SIGTERM):
        """Its exit code; None when it did not run."""
        if self.p is None or self.p.poll() is not None:
            return None
        self.p.send_signal(how)
        return self.p.wait(timeout=60)

    def kill(self):
        self.p.kill()
        self.p.wait()
