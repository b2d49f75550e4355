#!/bin/bash
# Our TCP and the Linux kernel's through a relay that drops, doubles, delays and corrupts frames by a seeded
# rule, in both directions; then throughput at 1 percent of loss, ours against that of two Linux stacks
# through the same relay. Network namespaces of its own, deleted at the end.
# usage: kernel_relay.sh TCP_ECHO_BINARY RELAY_BINARY
set -u
echo_bin=$1
relay_bin=$2
here=$(cd "$(dirname "$0")" && pwd)
ns=pwrel$$
work=$(mktemp -d)
server=
relay=

skip() {
    echo "skip: $1"
    exit 77
}
[ "$(id -u)" = 0 ] || skip "needs root for network namespaces"
command -v ip >/dev/null || skip "needs iproute2"
command -v ethtool >/dev/null || skip "needs ethtool"

stop() {
    for pid in $server $relay; do
        kill "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    server=
    relay=
}
clean() {
    stop
    for n in k r d; do
        ip netns del "$ns-$n" 2>/dev/null
    done
    rm -rf "$work"
}
trap clean EXIT

ip netns add "$ns-k" && ip netns add "$ns-r" && ip netns add "$ns-d" || skip "no network namespaces here"
# Client k0 - r0, relay, r1 - d0 server.
ip -n "$ns-k" link add k0 type veth peer name r0 netns "$ns-r" || skip "no veth here"
ip -n "$ns-d" link add d0 type veth peer name r1 netns "$ns-r" || skip "no veth here"
ip -n "$ns-k" addr add 10.78.0.2/24 dev k0
for end in k:k0 r:r0 r:r1 d:d0; do
    ip -n "$ns-${end%:*}" link set "${end#*:}" up
    ip netns exec "$ns-${end%:*}" ethtool -K "${end#*:}" tx off tso off gso off gro off >/dev/null
done

wait_ready() {
    for _ in $(seq 50); do
        grep -q '^ready' "$1" 2>/dev/null && return
        sleep 0.1
    done
    echo "did not start: $1"
    cat "${1%.out}.err"
    exit 1
}
start_relay() { # SEED DROP DUPLICATE REORDER CORRUPT
    ip netns exec "$ns-r" setpriv --pdeathsig TERM "$relay_bin" r0 r1 "$@" >"$work/relay.out" 2>"$work/relay.err" &
    relay=$!
    wait_ready "$work/relay.out"
}
start_ours() {
    ip -n "$ns-d" addr flush dev d0
    ip netns exec "$ns-d" setpriv --pdeathsig TERM "$echo_bin" \
        --no-huge -m 128 --no-pci --no-telemetry --no-shconf --lcores '(0)@(0-'$(($(nproc) - 1))')' \
        --file-prefix "$ns" --vdev net_af_packet0,iface=d0,blocksz=4096,framesz=2048,framecnt=2048 \
        --log-level lib.eal:error -- 10.78.0.1/24 4040 >"$work/server.out" 2>"$work/server.err" &
    server=$!
    wait_ready "$work/server.out"
}
start_linux() {
    ip -n "$ns-d" addr add 10.78.0.1/24 dev d0
    ip netns exec "$ns-d" setpriv --pdeathsig TERM python3 "$here/kernel_relay.py" serve 10.78.0.1 4040 \
        >"$work/server.out" 2>"$work/server.err" &
    server=$!
    wait_ready "$work/server.out"
}
client() {
    timeout 60 ip netns exec "$ns-k" python3 "$here/kernel_relay.py" "$@"
}
failed() {
    echo "$1: failed"
    stop
    cat "$work"/relay.out "$work"/*.err
    grep -E '^pyrowire_worker' "$work/server.out" | grep -v ' 0$'
    exit 1
}

counters() {
    grep -E '^pyrowire_worker_(tcp_retransmits|tcp_rto|tcp_fast_retransmits|tcp_ooo_in|tcp_dsack_in)_total|tcp_checksum' \
        "$work/server.out" | sed 's/pyrowire_worker_//;s/_total{worker="0"}//;s/drops{.*reason="//;s/drops_total{.*reason="//;s/"}//' | tr '\n' ' '
}

# hostile NAME RATE EXCHANGES: every kind of harm at RATE per 10,000, corruption at half of it
hostile() {
    start_relay 7 "$2" "$2" "$2" $(($2 / 2))
    start_ours
    client wide 10.78.0.1 4040 "$3" 42 || failed "$1"
    stop
    echo "$1: ok, $(grep '^relayed' "$work/relay.out"), $(counters)"
}
hostile clean 0 60
hostile "1 percent" 100 60
hostile "5 percent" 500 20

# 1 percent of loss and nothing else
start_relay 11 100 0 0 0
start_ours
ours=$(client bulk 10.78.0.1 4040 40) || failed throughput
stop
ours_counted=$(counters)
start_relay 11 100 0 0 0
start_linux
theirs=$(client bulk 10.78.0.1 4040 40) || failed "throughput of two Linux stacks"
stop
echo "1 percent loss, Linux to us: $ours, $ours_counted"
echo "1 percent loss, Linux to Linux: $theirs"
# The bar of issue 4 is half in both directions; what fails here is a collapse, as both numbers move a lot
# with what else the machine does.
python3 - "$ours" "$theirs" <<'EOF'
import sys
ours, theirs = ({k: float(v) for k, v in (w.split("=") for w in a.split())} for a in sys.argv[1:])
ratio = {k: ours[k] / theirs[k] for k in ours}
print("ratio " + " ".join("%s=%.2f" % (k[:-5], v) for k, v in ratio.items()))
print("bar of 0.5: " + ("held" if min(ratio.values()) >= 0.5 else "missed"))
sys.exit(0 if min(ratio.values()) >= 0.05 else 1)
EOF
