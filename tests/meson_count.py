#!/usr/bin/env python3
"""Counts of a meson testlog.json: `passed failed skipped`, then a line per skipped or failed test."""
import json, sys

passed = failed = skipped = 0
lines = []
for line in open(sys.argv[1], encoding='utf-8'):
    t = json.loads(line)
    if t['result'] in ('OK', 'EXPECTEDFAIL'):
        passed += 1
    elif t['result'] == 'SKIP':
        skipped += 1
        text = (t.get('stdout') or '') + (t.get('stderr') or '')
        last = [x for x in text.splitlines() if x.strip()]
        lines.append('skip  %s: %s' % (t['name'], last[-1] if last else 'no reason given'))
    else:
        failed += 1
        lines.append('FAIL  %s: %s' % (t['name'], t['result']))
print(passed, failed, skipped)
print('\n'.join(lines))
