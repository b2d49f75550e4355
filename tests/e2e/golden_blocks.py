#!/usr/bin/env python3
"""Ask for what a block of the real Pyroscope holds and compare with what the real one answered.

usage: golden_blocks.py HOST:PORT RESPONSES.json[.gz]
The server has the block in <data path>/anonymous/local and runs with -querier.max-query-lookback=0
-querier.max-query-length=0. Order of children in flame graphs, numbering in profiles and order of labels are
not contractual: compared are paths with their values, resolved stacks, sets. Prints `N passed, N failed`.
"""
import gzip, http.client, json, re, sys

START, END = 1795226400000, 1795230600000
addr, path = sys.argv[1], sys.argv[2]
want = json.load(gzip.open(path) if path.endswith('.gz') else open(path))


def call(method, req):
    c = http.client.HTTPConnection(addr, timeout=60)
    c.request('POST', '/querier.v1.QuerierService/' + method, json.dumps(req), {'Content-Type': 'application/json'})
    r = c.getresponse()
    body = r.read()
    c.close()
    if r.status != 200:
        raise SystemExit('%s: %d %s' % (method, r.status, body[:300]))
    return json.loads(body)


def flame(answer):
    """{path of names: (total, self)}; None for an empty one."""
    f = answer.get('flamegraph', {})
    names, out, above = f.get('names', []), {}, [(0, 1 << 62, ())]
    for level in f.get('levels', []):
        v, at, here = [int(x) for x in level['values']], 0, []
        for i in range(0, len(v), 4):
            at += v[i]
            parent = next(p for p in above if p[0] <= at and at + v[i + 1] <= p[1])
            here.append((at, at + v[i + 1], parent[2] + (names[v[i + 3]],)))
            total, own = out.get(here[-1][2], (0, 0))
            out[here[-1][2]] = (total + v[i + 1], own + v[i + 2])
            at += v[i + 1]
        above = here
    return {k: v for k, v in out.items() if v[0]}


def stacks(p):
    """{(resolved frames): value} and the types."""
    s = p.get('stringTable', [''])
    name = lambda i: s[int(i or 0)]
    fn = {f['id']: (name(f.get('name')), name(f.get('filename')), int(f.get('startLine', 0))) for f in p.get('function', [])}
    loc = {l['id']: (l.get('address', '0') if not l.get('line') else None,
                     tuple((fn[x['functionId']], int(x.get('line', 0))) for x in l.get('line', [])))
           for l in p.get('location', [])}
    out = {}
    for sample in p.get('sample', []):
        key = tuple(loc[i] for i in sample.get('locationId', []))
        out[key] = out.get(key, 0) + int(sample['value'][0])
    types = [(name(t.get('type')), name(t.get('unit'))) for t in p.get('sampleType', []) if t]
    return out, types


def label_sets(answer):
    return sorted(sorted((l['name'], l['value']) for l in s['labels']) for s in answer.get('labelsSet', []))


def series(answer):
    return sorted((sorted((l['name'], l['value']) for l in s['labels']),
                   [(int(p['timestamp']), p['value']) for p in s['points']]) for s in answer.get('series', []))


def types(answer):
    return sorted(t['ID'] for t in answer.get('profileTypes', []))


passed = failed = 0
for q, expected in want.items():
    method, _, rest = q.partition(' ')
    req = {'start': START, 'end': END}
    m = re.match(r'(\S+) (\{.*\})(?: by (\S+) step(\d+))?$', rest)
    if method in ('SelectMergeStacktraces', 'SelectMergeProfile', 'SelectSeries'):
        req.update(profileTypeID=m[1], labelSelector=m[2])
    if method == 'SelectMergeStacktraces':
        req['maxNodes'] = 16384
        view = flame
    elif method == 'SelectMergeProfile':
        view = stacks
    elif method == 'SelectSeries':
        req.update(groupBy=[m[3]], step=int(m[4]))
        view = series
    elif method == 'LabelValues':
        req['name'] = rest
        view = lambda a: a.get('names', [])
    elif method == 'LabelNames':
        view = lambda a: a.get('names', [])
    elif method == 'Series':
        req['labelNames'] = rest.split(',') if rest else []
        view = label_sets
    else:
        view = types
    got, exp = view(call(method, req)), view(expected)
    if got == exp:
        passed += 1
    else:
        failed += 1
        print('FAIL %s' % q)
        if isinstance(got, dict):
            diff = [k for k in set(got) | set(exp) if got.get(k) != exp.get(k)]
            print('  %d paths of %d, %d differ: %s' % (len(got), len(exp), len(diff),
                  [(k[-2:], got.get(k), exp.get(k)) for k in diff[:3]]))
        else:
            print('  got  %.300s\n  want %.300s' % (got, exp))
print('%d passed, %d failed' % (passed, failed))
sys.exit(1 if failed or not passed else 0)
