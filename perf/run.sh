#!/usr/bin/env bash
# Measures the appliance on this machine and prints one figure a line, name=value. perf/README.md says
# what each one is. Needs root (namespace, veth, hugepages).
#
# usage: perf/run.sh [--quick] [--stall]     --quick: within 60 s; --stall: 100,000 pushes more, and as many GETs
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "perf: a DPDK port and a network namespace need root" >&2; exit 77; }
[ "$(nproc)" -ge 2 ] || { echo "perf: needs two CPUs" >&2; exit 77; }
seconds=10 stall=
for arg; do
    case $arg in
    --quick) seconds=4 ;;
    --stall) stall=1 ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
[ -f build/build.ninja ] || meson setup build >/dev/null
ninja -C build app/pyrowire perf/pyroload perf/bench_wire >build/perf-build.log 2>&1 ||
    { tail -n 30 build/perf-build.log; exit 1; }

# shellcheck source=app/testbed.sh
. app/testbed.sh
ulimit -n "$(ulimit -Hn)"
tb_start perf
tb_link
tb_hugepages 768
# The poller has the last CPU; the generator, the kernel's work for it and everything else the first.
tb_rps 0
sysctl -qw net.core.somaxconn=8192 || true
log=$(mktemp /tmp/pyrowire-perf.XXXXXX.log)
tb_defer rm -f "$log"
python3 perf/run.py unpack
tb_background build/app/pyrowire -nic.netdev="$TB_IF" -server.http-listen-address=127.0.0.10 \
    -dataplane.idle=spin -dataplane.connections-max=16384 -dataplane.connections-per-address=0 -ingester.head.max-bytes=8GiB \
    -ingester.max-global-series-per-tenant=0 -distributor.ingestion-rate-limit-mb=1000000 \
    -distributor.ingestion-burst-size-mb=1000000 -log.level=warn 2>"$log"
tb_exec env PW_PID="$TB_PID" PW_SECONDS="$seconds" PW_STALL="$stall" taskset -c 0 \
    python3 perf/run.py load "$TB_HOST:4040" || { cat "$log"; exit 1; }
