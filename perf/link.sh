#!/bin/bash
# perf/link.sh [ROUNDS] - what a peer link costs over veth, one core an end, against the wire itself: the round trip of a raw
# frame, and what testpmd moves with the frame size of a full packet. One name=value a line, the medians of the rounds
# (3), then the bars. Root, two CPUs, hugepages, dpdk-testpmd and a quiet machine.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../app/testbed.sh"
peer=${LINK_PEER:-$here/../build/perf/link_peer}
rounds=${1:-3}
work=$(mktemp -d)
export LINK_SECRET="a secret of more than sixteen bytes"

tb_start linkperf
tb_defer rm -rf "$work"
tb_hugepages 600
# Both ends in namespaces of their own, without an address of the kernel: ARP is ours.
near_ns=$TB_NS-near
for n in "$TB_NS" "$near_ns"; do
    ip netns add "$n"
    tb_defer ip netns del "$n"
done
ip -n "$near_ns" link add "$TB_IF" numrxqueues 1 numtxqueues 1 type veth \
    peer name "$TB_PEER_IF" numrxqueues 1 numtxqueues 1 netns "$TB_NS"
for end in "$near_ns $TB_IF" "$TB_NS $TB_PEER_IF"; do
    read -r n i <<<"$end"
    ip -n "$n" link set "$i" up
    ip netns exec "$n" sysctl -qw "net.ipv6.conf.$i.disable_ipv6=1" || true
    ip netns exec "$n" ethtool -K "$i" tx off tso off gso off gro off >/dev/null
done

eal() { # CPU INTERFACE
    echo "-m 128 --in-memory --single-file-segments --iova-mode=va --no-pci --no-telemetry --log-level lib.eal:error" \
        "--vdev net_af_xdp0,iface=$2,start_queue=0,queue_count=1,busy_budget=0"
}

near() { # ARGUMENTS: the end that measures
    # shellcheck disable=SC2046 # words
    timeout 40 ip netns exec "$near_ns" "$peer" $(eal 0 "$TB_IF") --lcores 0@0 --file-prefix lpa -- 10.213.0.1/24 "$@" 2>"$work/near.err"
}

far_start() { # serve or echo
    # shellcheck disable=SC2046
    ip netns exec "$TB_NS" "$peer" $(eal 1 "$TB_PEER_IF") --lcores 0@1 --file-prefix lpb -- 10.213.0.2/24 "$1" >"$work/far" 2>"$work/far.err" &
    far=$!
    tb_defer tb_stop "$far"
    for _ in $(seq 100); do
        grep -q '^ready' "$work/far" && return
        sleep 0.1
    done
    tb_die "the far end does not start: $(cat "$work/far.err")"
}

far_stop() {
    kill "$far"
    wait "$far" || true
}

value() { # NAME FILE
    sed -n "s/^$1=//p" "$2"
}

testpmd() { # NAMESPACE CPU INTERFACE SECONDS MODE...
    local ns=$1 cpu=$2 dev=$3 s=$4
    shift 4
    # shellcheck disable=SC2046
    timeout -s INT "$s" ip netns exec "$ns" dpdk-testpmd $(eal "$cpu" "$dev") --lcores "0@0,1@$cpu" --main-lcore 0 --file-prefix "lp$cpu" \
        -- --port-topology=loop --total-num-mbufs=16384 --no-flush-rx --stats-period 1 "$@"
}

round() {
    far_start echo
    near ping 20000 1110 >"$work/raw"
    far_stop
    far_start serve
    near call 10.213.0.2 20000 1024 1 >"$work/ack"
    far_stop
    cp "$work/far" "$work/ack.far"
    far_start serve
    near call 10.213.0.2 20000 65536 16 >"$work/bulk"
    far_stop
    testpmd "$TB_NS" 1 "$TB_PEER_IF" 7 --forward-mode=rxonly >"$work/rx" 2>&1 &
    local rx=$!
    sleep 1.5
    testpmd "$near_ns" 0 "$TB_IF" 5 --forward-mode=txonly --txpkts=1514 >"$work/tx" 2>&1 || true
    wait "$rx" || true
    {
        echo "raw_p50_us=$(value p50_us "$work/raw")"
        echo "raw_p99_us=$(value p99_us "$work/raw")"
        echo "ack_p50_us=$(value p50_us "$work/ack")"
        echo "ack_p99_us=$(value p99_us "$work/ack")"
        echo "ack_cycles_sender=$(value busy_cycles_per_call "$work/ack")"
        echo "ack_cycles_receiver=$(value busy_cycles_per_call "$work/ack.far")"
        echo "link_frames_per_s=$(awk -F= '/^calls_per_s/{c=$2} /^calls=/{n=$2} /^fragments_out/{f=$2} END{printf "%.0f", c*f/n}' "$work/bulk")"
        echo "link_mb_per_s=$(value mb_per_s "$work/bulk")"
        echo "testpmd_frames_per_s=$(grep -oE 'Rx-pps: +[0-9]+' "$work/rx" | awk '$2 > m {m = $2} END {print m + 0}')"
    } | tee -a "$work/all"
}

for _ in $(seq "$rounds"); do
    round
done
python3 - "$work/all" <<'PY'
import statistics, sys
seen = {}
for line in open(sys.argv[1]):
    name, v = line.strip().split("=")
    seen.setdefault(name, []).append(float(v))
m = {name: statistics.median(v) for name, v in seen.items()}
for name, v in m.items():
    print(f"median_{name}={v:g}")
bars = [("ack_p50_ratio", m["ack_p50_us"] / m["raw_p50_us"], 4, False),
        ("ack_p99_ratio", m["ack_p99_us"] / m["raw_p99_us"], 10, False),
        ("throughput_ratio", m["link_frames_per_s"] / max(m["testpmd_frames_per_s"], 1), 0.8, True)]
for name, v, bar, least in bars:
    ok = v >= bar if least else v <= bar
    print(f"{name}={v:.2f} bar={'>=' if least else '<='}{bar} {'PASS' if ok else 'FAIL'}")
PY
