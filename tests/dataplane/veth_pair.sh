# Two network namespaces joined by a veth pair, for who sources this: `ns` (the prefix of both names), `work` (a directory), skip,
# veth_pair, stop_server (ends $server), dpdk. Everything is deleted when the shell ends.
ns=pwt$$
work=$(mktemp -d)
server=

skip() {
    echo "skip: $1"
    exit 77
}
[ "$(id -u)" = 0 ] || skip "needs root for network namespaces"
command -v ip >/dev/null || skip "needs iproute2"
command -v ethtool >/dev/null || skip "needs ethtool"

stop_server() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null
        wait "$server" 2>/dev/null
        server=
    fi
}
clean() {
    stop_server
    ip netns del "$ns-a" 2>/dev/null
    ip netns del "$ns-b" 2>/dev/null
    rm -rf "$work"
}
trap clean EXIT

# veth_pair NAME_A NAME_B: up at both ends, and frames as a wire would carry them: full checksums, no super-segments.
veth_pair() {
    ip netns add "$ns-a" && ip netns add "$ns-b" || skip "no network namespaces here"
    ip -n "$ns-a" link add "$1" type veth peer name "$2" netns "$ns-b" || skip "no veth here"
    ip -n "$ns-a" link set "$1" up
    ip -n "$ns-b" link set "$2" up
    ip netns exec "$ns-a" ethtool -K "$1" tx off tso off gso off gro off >/dev/null
    ip netns exec "$ns-b" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
}

# dpdk NAMESPACE_LETTER INTERFACE PROGRAM ARGUMENTS: over af_packet, in place of the shell that calls it, so call it with & or in
# one of its own. setpriv: should that one's parent be killed, it must not stay behind.
dpdk() {
    local n=$1 interface=$2 program=$3
    shift 3
    exec ip netns exec "$ns-$n" setpriv --pdeathsig TERM "$program" --no-huge -m 128 --no-pci --no-telemetry --no-shconf \
        --lcores '(0)@(0-'$(($(nproc) - 1))')' --file-prefix "$ns$n" \
        --vdev "net_af_packet0,iface=$interface,blocksz=4096,framesz=2048,framecnt=2048" --log-level lib.eal:error -- "$@"
}
