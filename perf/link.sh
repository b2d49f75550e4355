#!/bin/bash
# perf/link.sh [ROUNDS] - what a peer link costs over veth, one core an end, against the wire itself: the round trip of a raw
# frame, and what testpmd moves with the frame size of a full packet; and the CPU of a profile of the mix as a replica,
# in each form that could cross, against unpacking it. One name=value a line, the medians of the rounds (3), then the
# ratios, which perf/bars.py has bars for. Root, two CPUs, hugepages, dpdk-testpmd and a quiet machine.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../app/testbed.sh"
peer=${LINK_PEER:-$here/../build/perf/link_peer}
rounds=${1:-3}
work=$(mktemp -d)
export PW_SOURCE_ROOT=$here/..
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

far_start() { # serve, echo or store FORM
    # shellcheck disable=SC2046
    ip netns exec "$TB_NS" "$peer" $(eal 1 "$TB_PEER_IF") --lcores 0@1 --file-prefix lpb -- 10.213.0.2/24 "$@" >"$work/far" 2>"$work/far.err" &
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

replicate() { # FORM
    far_start store "$1"
    near mix 10.213.0.2 8000 "$1" 16 >"$work/mix"
    far_stop
    echo "$1_bytes=$(value bytes_per_call "$work/mix")"
    cat "$work/mix" "$work/far" | awk -F= -v form="$1" '
        /^tsc_mhz=/ {mhz = $2} /^unpack_us=/ {u = $2}
        /^busy_cycles_per_call=/ {busy[n++] = $2} /^driver_cycles_per_call=/ {driver[m++] = $2}
        END {
            printf "%s_sender_us=%.2f\n%s_receiver_us=%.2f\n", form, busy[0] / mhz, form, busy[1] / mhz
            printf "%s_driver_us=%.2f\n%s_unpack_us=%.2f\n", form, (driver[0] + driver[1]) / mhz, form, u
            printf "%s_ratio=%.4f\n%s_sender_ratio=%.4f\n", form, (busy[0] + busy[1]) / mhz / u, form, busy[0] / mhz / u
        }'
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
        for form in record lz4 gzip; do
            replicate "$form"
        done
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
print("link_p50_ratio=%.3f" % (m["ack_p50_us"] / m["raw_p50_us"]))
print("link_p99_ratio=%.3f" % (m["ack_p99_us"] / m["raw_p99_us"]))
print("link_throughput_ratio=%.3f" % (m["link_frames_per_s"] / max(m["testpmd_frames_per_s"], 1)))
print("replicate_ratio=%.3f" % m["record_ratio"])
print("replicate_sender_ratio=%.3f" % m["record_sender_ratio"])
PY
