#!/usr/bin/env python3
"""Asks the query API for what a client reported, and compares. Standard library only.

usage: check.py HOST:PORT REPORT.json

Right means: the service and its profile types are known; the frames of the workload are in the flame
graph, hot and cold in their proportion; the CPU time lies within TOLERANCE of what the client measured
itself; SelectSeries adds up to exactly the flame graph's total, and splits it by the client's label.
"""
import json
import sys
import time
import urllib.error
import urllib.request

TOLERANCE = 0.35
VISIBLE_S = 10  # how long a push may take to be seen
CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"

EXPECT = {
    # sampled: by "cpu" the profiler counts CPU time; by "runnable" it counts wall time during which a
    # thread could run, which on a busy machine lies anywhere between CPU and wall time.
    "go": {"sampled": "cpu", "cpu_type": CPU, "section": True,
           "more_types": ["memory:alloc_space:bytes:space:bytes"]},
    "python": {"sampled": "runnable", "cpu_type": CPU, "section": True, "more_types": []},
    "node": {"sampled": "cpu", "cpu_type": None, "section": True, "more_types": []},
}


class Wrong(Exception):
    pass


def call(addr, method, body):
    req = urllib.request.Request(
        f"http://{addr}/querier.v1.QuerierService/{method}", json.dumps(body).encode(),
        {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(req, timeout=10) as rep:
            return json.load(rep)
    except urllib.error.HTTPError as e:
        raise Wrong(f"{method}: status {e.code}: {e.read(500).decode(errors='replace')}") from None


def frames(flamegraph):
    """(total, {frame name: ticks below and in its topmost occurrences}) of the levels of a flame graph
    (contract read-path.md 3.1: offset delta, total, self, name)."""
    names = flamegraph.get("names", [])
    levels = [[int(v) for v in level.get("values", [])] for level in flamegraph.get("levels", [])]
    totals = {}
    spans = []  # [start, end, set of names above], of the level above
    for depth, level in enumerate(levels):
        here, at = [], 0
        for i in range(0, len(level), 4):
            start = at + level[i]
            end = start + level[i + 1]
            at = end
            name = names[level[i + 3]]
            above = frozenset()
            if depth:
                parents = [s for s in spans if s[0] <= start and end <= s[1]]
                if len(parents) != 1 and end > start:
                    raise Wrong(f"level {depth}: [{start}, {end}) has {len(parents)} parents")
                above = parents[0][2] if parents else above
            if name not in above:
                totals[name] = totals.get(name, 0) + end - start
            here.append((start, end, above | {name}))
        spans = here
    return int(flamegraph.get("total", 0)), totals


def of(totals, word):
    """Sum over the frames that hold the word: SDKs put files or packages around function names."""
    return sum(v for k, v in totals.items() if word in k)


def near(what, value, low, high):
    low, high = low * (1 - TOLERANCE), high * (1 + TOLERANCE)
    if not low <= value <= high:
        raise Wrong(f"{what} is {value:.3f} s, not within {low:.3f} to {high:.3f} s")
    print(f"ok  {what}: {value:.3f} s within {low:.3f} to {high:.3f} s")


def wait_for_types(addr, report, span, expect):
    """The profile types of the service, once its CPU type is there."""
    until = time.time() + VISIBLE_S
    selector = '{service_name="%s"}' % report["service"]
    while True:
        names = call(addr, "LabelValues",
                     {"name": "__profile_type__", "matchers": [selector], **span}).get("names", [])
        cpu = [n for n in names if n == expect["cpu_type"] or
               (expect["cpu_type"] is None and ":cpu:nanoseconds:" in n)]
        if cpu:
            return names, cpu[0]
        if time.time() > until:
            raise Wrong(f"no CPU profile type of {selector} after {VISIBLE_S} s, only {names}")
        time.sleep(0.2)


def check_types(addr, report, span, names, expect):
    all_types = {t["ID"] for t in call(addr, "ProfileTypes", span).get("profileTypes", [])}
    missing = [n for n in set(names) | set(expect["more_types"]) if n not in all_types]
    if missing:
        raise Wrong(f"ProfileTypes does not list {missing}")
    lacking = [n for n in expect["more_types"] if n not in names]
    if lacking:
        raise Wrong(f"the service lacks {lacking}, has {names}")
    services = call(addr, "LabelValues", {"name": "service_name", **span}).get("names", [])
    if report["service"] not in services:
        raise Wrong(f"LabelValues does not list the service: {services}")
    print(f"ok  profile types: {', '.join(sorted(names))}")


def check_series(addr, query, span, total):
    """One step over everything, and one point a second, must both add up to the flame graph."""
    for step in (1, (span["end"] - span["start"]) // 1000):
        series = call(addr, "SelectSeries", {**query, **span, "step": step}).get("series", [])
        points = [p for s in series for p in s.get("points", [])]
        value = sum(float(p.get("value", 0)) for p in points)
        if value != total:
            raise Wrong(f"SelectSeries with step {step} adds up to {value}, the flame graph to {total}")
    print(f"ok  SelectSeries adds up to {total}")


def check_sections(addr, query, span, total):
    """The label that the client put around its work splits the series in two."""
    series = call(addr, "SelectSeries", {**query, **span, "step": (span["end"] - span["start"]) // 1000,
                                         "groupBy": ["section"]}).get("series", [])
    parts = {}
    for s in series:
        label = {p["name"]: p["value"] for p in s.get("labels", [])}.get("section", "")
        parts[label] = sum(float(p.get("value", 0)) for p in s.get("points", []))
    if sum(parts.values()) != total or not parts.get("hot", 0) > parts.get("cold", 0) > 0:
        raise Wrong(f"SelectSeries by section gives {parts}, of {total}")
    print(f"ok  by label section: { {k: round(v / 1e9, 3) for k, v in parts.items()} }")


def check_cpu(report, total, totals, expect):
    hot, cold = of(totals, "sdk_hot_work") / 1e9, of(totals, "sdk_cold_work") / 1e9
    upper = "cpu" if expect["sampled"] == "cpu" else "wall"
    near("hot work", hot, report["hot_cpu_s"], max(report[f"hot_{upper}_s"], report["hot_cpu_s"]))
    near("cold work", cold, report["cold_cpu_s"], max(report[f"cold_{upper}_s"], report["cold_cpu_s"]))
    if hot + cold > total / 1e9 + 1e-6:  # seconds as floats: equal sums may differ in the last bit
        raise Wrong(f"hot and cold work are {hot + cold} s of {total / 1e9} s in all")
    want = report["hot_cpu_s"] / report["cold_cpu_s"]
    if not want / 2 < hot / cold < want * 2:
        raise Wrong(f"hot to cold is {hot / cold:.2f}, the client did {want:.2f}")
    print(f"ok  hot to cold: {hot / cold:.2f}, the client did {want:.2f}")


def check(addr, report):
    expect = EXPECT[report["sdk"]]
    # Whole seconds, so that the grid of SelectSeries ends at the end; profiles are stamped in between.
    span = {"start": (report["start_ms"] // 1000 - 5) * 1000, "end": (report["end_ms"] // 1000 + 6) * 1000}
    names, cpu_type = wait_for_types(addr, report, span, expect)
    check_types(addr, report, span, names, expect)
    query = {"profileTypeID": cpu_type, "labelSelector": '{service_name="%s"}' % report["service"]}
    flamegraph = call(addr, "SelectMergeStacktraces", {**query, **span}).get("flamegraph", {})
    total, totals = frames(flamegraph)
    check_cpu(report, total, totals, expect)
    check_series(addr, query, span, total)
    if expect["section"]:
        check_sections(addr, query, span, total)


def main():
    addr, path = sys.argv[1:]
    with open(path) as f:
        report = json.loads(f.read().strip().splitlines()[-1])
    try:
        check(addr, report)
    except Wrong as e:
        print(f"WRONG  {e}")
        print(f"       the client reported {json.dumps(report)}")
        return 1
    print(f"ok  {report['sdk']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
