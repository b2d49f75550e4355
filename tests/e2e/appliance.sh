#!/usr/bin/env bash
# Starts the appliance and runs one kind of check against it, from a network namespace over veth and
# the DPDK port, or over loopback.
#
# usage: [IP=6] appliance.sh replay | write-cases | read-cases | loopback | sdk go|python|node | allocations |
#                     attacks | overload | blocks | own-address | run COMMAND...
#        (run: COMMAND gets the address as $ADDR)
#        (own-address: the appliance's own, which the kernel does not have, over both families)
# IP=6   what goes over the DPDK port goes over IPv6
set -euo pipefail
cd "$(dirname "$0")/../.."
what=$1
shift
golden=tests/golden
port=4040
[ "$(id -u)" -eq 0 ] || { echo "needs root for namespaces and AF_XDP"; exit 77; }

# shellcheck source=app/testbed.sh
. app/testbed.sh
ip=${IP:-4}
name=e2e
[ "$ip" != 6 ] || name=e6e TB_IP6=1
tb_start "$name$(printf '%s' "$what" | tr -dc 'a-z' | head -c 4)"
log=$PWD/build/test-output/appliance-$what-ip$ip.log
mkdir -p build/test-output
data=$(mktemp -d /tmp/pyrowire-e2e.XXXXXX)
tb_defer rm -rf "$data"

# wait_ready PREFIX... ADDR: asks /ready until it says yes.
wait_ready() {
    local i
    for i in {1..150}; do
        kill -0 "$APP_PID" 2>/dev/null || { echo "pyrowire ended:"; cat "$log"; exit 1; }
        "$@" -fsS -m 1 -o /dev/null "http://$ADDR/ready" 2>/dev/null && return
        sleep 0.1
    done
    echo "no answer from $ADDR:"
    cat "$log"
    exit 1
}

app_env=()
start_on_veth() {
    tb_link
    tb_hugepages 512
    start_pyrowire "$@"
}

# After the link is there.
start_pyrowire() {
    # A parallel test may hold the loopback port: the listener takes another one there is no need of.
    tb_background env "${app_env[@]}" build/app/pyrowire -pyroscopedb.data-path="$data" -nic.netdev="$TB_IF" -server.http-listen-address=127.0.0.9 \
        -server.http-listen-port=$port -distributor.ingestion-rate-limit-mb=1024 \
        -distributor.ingestion-burst-size-mb=1024 "$@" 2>"$log"
    APP_PID=$TB_PID
    ADDR=$TB_HOST:$port
    [ "$ip" != 6 ] || ADDR="[$TB_HOST6]:$port"
    wait_ready tb_exec curl
}

start_on_loopback() {
    tb_background build/app/pyrowire -pyroscopedb.data-path="$data" -server.http-listen-address=127.0.0.8 -server.http-listen-port=$port \
        -distributor.ingestion-rate-limit-mb=1024 -distributor.ingestion-burst-size-mb=1024 "$@" 2>"$log"
    APP_PID=$TB_PID
    ADDR=127.0.0.8:$port
    wait_ready curl
}

# Ends the appliance and expects a clean end.
stop_clean() {
    local rc=0
    kill "$APP_PID"
    wait "$APP_PID" || rc=$?
    [ $rc -eq 0 ] || { echo "pyrowire ended with $rc"; tail -n 20 "$log"; exit 1; }
    if ip -d link show "$TB_IF" 2>/dev/null | grep -q xdp; then
        echo "an XDP program is still attached to $TB_IF"
        exit 1
    fi
}

case $what in
replay)
    start_on_veth -validation.reject-older-than=0 -querier.max-query-lookback=0 \
        -ingester.max-global-series-per-tenant=0 -querier.max-query-length=0
    tb_exec python3 tests/e2e/replay.py "$ADDR" $golden/pushes "$@"
    stop_clean
    ;;
write-cases)
    start_on_veth
    tb_exec python3 tests/e2e/write_cases.py "$ADDR" $golden/write-cases.json default | tee "$log.1"
    stop_clean
    tb_clear
    start_on_veth -auth.multitenancy-enabled=true -runtime-config.file=tests/e2e/multitenant.yaml
    tb_exec python3 tests/e2e/write_cases.py "$ADDR" $golden/write-cases.json multitenant | tee "$log.2"
    stop_clean
    python3 - "$log.1" "$log.2" <<'P'
import re, sys
n = [0, 0, 0]
for f in sys.argv[1:]:
    m = re.findall(r'^(\d+) passed, (\d+) failed, (\d+) skipped$', open(f).read(), re.M)[-1]
    n = [a + int(b) for a, b in zip(n, m)]
print('%d passed, %d failed, %d skipped' % tuple(n))
P
    ;;
read-cases)
    start_on_veth
    tb_exec python3 tests/e2e/read_cases.py "$ADDR" $golden/pushes-read $golden/read-cases | tee "$log.1" || true
    stop_clean
    tb_clear
    start_on_veth -auth.multitenancy-enabled=true
    tb_exec python3 tests/e2e/read_cases.py "$ADDR" $golden/pushes-read $golden/read-cases --mt | tee "$log.2" || true
    stop_clean
    python3 tests/e2e/read_cases_sum.py "$log.1" "$log.2"
    ;;
loopback)
    start_on_loopback -validation.reject-older-than=0 -querier.max-query-lookback=0 \
        -ingester.max-global-series-per-tenant=0 -querier.max-query-length=0
    python3 tests/e2e/replay.py "$ADDR" $golden/pushes --modes whole,pipelined
    stop_clean
    ;;
