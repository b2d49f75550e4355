#!/bin/bash
# Two processes with a peer link over a veth pair, each in a namespace of its own, both deleted at the end: encrypted and
# not, clean and with 1 and 5 percent of the frames lost at both ends, then with two secrets that differ.
# usage: link_veth.sh LINK_PEER_BINARY
set -u
peer=$1
here=$(cd "$(dirname "$0")" && pwd)
source "$here/veth_pair.sh"
veth_pair v0 v0

# end NAMESPACE ARGUMENTS: one end; the kernel there has no address, so ARP is ours too
end() {
    local n=$1
    shift
    dpdk "$n" v0 "$peer" "$@"
}

# run NAME CALLS BYTES OUTSTANDING DROP_PER_10000 SECRET_A SECRET_B; "" is no secret
run() {
    local name=$1 rc
    env ${7:+LINK_SECRET="$7"} LINK_DROP="$5" bash -c "$(declare -f dpdk end); ns=$ns peer=$peer; end b 10.78.0.2/24 serve" \
        >"$work/serve" 2>"$work/serve.err" &
    server=$!
    for _ in $(seq 100); do
        grep -q '^ready' "$work/serve" && break
        sleep 0.1
    done
    (
        [ -n "$6" ] && export LINK_SECRET=$6
        export LINK_DROP=$5
        timeout 100 bash -c "$(declare -f dpdk end); ns=$ns peer=$peer; end a 10.78.0.1/24 call 10.78.0.2 $2 $3 $4"
    ) >"$work/call" 2>"$work/call.err"
    rc=$?
    stop_server
    echo "$name: rc=$rc $(grep -E '^(calls|failed|lost|timeouts|auth)=' "$work/call" | tr '\n' ' ')server: $(grep -E '^(served|bad|fragments_dup|auth)=' "$work/serve" | tr '\n' ' ')"
    return $rc
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
