#!/usr/bin/env bash
# The main job on this machine: builds, makes a veth pair into a network namespace of its own, starts
# pyrowire on a DPDK port (AF_XDP) on that veth, pushes real profiles at it from the namespace, prints
# the answer of a query and the address of the page, and runs until Ctrl-C.
#
# usage: app/quickstart.sh [--once]     --once: end after the first answer; exit 0 when it was right
# PW_PORT=4040                          the port of the loopback page (and of the NIC)
set -euo pipefail
cd "$(dirname "$0")/.."
once=${1:-}
port=${PW_PORT:-4040}
[ -z "$once" ] || [ "$once" = --once ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "quickstart: a DPDK port and a network namespace need root" >&2; exit 1; }

echo "1/5 packages and build"
bash nic-config/host-prepare.sh packages
[ -f build/build.ninja ] || meson setup build >/dev/null
ninja -C build app/pyrowire >build/quickstart-build.log 2>&1 || { tail -n 30 build/quickstart-build.log; exit 1; }

# shellcheck source=app/testbed.sh
. app/testbed.sh
tb_start quick
log=$(mktemp /tmp/pyrowire-quickstart.XXXXXX.log)
tb_defer rm -f "$log"
data=$(mktemp -d /tmp/pyrowire-quickstart.XXXXXX)
tb_defer rm -rf "$data"

echo "2/5 a veth pair into network namespace $TB_NS, hugepages"
tb_link
tb_hugepages 512

echo "3/5 pyrowire on a DPDK port on $TB_IF ($TB_HOST:$port)"
tb_background build/app/pyrowire -pyroscopedb.data-path="$data" -nic.netdev="$TB_IF" -server.http-listen-port="$port" \
    -distributor.ingestion-rate-limit-mb=1024 -distributor.ingestion-burst-size-mb=1024 2>"$log"
for i in {1..150}; do
    kill -0 "$TB_PID" 2>/dev/null || { echo "pyrowire did not start:"; cat "$log"; exit 1; }
    tb_exec curl -fsS -m 1 "http://$TB_HOST:$port/ready" >/dev/null 2>&1 && break
    [ "$i" -lt 150 ] || { echo "pyrowire does not answer on $TB_HOST:$port:"; cat "$log"; exit 1; }
    sleep 0.2
done

echo "4/5 pushing the profiles of perf/corpus from the namespace"
if tb_exec python3 tests/e2e/quick_push.py "$TB_HOST:$port" perf/corpus; then
    right=0
else
    right=1
fi

echo "5/5 open http://127.0.0.1:$port/ (the same appliance through its loopback door)"
if [ "$once" = --once ]; then
    exit $right
fi
echo "running until Ctrl-C; log: $log"
while kill -0 "$TB_PID" 2>/dev/null; do
    tb_exec python3 tests/e2e/quick_push.py "$TB_HOST:$port" perf/corpus --quiet || true
    sleep 10
done
echo "pyrowire ended:"
cat "$log"
exit 1
