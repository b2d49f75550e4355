#!/bin/bash
# Two processes with a peer link over a veth pair, each in a namespace of its own, both deleted at the end: encrypted and
# not, clean and with 1 and 5 percent of the frames lost at both ends, then with two secrets that differ.
# usage: link_veth.sh LINK_PEER_BINARY
set -u
peer=$1
ns=pwlink$$
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

ip netns add "$ns-a" && ip netns add "$ns-b" || skip "no network namespaces here"
ip -n "$ns-a" link add v0 type veth peer name v0 netns "$ns-b" || skip "no veth here"
for n in a b; do
    ip -n "$ns-$n" link set v0 up
    ip netns exec "$ns-$n" ethtool -K v0 tx off tso off gso off gro off >/dev/null
done

# end NAMESPACE ARGUMENTS: one end; the kernel there has no address, so ARP is ours too
end() {
    local n=$1
    shift
    ip netns exec "$ns-$n" setpriv --pdeathsig TERM "$peer" --no-huge -m 128 --no-pci --no-telemetry --no-shconf \
        --lcores '(0)@(0-'$(($(nproc) - 1))')' --file-prefix "$ns$n" \
        --vdev net_af_packet0,iface=v0,blocksz=4096,framesz=2048,framecnt=2048 --log-level lib.eal:error -- "$@"
}

# run NAME CALLS BYTES OUTSTANDING DROP_PER_10000 SECRET_A SECRET_B; "" is no secret
run() {
    local name=$1 rc
    env ${7:+LINK_SECRET="$7"} LINK_DROP="$5" bash -c "$(declare -f end); ns=$ns peer=$peer; end b 10.78.0.2/24 serve" \
        >"$work/serve" 2>"$work/serve.err" &
    server=$!
    for _ in $(seq 100); do
        grep -q '^ready' "$work/serve" && break
        sleep 0.1
    done
    (
        [ -n "$6" ] && export LINK_SECRET=$6
        export LINK_DROP=$5
        timeout 100 bash -c "$(declare -f end); ns=$ns peer=$peer; end a 10.78.0.1/24 call 10.78.0.2 $2 $3 $4"
    ) >"$work/call" 2>"$work/call.err"
    rc=$?
    pkill_server
    echo "$name: rc=$rc $(grep -E '^(calls|failed|lost|timeouts|auth)=' "$work/call" | tr '\n' ' ')server: $(grep -E '^(served|bad|fragments_dup|auth)=' "$work/serve" | tr '\n' ' ')"
    return $rc
}

# The signal goes to link_peer itself, which is a child of the shell behind $server.
pkill_server() {
    local pid
    for pid in $(ip netns pids "$ns-b"); do
        kill "$pid" 2>/dev/null
    done
    wait "$server" 2>/dev/null
    server=
}

fail() {
    echo "$1"
    cat "$work/call" "$work/call.err" "$work/serve" "$work/serve.err"
    exit 1
}

expect() { # NAME CALLS ...
    run "$@" || fail "$1: not every request was answered"
    grep -qx "served=$2" "$work/serve" || fail "$1: not every request was served once"
    grep -qx "bad=0" "$work/serve" || fail "$1: requests were wrong or came twice"
}

key="a secret of more than sixteen bytes"
expect insecure 2000 1024 8 0 "" ""
expect sealed 2000 1024 8 0 "$key" "$key"
expect large 200 300000 4 0 "$key" "$key"
expect lossy 1000 8000 8 100 "$key" "$key"
expect lossier 500 20000 8 500 "$key" "$key"
run other-secret 1 1024 1 0 "$key" "$key, but another" && fail "other-secret: served all the same"
grep -qx "served=0" "$work/serve" || fail "other-secret: something was served"
grep -q "^auth=[1-9]" "$work/serve" || fail "other-secret: nothing was counted"
exit 0
