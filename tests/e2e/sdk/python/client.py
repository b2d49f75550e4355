"""The Python SDK's client of the end-to-end test: a known workload, a few uploads, a clean stop.

usage: client.py ADDR SERVICE; prints one JSON line that check.py reads.
"""
import json
import sys
import time

import pyroscope

UPLOAD_S = 2  # whole seconds are what the SDK takes
UPLOADS = 3
HOT_S = 0.06  # of CPU, then COLD_S: 3 to 1
COLD_S = 0.02


def spin(n):
    x = 1
    for _ in range(n):
        x = (x * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
    return x


def sdk_hot_work(budget):
    until = time.process_time() + budget
    while time.process_time() < until:
        spin(20000)


def sdk_cold_work(budget):
    until = time.process_time() + budget
    while time.process_time() < until:
        spin(20000)


def timed(report, name, work, budget):
    cpu, wall = time.process_time(), time.perf_counter()
    work(budget)
    report[name + "_cpu_s"] += time.process_time() - cpu
    report[name + "_wall_s"] += time.perf_counter() - wall


def main():
    addr, service = sys.argv[1:]
    report = {"sdk": "python", "service": service, "start_ms": int(time.time() * 1000),
              "hot_cpu_s": 0.0, "hot_wall_s": 0.0, "cold_cpu_s": 0.0, "cold_wall_s": 0.0}
    pyroscope.configure(
        application_name=service,
        server_address="http://" + addr,
        sample_rate=100,
        upload_interval=UPLOAD_S,
        tags={"region": "e2e"},
    )
    end = time.time() + UPLOADS * UPLOAD_S
    while time.time() < end:
        with pyroscope.tag_wrapper({"section": "hot"}):
            timed(report, "hot", sdk_hot_work, HOT_S)
        with pyroscope.tag_wrapper({"section": "cold"}):
            timed(report, "cold", sdk_cold_work, COLD_S)
    report["process_cpu_s"] = time.process_time()
    # shutdown() reports only whole intervals: one more of idleness carries the last work out.
    time.sleep(UPLOAD_S + 1)
    stopped = pyroscope.shutdown()
    report["end_ms"] = int(time.time() * 1000)
    print(json.dumps(report), flush=True)
    return 0 if stopped else 1


if __name__ == "__main__":
    sys.exit(main())