sdk)
    bash tests/e2e/sdk/install.sh "$1" || { echo "the $1 SDK could not be installed"; exit 77; }
    start_on_veth
    tb_exec bash tests/e2e/sdk/run.sh "$1" "$ADDR"
    stop_clean
    ;;
allocations)
    counts=$(mktemp)
    tb_defer rm -f "$counts"
    app_env=("LD_PRELOAD=$PWD/build/tests/support/liballoc_count.so" "PW_ALLOC_COUNT_FILE=$counts")
    start_on_veth -validation.reject-older-than=0 -querier.max-query-lookback=0 \
        -ingester.max-global-series-per-tenant=0 -querier.max-query-length=0
    tb_exec python3 tests/e2e/allocations.py "$ADDR" "$APP_PID" "$counts"
    stop_clean
    ;;
attacks)
    ulimit -n "$(ulimit -Hn)"
    start_on_veth -ingester.max-global-series-per-tenant=0
    ip -n "$TB_NS" addr add 10.213.0.9/24 dev "$TB_PEER_IF"
    tb_exec python3 tests/e2e/attacks.py "$ADDR" "$TB_PEER_IF" 10.213.0.9
    stop_clean
    ;;
blocks)
    open_range=(-validation.reject-older-than=0 -querier.max-query-lookback=0 -querier.max-query-length=0
        -ingester.max-global-series-per-tenant=0)
    sum=$(mktemp)
    tb_defer rm -f "$sum"
    echo "a block of the real Pyroscope"
    mkdir -p "$data/anonymous/local"
    cp -r $golden/blocks/v1/* "$data/anonymous/local/"
    start_on_loopback "${open_range[@]}"
    python3 tests/e2e/golden_blocks.py "$ADDR" $golden/blocks/responses-v1.json.gz | tee -a "$sum"
    stop_clean
    rm -rf "${data:?}"/*
    echo "heads become blocks at SIGTERM, and are served after it"
    start_on_loopback "${open_range[@]}"
    python3 tests/e2e/replay.py "$ADDR" $golden/pushes --modes whole | tail -n 1 | tee -a "$sum"
    stop_clean
    [ "$(find "$data/anonymous/local" -name meta.json | wc -l)" -gt 0 ] || { echo "no block was written"; exit 1; }
    start_on_loopback "${open_range[@]}"
    python3 tests/e2e/replay.py "$ADDR" $golden/pushes --modes whole --no-push | tail -n 1 | tee -a "$sum"
    stop_clean
    rm -rf "${data:?}"/*
    echo "blocks in between, then SIGKILL"
    start_on_loopback "${open_range[@]}"
    python3 tests/e2e/replay.py "$ADDR" $golden/pushes --modes whole --flush 100 | tail -n 1 | tee -a "$sum"
    kill -9 "$APP_PID"
    wait "$APP_PID" || true
    start_on_loopback "${open_range[@]}"
    python3 tests/e2e/replay.py "$ADDR" $golden/pushes --modes whole --no-push | tail -n 1 | tee -a "$sum"
    stop_clean
    rm -rf "${data:?}"/*
    echo "pushes, cuts and queries at once"
    start_on_loopback -ingester.head.max-bytes=16777216
    python3 tests/e2e/flush_load.py "$ADDR" 6
    stop_clean
    awk '/^[0-9]+ passed, / { p += $1; f += $3; k += $5 } END { printf "%d passed, %d failed, %d skipped\n", p + 1, f, k; exit f > 0 }' "$sum"
    ;;
overload)
    # No block can be written for this tenant: its head stays in memory and fills up.
    touch "$data/anonymous"
    start_on_veth -ingester.max-global-series-per-tenant=0 -ingester.head.max-bytes=16777216
    # Beside the head (16 MiB): the log's buffer (16 MiB), scratch of the desks, and what the storage thread takes for
    # a block that it cannot write. 80 MiB in all were seen, and 0.4 more when the same load came again.
    tb_exec python3 tests/e2e/overload.py "$ADDR" head 96 | tee "$log.1" || true
    stop_clean
    rm -rf "${data:?}"/*
    tb_clear
    start_on_veth -ingester.max-global-series-per-tenant=0 -dataplane.rx-buffer-bytes=1048576
    tb_exec python3 tests/e2e/overload.py "$ADDR" buffers 32 | tee "$log.2" || true
    stop_clean
    rm -rf "${data:?}"/*
    tb_clear
    touch "$data/greedy" "$data/modest"
    start_on_veth -ingester.max-global-series-per-tenant=0 -ingester.head.max-bytes=16777216 -auth.multitenancy-enabled=true
    tb_exec python3 tests/e2e/overload.py "$ADDR" tenants 96 | tee "$log.3" || true
    stop_clean
    awk '/^[0-9]+ passed, / { p += $1; f += $3; n++ }
        END { f += n < 3; printf "%d passed, %d failed, 0 skipped\n", p, f; exit f > 0 }' "$log.1" "$log.2" "$log.3"
    ;;
own-address)
    TB_IP6=1 tb_link none
    tb_hugepages 512
    TB_HOST=10.213.0.1
    ip=4
    start_pyrowire -nic.own-address -nic.address=10.213.0.1/24 -nic.address6=fd00:213::1/64
    # The kernel on the other side asks for our MAC by ARP and by neighbour discovery.
    tb_exec ping -c 2 -i 0.2 -W 2 -q 10.213.0.1
    tb_exec ping -c 2 -i 0.2 -W 2 -q fd00:213::1
    tb_exec curl -fsS -m 5 -g "http://[fd00:213::1]:$port/ready"
    tb_exec ip -6 neigh show fd00:213::1
    stop_clean
    ;;
run)
    start_on_veth
    export ADDR
    tb_exec "$@"
    stop_clean
    ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
