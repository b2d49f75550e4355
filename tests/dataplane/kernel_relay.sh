#!/bin/bash
# Issue 4's check 2: our TCP and the Linux kernel's through a relay that drops, doubles, delays and corrupts frames
# by a seeded rule, in both directions: 1,000 exchanges over both families, each kind of harm at 0, 1 and 5 percent.
# Then throughput at 1 percent of loss, ours against that of two Linux stacks through the same relay with the same
# seeds, in turn. All Linux ends use CUBIC there, what a stock kernel uses and we do; what the machine's own default
# gives is printed. A stack in a process waits for its turn among others, one in the kernel does not, so on a machine
# in use the median of the ratios must only not collapse; PW_RELAY_BAR=0.5 is the bar where nothing else runs.
# Network namespaces of its own, deleted at the end.
# usage: kernel_relay.sh TCP_ECHO_BINARY RELAY_BINARY
set -u
echo_bin=$1
relay_bin=$2
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/dataplane/veth_pair.sh
. "$here/veth_pair.sh"
relay=

stop() {
    for pid in $server $relay; do
        kill "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    server=
    relay=
    ip -n "$ns-d" addr del 10.78.0.1/24 dev d0 2>/dev/null
}
clean() { # what veth_pair.sh calls at the end
    stop
    for n in k r d; do
        ip netns del "$ns-$n" 2>/dev/null
    done
    rm -rf "$work"
}

ip netns add "$ns-k" && ip netns add "$ns-r" && ip netns add "$ns-d" || skip "no network namespaces here"
# Client k0 - r0, relay, r1 - d0 server.
ip -n "$ns-k" link add k0 type veth peer name r0 netns "$ns-r" || skip "no veth here"
ip -n "$ns-d" link add d0 type veth peer name r1 netns "$ns-r" || skip "no veth here"
ip -n "$ns-k" addr add 10.78.0.2/24 dev k0
families="4 6"
ip -n "$ns-k" addr add fd00:78::2/64 dev k0 nodad 2>/dev/null || {
    families=4
    echo "no IPv6 on this machine: half of the exchanges are not made"
}
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
address() { # FAMILY
    [ "$1" = 6 ] && echo fd00:78::1 || echo 10.78.0.1
}
start_ours() { # FAMILY
    ip netns exec "$ns-d" setpriv --pdeathsig TERM "$echo_bin" \
        --no-huge -m 128 --no-pci --no-telemetry --no-shconf --lcores '(0)@(0-'$(($(nproc) - 1))')' \
        --file-prefix "$ns" --vdev net_af_packet0,iface=d0,blocksz=4096,framesz=2048,framecnt=2048 \
        --log-level lib.eal:error -- "$(address "$1")/24" 4040 >"$work/server.out" 2>"$work/server.err" &
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
    timeout 120 ip netns exec "$ns-k" python3 "$here/kernel_relay.py" "$@"
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

# hostile FAMILY PERCENT EXCHANGES: every kind of harm at PERCENT, all at once
hostile() {
    local rate=$(($2 * 100)) said
    start_relay 7 $rate $rate $rate $rate
    start_ours "$1"
    said=$(client wide "$(address "$1")" 4040 "$3" 42) || { echo "$said"; failed "IPv$1 at $2 percent"; }
    stop
    echo "IPv$1, $2 percent: $said, $(grep '^relayed' "$work/relay.out"), $(counters)"
}
for family in $families; do
    hostile "$family" 0 100
    hostile "$family" 1 250
    hostile "$family" 5 150
done

# throughput SEED...: ours and two Linux stacks in turn, 1 percent of loss and nothing else
throughput() {
    local said who
    for seed; do
        for who in ours linux; do
            start_relay "$seed" 100 0 0 0
            start_$who 4
            said=$(client bulk 10.78.0.1 4040 40) || { echo "$said" >&2; failed "throughput, $who" >&2; }
            stop
            echo "$who $said"
        done
    done
}
judge() { # NAME BAR, lines of throughput on stdin
    python3 -c '
import statistics, sys
name, bar = sys.argv[1], float(sys.argv[2])
mbps = {"ours": [], "linux": []}
for line in sys.stdin:
    who, *words = line.split()
    mbps[who].append({k: float(v) for k, v in (w.split("=") for w in words)})
held = len(mbps["ours"]) == len(mbps["linux"]) > 0
if not held:
    sys.exit("runs are missing")
for way, key in (("pushed to us", "up_MBps"), ("answered by us", "down_MBps")):
    ours, theirs = ([run[key] for run in mbps[who]] for who in ("ours", "linux"))
    ratios = [a / b for a, b in zip(ours, theirs)]
    median = statistics.median(ratios)
    held = held and median >= bar
    print("1 percent loss, Linux with %s, %s: median ratio %.2f of %s; MB/s ours %s, two Linux stacks %s" % (
        name, way, median, " ".join("%.2f" % r for r in ratios), " ".join("%.0f" % r for r in ours),
        " ".join("%.0f" % r for r in theirs)))
if bar:
    print("bar of %.1f: %s" % (bar, "held" if held else "missed"))
sys.exit(not held)' "$@"
}
default=$(cat /proc/sys/net/ipv4/tcp_congestion_control)
if [ "$default" != cubic ]; then
    throughput 11 12 13 >"$work/default" || exit 1
    judge "$default" 0 <"$work/default" || exit 1
fi
grep -qw cubic /proc/sys/net/ipv4/tcp_available_congestion_control || { echo "no CUBIC here: nothing judged"; exit 0; }
export CC=cubic
throughput 11 12 13 14 15 16 17 >"$work/cubic" || exit 1
judge cubic "${PW_RELAY_BAR:-0.05}" <"$work/cubic"
