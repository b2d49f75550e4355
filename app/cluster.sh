#!/usr/bin/env bash
# Three appliances that are one cluster, on this machine: a network namespace each, joined by veth links and a
# bridge, every profile written to all three and acknowledged by two. Pushes real profiles at one of them, asks
# all three, shows the ring, and goes on pushing until Ctrl-C.
#
# usage: app/cluster.sh [--once]        --once: end after the first answers; exit 0 when they were right
#        while it runs: kill -9 one of the three (the pids are printed), and look at the page of another
set -euo pipefail
cd "$(dirname "$0")/.."
once=${1:-}
[ -z "$once" ] || [ "$once" = --once ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "cluster: network namespaces and DPDK ports need root" >&2; exit 1; }
net=10.214.0
bridge=pwclubr

echo "1/4 packages and build"
bash nic-config/host-prepare.sh packages
[ -f build/build.ninja ] || meson setup build >/dev/null
ninja -C build app/pyrowire >build/cluster-build.log 2>&1 || { tail -n 30 build/cluster-build.log; exit 1; }

# shellcheck source=app/testbed.sh
. app/testbed.sh
tb_start clu
dir=$(mktemp -d /tmp/pyrowire-cluster.XXXXXX)
tb_defer rm -rf "$dir"
(umask 077 && head -c 32 /dev/urandom >"$dir/secret")

clear_net() {
    local i
    for i in 1 2 3; do
        ip netns del "pw-clu$i" 2>/dev/null || true
        ip link del "pwclu${i}h" 2>/dev/null || true
    done
    ip link del $bridge 2>/dev/null || true
}

# A namespace with one cable to the bridge; $1 its number.
add_node() {
    local ns=pw-clu$1 cable=pwclu${1}h nic=pwclu$1
    ip netns add "$ns"
    ip link add "$cable" numrxqueues 1 numtxqueues 1 type veth peer name "$nic" numrxqueues 1 numtxqueues 1 netns "$ns"
    ip -n "$ns" link set lo up
    ip -n "$ns" addr add "$net.$1/24" dev "$nic"
    ip -n "$ns" link set "$nic" up
    tb_plain_frames "$cable"
    ip netns exec "$ns" bash -c "$(declare -f tb_plain_frames); tb_plain_frames $nic"
    ip link set "$cable" master $bridge up
}

start_node() {
    tb_background ip netns exec "pw-clu$1" build/app/pyrowire -nic.netdev="pwclu$1" -nic.hugepages=off \
        -dataplane.rx-buffer-bytes=16MiB -dataplane.connections-max=1024 \
        -pyroscopedb.data-path="$dir/n$1" -ingester.head.max-bytes=256MiB -ingester.head.prefault-bytes=0 \
        -ingester.wal.segment-bytes=8MiB -query.threads=1 \
        -distributor.replication-factor=3 -link.secret-file="$dir/secret" -link.silence=2s \
        -ingester.lifecycler.ID="n$1" -distributor.ring.instance-id="n$1" -ingester.lifecycler.addr="$net.$1" \
        -memberlist.bind-addr="$net.$1" -memberlist.advertise-addr="$net.$1" \
        -memberlist.join="$net.1:7946" -memberlist.join="$net.2:7946" -memberlist.join="$net.3:7946" \
        -ingester.min-ready-duration=0s \
        -distributor.ingestion-rate-limit-mb=1024 -distributor.ingestion-burst-size-mb=1024 2>"$dir/n$1.log"
    pid[$1]=$TB_PID
}

# Ready, and both others answer its link.
wait_node() {
    local i
    for i in {1..300}; do
        kill -0 "${pid[$1]}" 2>/dev/null || { echo "appliance $1 did not start:"; tail -n 20 "$dir/n$1.log"; exit 1; }
        curl -fsS -m 2 "http://$net.$1:4040/ready" >/dev/null 2>&1 &&
            curl -fsS -m 2 "http://$net.$1:4040/metrics" 2>/dev/null | grep -q '^pyrowire_replica_peers_up 2$' && return
        sleep 0.2
    done
    echo "appliance $1 does not see the others:"
    tail -n 20 "$dir/n$1.log"
    exit 1
}

echo "2/4 three namespaces on a bridge ($bridge, $net.254), an appliance on a DPDK port in each"
clear_net
tb_defer clear_net
ip link add $bridge type bridge
ip addr add $net.254/24 dev $bridge
ip link set $bridge up
pid=()
for i in 1 2 3; do
    add_node $i
    start_node $i
done
for i in 1 2 3; do
    wait_node $i
    echo "   n$i  http://$net.$i:4040  pid ${pid[$i]}"
done

echo "3/4 pushing the profiles of perf/corpus to n1, asking all three"
push() {
    python3 tests/e2e/quick_push.py "$net.$1:4040" perf/corpus --ask $net.1:4040 --ask $net.2:4040 --ask $net.3:4040 "${@:2}"
}
if push 1; then right=0; else right=1; fi

echo "4/4 the ring as n2 sees it (the page: http://$net.2:4040/ring)"
curl -fsS -m 5 -H 'Accept: application/json' "http://$net.2:4040/ring" | python3 -c '
import json, sys
for s in json.load(sys.stdin)["shards"]:
    print("   %-4s %-10s %-18s tokens %s" % (s["id"], s["state"], s["address"], len(s["tokens"])))' || right=1
[ "$once" != --once ] || exit $right

echo "running until Ctrl-C; logs: $dir"
n=0
while sleep 5; do
    n=$((n % 3 + 1))
    push $n --quiet || echo "a round of pushes through n$n was not answered right"
done
