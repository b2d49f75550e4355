#!/usr/bin/env bash
# Measures the appliance on this machine and prints one figure a line, name=value, then every bar of the
# design with PASS or FAIL. perf/README.md says what each one is. Needs root (namespace, veth, hugepages).
#
# usage: perf/run.sh [--quick | --full] [STEP...]
#   --quick  within 40 s; --full: longer rounds, and the steps that only it has
#   STEP     only these of: push get answer stall quiet-conns idle attacks crowd log cut link
# Exit code: 0 every bar that was measured holds, 1 not, 2 it could not be measured.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "perf: a DPDK port and a network namespace need root" >&2; exit 77; }
[ "$(nproc)" -ge 2 ] || { echo "perf: needs two CPUs" >&2; exit 77; }
mode=normal
case ${1:-} in
--quick | --full) mode=${1#--} && shift ;;
-*) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
[ -f build/build.ninja ] || meson setup build >/dev/null
ninja -C build app/pyrowire perf/pyroload perf/bench_wire perf/crowd perf/machine perf/link_peer >build/perf-build.log 2>&1 ||
    { tail -n 30 build/perf-build.log; exit 2; }

# shellcheck source=app/testbed.sh
. app/testbed.sh
ulimit -n "$(ulimit -Hn)"
tb_start perf
tb_link
# The poller has the last CPU; the generator, the kernel's work for it and everything else the first.
tb_rps 0
sysctl -qw net.core.somaxconn=8192 || true
tb_hugepages 1024
export TB_NS TB_IF TB_HOST TB_PEER_IF
python3 perf/run.py "$mode" "$@"
