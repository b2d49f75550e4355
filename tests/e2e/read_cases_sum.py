#!/usr/bin/env python3
"""Count the output of read_cases.py runs: cases out of scope become skipped, with the reason.

usage: read_cases_sum.py LOG...   Exit 1 when a case in scope failed or nothing passed.
"""
import collections, re, sys

OUT_OF_SCOPE = [  # (pattern of the case id, reason)
]

passed = failed = skipped = 0
why = collections.Counter()
for path in sys.argv[1:]:
    text = open(path, encoding='utf-8', errors='replace').read()
    for verdict, case in re.findall(r'^(ok|ok \(alternate\)|FAIL) (\d+-\S+)', text, re.M):
        if verdict != 'FAIL':
            passed += 1
            continue
        reason = next((r for p, r in OUT_OF_SCOPE if re.search(p, case)), None)
        if reason:
            skipped += 1
            why[reason] += 1
        else:
            failed += 1
            print('FAIL ' + case)
for reason, n in sorted(why.items()):
    print('skipped %d cases: %s' % (n, reason))
print('%d passed, %d failed, %d skipped' % (passed, failed, skipped))
sys.exit(1 if failed or not passed else 0)
