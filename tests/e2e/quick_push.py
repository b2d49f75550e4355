#!/usr/bin/env python3
"""Push real profiles with fresh times through the public API, then ask for the flame graph.

usage: quick_push.py HOST:PORT CORPUS_DIR [--quiet] [--ask HOST:PORT]...
Asks where it pushed, and each --ask. Each file goes out as a Connect push (application/json, the pprof gzipped inside), from a service named
after it. The totals of the answers are compared with totals counted here from the pprof itself.
Standard library only. Exit 1 when an answer is wrong.
"""
import base64, glob, gzip, http.client, json, os, sys, time

addr, corpus = sys.argv[1], sys.argv[2]
quiet = '--quiet' in sys.argv
asked = list(dict.fromkeys([addr] + [v for o, v in zip(sys.argv, sys.argv[1:]) if o == '--ask']))


def varint(b, i):
    v = s = 0
    while True:
        c = b[i]
        v |= (c & 127) << s
        i, s = i + 1, s + 7
        if c < 128:
            return v, i


def fields(b):
    i = 0
    while i < len(b):
        key, i = varint(b, i)
        if key & 7 == 0:
            v, i = varint(b, i)
        elif key & 7 == 2:
            n, i = varint(b, i)
            v, i = b[i:i + n], i + n
        else:
            n = 8 if key & 7 == 1 else 4
            v, i = b[i:i + n], i + n
        yield key >> 3, v


def enc(v):
    out = b''
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def signed(v):
    return v - (1 << 64) if v >> 63 else v


def totals(raw):
    """Type strings, units, period type and the totals stock would keep (samples with locations)."""
    strings, types, period, sums = [], [], None, None
    samples = []
    for n, v in fields(raw):
        if n == 1:
            d = dict(fields(v))
            types.append((d.get(1, 0), d.get(2, 0)))
        elif n == 2:
            values, locs = [], 0
            for m, w in fields(v):
                if m == 1:
                    locs += 1
                elif m == 2:
                    if isinstance(w, bytes):
                        i = 0
                        while i < len(w):
                            x, i = varint(w, i)
                            values.append(signed(x))
                    else:
                        values.append(signed(w))
            samples.append((locs, values))
        elif n == 6:
            strings.append(v.decode('utf-8', 'replace'))
        elif n == 11:
            d = dict(fields(v))
            period = (d.get(1, 0), d.get(2, 0))
    sums = [0] * len(types)
    for locs, values in samples:
        if any(x < 0 for x in values):
            continue
        for i, x in enumerate(values):
            sums[i] += x if locs else 0
    p = '%s:%s' % tuple(strings[x] for x in period) if period else ':'
    return [('%s:%s' % (strings[t], strings[u]), p, s) for (t, u), s in zip(types, sums)]


def call(path, body, where=addr):
    c = http.client.HTTPConnection(where, timeout=15)
    c.request('POST', path, json.dumps(body), {'Content-Type': 'application/json'})
    r = c.getresponse()
    data = r.read()
    c.close()
    if r.status != 200:
        sys.exit('%s: %d %s' % (path, r.status, data[:300].decode('latin-1')))
    return json.loads(data or b'{}')


bad = pushed = 0
start = int(time.time() * 1000)
for f in sorted(glob.glob(os.path.join(corpus, '*.pb.gz'))):
    name = os.path.basename(f)[:-6]
    raw = gzip.decompress(open(f, 'rb').read())
    raw += b'\x48' + enc(time.time_ns())  # a later time_nanos wins
    rows = totals(raw)
    kind = 'memory' if 'mem' in name or 'space' in name or 'alloc' in name else 'process_cpu'
    labels = [{'name': '__name__', 'value': kind}, {'name': 'service_name', 'value': name},
              {'name': 'pod', 'value': name + '-0'}]
    call('/push.v1.PusherService/Push', {'series': [{'labels': labels, 'samples': [
        {'rawProfile': base64.b64encode(gzip.compress(raw, 1)).decode()}]}]})
    pushed += 1
    for where, (types, period, want) in [(a, r) for r in rows for a in asked]:
        if want == 0:
            continue
        g = call('/querier.v1.QuerierService/SelectMergeStacktraces', {
            'profileTypeID': '%s:%s:%s' % (kind, types, period),
            'labelSelector': '{service_name="%s"}' % name,
            'start': start - 1000, 'end': int(time.time() * 1000) + 1000}, where)['flamegraph']
        got = int(g.get('total', 0))
        if got != want:
            bad += 1
            print('WRONG %s %s, asked of %s: total %d, want %d' % (name, types, where, got, want))
        elif not quiet and where == addr and types in ('cpu:nanoseconds', 'alloc_space:bytes'):
            top = {}
            for level in g['levels']:
                v = [int(x) for x in level['values']]
                for i in range(0, len(v), 4):
                    top[g['names'][v[i + 3]]] = top.get(g['names'][v[i + 3]], 0) + v[i + 2]
            best = max(top, key=top.get)
            print('   %-24s %-18s total %-14d hottest %s (%d %%)' % (
                name, types, got, best[:44], 100 * top[best] // got))
if not quiet or bad:
    print('   %d profiles pushed, every total %s, asked of %s' % (
        pushed, 'right' if not bad else 'NOT right', ', '.join(asked)))
sys.exit(1 if bad or not pushed else 0)
