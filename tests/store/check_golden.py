#!/usr/bin/env python3
"""Our reader against a block that stock v1 wrote and the answers stock gave from it.

usage: check_golden.py BLOCK_DUMP BLOCK_DIRECTORY RESPONSES_JSON
Label names and values, series, points over time and flame graphs (by resolved stacks: the order of
children and the numbering of names are not contractual) are made from what block_dump prints and have to
equal the recorded answers. Ends with one line saying how many were compared; exit 1 on a difference.
"""
import collections
import json
import re
import subprocess
import sys

dump, block, responses = sys.argv[1:4]
series, rows, stacks = {}, [], []
for line in subprocess.run([dump, block], stdout=subprocess.PIPE, check=True).stdout.splitlines():
    d = json.loads(line)
    if 'series' in d:
        series[d['series']] = dict(d['labels'])
    elif 'row' in d:
        rows.append(d)
    elif 'stack' in d:
        stacks.append(d)


def matching(profile_type, selector):
    want = re.findall(r'(\w+)="([^"]*)"', selector)
    return {i for i, labels in series.items()
            if labels['__profile_type__'] == profile_type and all(labels.get(n) == v for n, v in want)}


def label_names(_):
    return {n for labels in series.values() for n in labels}


def points(profile_type, selector):
    """service_name -> time in ms -> sum; a point stands for the step that ends with it."""
    out = collections.defaultdict(collections.Counter)
    wanted = matching(profile_type, selector)
    for r in rows:
        if r['row'] in wanted:
            ms = r['time'] // 1000000
            out[series[r['row']]['service_name']][-(-ms // 15000) * 15000] += r['total']
    return {k: dict(v) for k, v in out.items()}


def recorded_points(answer):
    return {s['labels'][0]['value']: {int(p['timestamp']): p['value'] for p in s['points']}
            for s in answer.get('series', [])}


def flames(profile_type, selector):
    """path of names -> [total, self]"""
    out = collections.defaultdict(lambda: [0, 0])
    wanted = matching(profile_type, selector)
    for s in stacks:
        if s['of'] in wanted:
            path = ('total',) + tuple(s['stack'])
            for n in range(1, len(path) + 1):
                out[path[:n]][0] += s['sum']
            out[path][1] += s['sum'] if len(path) > 1 else 0
    return dict(out) or {('total',): [0, 0]}


def recorded_flames(answer):
    """Levels of (offset from the end of the bar before, total, self, name)."""
    graph, out, above = answer['flamegraph'], {}, [(0, 1 << 62, ())]
    for level in graph['levels']:
        values, x, here = [int(v) for v in level['values']], 0, []
        for i in range(0, len(values), 4):
            x += values[i]
            parent = next(p for at, width, p in above if at <= x < at + max(width, 1))
            path = parent + (graph['names'][values[i + 3]],)
            assert path not in out, path
            out[path] = [values[i + 1], values[i + 2]]
            here.append((x, values[i + 1], path))
            x += values[i + 1]
        above = here
    return out


compared, bad = collections.Counter(), 0
for query, answer in json.load(open(responses)).items():
    kind, _, rest = query.partition(' ')
    if kind == 'LabelNames':
        ours, theirs = label_names(rest), set(answer['names'])
    elif kind == 'LabelValues':
        ours, theirs = {s[rest] for s in series.values() if rest in s}, set(answer['names'])
    elif query == 'Series':
        ours = {tuple(sorted(s.items())) for s in series.values()}
        theirs = {tuple(sorted((x['name'], x['value']) for x in s['labels'])) for s in answer['labelsSet']}
    elif kind == 'SelectSeries':
        ours, theirs = points(*rest.split(' ')[:2]), recorded_points(answer)
    elif kind == 'SelectMergeStacktraces':
        ours, theirs = flames(*rest.split(' ')[:2]), recorded_flames(answer)
    else:
        continue
    compared[kind] += 1
    if ours != theirs:
        bad += 1
        print('differs: ' + query)
        if isinstance(ours, dict):
            for k in list(dict.fromkeys(list(ours) + list(theirs))):
                if ours.get(k) != theirs.get(k):
                    print(f'  {k}: ours {ours.get(k)}, stock {theirs.get(k)}')
        else:
            print(f'  only ours {sorted(ours - theirs)[:5]}, only stock {sorted(theirs - ours)[:5]}')
print(f'{sum(compared.values())} answers compared ({dict(compared)}), {len(rows)} rows, {bad} differ')
sys.exit(1 if bad or sum(compared.values()) < 10 else 0)
