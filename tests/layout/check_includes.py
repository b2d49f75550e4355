#!/usr/bin/env python3
"""Check the include graph of the tree against the table in ARCHITECTURE.md ("Allowed includes").

A line `room -> a, b/{x,y}.h` allows files of `room` to include anything of room a, and only the
headers x.h and y.h of room b. `everything` allows all. The room itself is always allowed.
Exit 1 and a line per wrong include; exit 2 when the table cannot be read (a check that finds
nothing to check has failed).
"""
import os, re, sys

root = sys.argv[1] if len(sys.argv) > 1 else '.'
ROOMS = ['base', 'pprof', 'nic-config', 'ring', 'dataplane', 'store', 'ingester', 'distributor',
         'query', 'app', 'perf', 'tests']


def expand(item):
    m = re.match(r'^(.*)\{(.*)\}(.*)$', item)
    return [m[1] + x.strip() + m[3] for x in m[2].split(',')] if m else [item]


def read_table():
    allowed = {}
    for line in open(os.path.join(root, 'ARCHITECTURE.md'), encoding='utf-8'):
        m = re.match(r'^\s{4,}([a-z-]+(?:, [a-z]+)*)\s+->\s+(.*)$', line)
        if not m or not all(r in ROOMS for r in m[1].split(', ')):
            continue
        items = [x.strip() for x in re.split(r',(?![^{]*\})', m[2].split('(')[0])]
        for room in m[1].split(', '):
            allowed[room] = [y for x in items if x for y in expand(x)]
    return allowed


def may(room, header, allowed):
    target = header.split('/')[0]
    if target == room or 'everything' in allowed[room]:
        return True
    return any(header == a or a == target for a in allowed[room])


allowed = read_table()
missing = [r for r in ROOMS if r not in allowed]
if missing:
    print('ARCHITECTURE.md has no row for: ' + ', '.join(missing))
    sys.exit(2)
bad = files = 0
for room in ROOMS:
    for folder, dirs, names in os.walk(os.path.join(root, room)):
        dirs[:] = [d for d in dirs if d not in ('node_modules', 'build')]
        for name in names:
            if not name.endswith(('.c', '.h', '.cc')):
                continue
            files += 1
            path = os.path.join(folder, name)
            for n, line in enumerate(open(path, encoding='utf-8'), 1):
                m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                if m and m[1].split('/')[0] in ROOMS and not may(room, m[1], allowed):
                    bad += 1
                    print(f'{path}:{n}: {room}/ may not include {m[1]}')
print(f'{files} files, {bad} wrong includes')
sys.exit(1 if bad or files == 0 else 0)
