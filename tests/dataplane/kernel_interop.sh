#!/bin/bash
# Our TCP against the Linux kernel's over a veth pair, first clean, then with 1 percent of the frames
# dropped in each direction; over IPv4, then over IPv6, whose neighbours the kernel finds by asking us. Two network namespaces of its own, both deleted at the end.
# usage: kernel_interop.sh TCP_ECHO_BINARY
set -u
echo_bin=$1
here=$(cd "$(dirname "$0")" && pwd)
no_ip6=
source "$here/veth_pair.sh"
veth_pair k0 d0 # the kernel's end in $ns-a, ours in $ns-b
ip -n "$ns-a" addr add 10.77.0.2/24 dev k0
ip -n "$ns-a" addr add fd00:77::2/64 dev k0 nodad 2>/dev/null || no_ip6=1
ip -n "$ns-a" link set lo up

# run ADDRESS/PREFIX NAME EXCHANGES CONNECTIONS SLOWEST_S DROP_PER_10000
run() {
    local own=$1 address=${1%/*}
    shift
    dpdk b d0 "$echo_bin" "$own" 4040 "$5" 7 >"$work/$1.out" 2>"$work/$1.err" &
    server=$!
    for _ in $(seq 50); do
        grep -q '^ready' "$work/$1.out" && break
        sleep 0.1
    done
    if [ "$5" = 0 ] && ! ip netns exec "$ns-a" ping -c 3 -i 0.2 -W 2 -s 1000 "$address" >"$work/ping"; then
        echo "no answer to ping"
        cat "$work/ping" "$work/$1.err"
        exit 1
    fi
    timeout 100 ip netns exec "$ns-a" python3 "$here/kernel_interop.py" "$address" 4040 "$2" "$3" "$4" 42
    local rc=$?
    stop_server
    if [ $rc != 0 ] || ! grep -q '^dropped by rule' "$work/$1.out"; then
        echo "$1: failed (client $rc)"
        grep -E '^(dropped|pyrowire_worker)' "$work/$1.out" | grep -v ' 0$'
        cat "$work/$1.err"
        exit 1
    fi
    echo "$1: ok, $(grep '^dropped by rule' "$work/$1.out"), $(grep -E '^pyrowire_worker_(tcp_retransmits|tcp_rto|tcp_fast_retransmits|tcp_ooo_in|rx_frames|tx_frames)_total' "$work/$1.out" | sed 's/pyrowire_worker_//;s/_total{worker="0"}//' | tr '\n' ' ')"
    if grep -E 'reason="(tcp_checksum|ip4_checksum|ip6_short|ip6_extension|ip6_fragment|icmp6_bad|nd_bad|tcp_option|tx_full|tx_no_buffer)"' "$work/$1.out" | grep -qv ' 0$'; then
        echo "$1: frames were refused that should not have been:"
        grep drops_total "$work/$1.out" | grep -v ' 0$'
        exit 1
    fi
}

run 10.77.0.1/24 clean 1000 8 1.5 0
run 10.77.0.1/24 lossy 200 4 30 100
[ -z "$no_ip6" ] || { echo "no IPv6 on this machine: not tried"; exit 0; }
run fd00:77::1/64 clean-ip6 1000 8 1.5 0
run fd00:77::1/64 lossy-ip6 200 4 30 100
