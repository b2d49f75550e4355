# shellcheck shell=bash
# app/testbed.sh - a link to play on: a veth pair into a network namespace of its own, and hugepages;
# everything is undone when the script that sources this ends, however it ends.
#
#   set -euo pipefail
#   . app/testbed.sh
#   tb_start NAME                   first; NAME is at most 8 letters and digits, unique per caller
#   tb_link [HOST_CIDR [PEER_CIDR [MTU]]]   veth pair; HOST_CIDR "none" gives the host end no address, so
#                                   that the appliance can have one of its own (see TB_HOST_CIDR below)
#                                   TB_IP6=1 adds fd00:213::1/64 and fd00:213::2/64 (with "none" only the peer
#                                   has one); without it IPv6 is off on both ends
#   tb_hugepages MIB                so many MiB of free hugepages
#   tb_rps CPU                      the namespace's receive work runs on this CPU
#   tb_exec COMMAND ...             runs in the namespace
#   tb_defer COMMAND ...            runs at the end, last one first
#   tb_background COMMAND ...       starts it, remembers its pid in TB_PID, stops it at the end
# sets TB_IF (host end: give it to -nic.netdev), TB_PEER_IF, TB_NS, TB_HOST (address), TB_PEER; with TB_IP6
# also TB_HOST6, TB_PEER6
#
# The caller must not set traps on EXIT, INT and TERM itself; tb_defer serves instead.

tb_undo=()

tb_defer() {
    local q
    printf -v q '%q ' "$@"
    tb_undo+=("$q")
}

tb_end() {
    local rc=$? i
    trap '' INT TERM
    trap - EXIT
    for ((i = ${#tb_undo[@]} - 1; i >= 0; i--)); do
        eval "${tb_undo[i]}" >/dev/null 2>&1 || true
    done
    tb_undo=()
    exit "$rc"
}

tb_die() {
    echo "testbed: $*" >&2
    exit 1
}

tb_start() {
    local name=$1
    [[ $name =~ ^[a-z0-9]{1,8}$ ]] || tb_die "'$name' is not a testbed name (1 to 8 of a-z 0-9)"
    [ "$(id -u)" -eq 0 ] || tb_die "network namespaces and a NIC port need root"
    TB_NAME=$name TB_NS=pw-$name TB_IF=pw${name}0 TB_PEER_IF=pw${name}1
    trap tb_end EXIT
    # Without these a signal would end the script before its EXIT trap knows the reason.
    trap 'exit 130' INT
    trap 'exit 143' TERM
    tb_clear # what an earlier run left that was killed with -9
}

tb_clear() {
    local pid
    if [ -e "/run/netns/$TB_NS" ]; then
        for pid in $(ip netns pids "$TB_NS" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
        ip netns del "$TB_NS" || true
    fi
    # The kernel removes a veth's other end some time after its namespace.
    ip link del "$TB_IF" 2>/dev/null || true
}

# The kernel's ends of the link compute checksums and cut segments themselves: over veth a frame that
# left that to hardware would reach an AF_XDP socket unfinished, or larger than one buffer.
tb_plain_frames() {
    ethtool -K "$1" tx off rx off tso off gso off gro off >/dev/null 2>&1 || true
}

tb_link() {
    local host=${1:-10.213.0.1/24} peer=${2:-10.213.0.2/24} mtu=${3:-1500}
    tb_defer tb_clear
    ip netns add "$TB_NS"
    # One queue: DPDK 22.11 sees one on veth, and frames of others would stay with the kernel.
    ip link add "$TB_IF" numrxqueues 1 numtxqueues 1 mtu "$mtu" type veth \
        peer name "$TB_PEER_IF" numrxqueues 1 numtxqueues 1 mtu "$mtu" netns "$TB_NS"
    # No router and address chatter on a link that carries measured traffic.
    if [ -z "${TB_IP6:-}" ]; then
        sysctl -qw "net.ipv6.conf.$TB_IF.disable_ipv6=1" 2>/dev/null || true
        ip netns exec "$TB_NS" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 2>/dev/null || true
    else
        sysctl -qw "net.ipv6.conf.$TB_IF.disable_ipv6=0" "net.ipv6.conf.$TB_IF.accept_ra=0" || true
        ip netns exec "$TB_NS" sysctl -qw "net.ipv6.conf.$TB_PEER_IF.disable_ipv6=0" \
            "net.ipv6.conf.$TB_PEER_IF.accept_ra=0" || true
    fi
    tb_plain_frames "$TB_IF"
    ip netns exec "$TB_NS" bash -c "$(declare -f tb_plain_frames); tb_plain_frames $TB_PEER_IF"
    TB_PEER=${peer%/*} TB_HOST=${host%/*}
    if [ "$host" = none ]; then
        TB_HOST=
    else
        ip addr add "$host" dev "$TB_IF"
    fi
    ip link set "$TB_IF" up
    ip -n "$TB_NS" addr add "$peer" dev "$TB_PEER_IF"
    ip -n "$TB_NS" link set lo up
    ip -n "$TB_NS" link set "$TB_PEER_IF" up
    [ -z "${TB_IP6:-}" ] || tb_link6 "$host"
    tb_wait_carrier
}

# nodad: an address that is still being checked for duplicates cannot be used for a second.
tb_link6() {
    TB_HOST6=fd00:213::1 TB_PEER6=fd00:213::2
    ip -n "$TB_NS" addr add $TB_PEER6/64 dev "$TB_PEER_IF" nodad || tb_die "no IPv6 on this machine"
    if [ "$1" = none ]; then
        TB_HOST6=
    else
        ip addr add $TB_HOST6/64 dev "$TB_IF" nodad || tb_die "no IPv6 on this machine"
    fi
}

tb_wait_carrier() {
    local i
    for i in {1..50}; do
        [ "$(cat "/sys/class/net/$TB_IF/carrier" 2>/dev/null)" = 1 ] && return
        sleep 0.02
    done
    tb_die "$TB_IF has no carrier"
}

tb_hugepages() {
    local prepare
    prepare=$(dirname "${BASH_SOURCE[0]}")/../nic-config/host-prepare.sh
    prepare=$(readlink -f "$prepare")
    tb_defer env PW_OWNER="tb-$TB_NAME" bash "$prepare" undo
    PW_OWNER="tb-$TB_NAME" bash "$prepare" hugepages "$1"
}

tb_rps() {
    local mask
    printf -v mask '%x' $((1 << $1))
    # Inside the namespace, because /sys shows the devices of the namespace that mounted it.
    ip netns exec "$TB_NS" bash -c "echo $mask >/sys/class/net/$TB_PEER_IF/queues/rx-0/rps_cpus"
}

tb_exec() {
    ip netns exec "$TB_NS" "$@"
}

# TERM, and KILL for who does not leave within $2 tenths of a second.
tb_stop() {
    local pid=$1 tenths=${2:-100} i
    kill "$pid" 2>/dev/null || return 0
    for ((i = 0; i < tenths; i++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
}

tb_background() {
    "$@" &
    TB_PID=$!
    tb_defer tb_stop "$TB_PID"
}
