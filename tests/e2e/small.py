"""What tests of durability push and ask: profiles of one function each, an appliance on loopback, and every
function's value over everything it has. Standard library only."""
import base64, http.client, json, random, subprocess, time


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
    """Started on address:port, and ready unless told not to wait; options come after its own. Whoever cannot wait that long gets SystemExit."""

    def __init__(self, argv, address, port, log, wait_s=60, options=(), ready=True):
        self.address, self.port = address, port
        self.p = subprocess.Popen([*argv, '-server.http-listen-address=' + address, '-server.http-listen-port=%d' % port,
                                   '-ingester.head.max-bytes=512MiB', '-ingester.wal.segment-bytes=4MiB',
                                   '-distributor.ingestion-rate-limit-mb=10000',
                                   '-distributor.ingestion-burst-size-mb=10000',
                                   '-ingester.max-global-series-per-tenant=0',
                                   '-querier.max-flamegraph-nodes-max=0', *options], stdout=log, stderr=log)
        if not ready:
            return
        until = time.time() + wait_s
        while self.p.poll() is None and time.time() < until:
            try:
                if self.request('GET', '/ready')[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.kill()
        raise SystemExit('the appliance is not ready (exit code %s)' % self.p.returncode)

    def request(self, method, path, body=None):
        c = http.client.HTTPConnection(self.address, self.port, timeout=30)
        c.request(method, path, body, {'Content-Type': 'application/json'} if body else {})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def values(self, selector='{}'):
        """Function -> value over everything there is."""
        status, text = self.request('POST', SELECT, everything(selector))
        if status != 200:
            raise SystemExit('query answered %d: %s' % (status, text[:300]))
        return function_values(text)

    def kill(self):
        self.p.kill()
        self.p.wait()
