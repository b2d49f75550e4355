#!/usr/bin/env bash
# nic-config on a real interface: a veth pair into a namespace, one end an AF_XDP port.
# usage: test_veth.sh PROBE      (build/tests/nic-config/nic_probe)
set -euo pipefail
probe=$1
[ "$(id -u)" -eq 0 ] || { echo "skip: network namespaces need root"; exit 77; }
. "$(dirname "$0")/../../app/testbed.sh"
out=$(mktemp -d)

failures=0
ok() { echo "ok    $*"; }
bad() {
    echo "FAIL  $*"
    failures=$((failures + 1))
}
check() { # TEXT COMMAND ...
    local text=$1
    shift
    if "$@"; then ok "$text"; else bad "$text ($*)"; fi
}
value() { sed -n "s/^$2=//p" "$out/$1"; }                          # FILE KEY
verdict() { sed -n "s/^pyrowire_nic_steered_frames_total{port=\"nic\",verdict=\"$2\"} //p" "$out/$1"; }
attached() { ip -d link show "${1:-$TB_IF}" | grep -q 'prog/xdp\|xdp id'; }
ping_host() { tb_exec ping -q -c 2 -i 0.1 -W 5 "$@" "$TB_HOST" >"$out/ping" 2>&1; }
# refused = the kernel answered with RST; silent = nobody did. The third is what is expected: an answer is
# waited for longer than the lack of one.
connect() {
    local seconds=0.6
    [ "$3" = silent ] || seconds=10
    tb_exec bash -c "timeout $seconds bash -c '>/dev/tcp/$1/$2'" 2>"$out/connect" && { echo open; return; }
    grep -q refused "$out/connect" && echo refused || echo silent
}
start() { # FILE ARGS ... : the probe in the background, until it is ready
    local file=$1 i
    shift
    : >"$out/$file"
    "$probe" "$@" >"$out/$file" 2>"$out/$file.log" &
    pid=$!
    for i in {1..150}; do
        grep -q '^ready=1' "$out/$file" && return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    cat "$out/$file" "$out/$file.log"
    return 1
}
stop() {
    kill -TERM "$pid"
    wait "$pid" || bad "the probe failed"
}
refuses() { # TEXT PATTERN PROBE-ARGS ...
    local text=$1 pattern=$2 rc=0
    shift 2
    timeout 20 "$@" >"$out/refused" 2>"$out/refused.log" || rc=$?
    if [ $rc -eq 1 ] && grep -q "^error=.*$pattern" "$out/refused"; then
        ok "$text: $(value refused error)"
    else
        bad "$text: exit $rc, $(cat "$out/refused" "$out/refused.log")"
    fi
}

tb_start nict
ip link del pwnict8 2>/dev/null || true # of a run that was killed
tb_defer rm -rf "$out"
tb_link
tb_hugepages 256

echo "== the kernel owns the address"
start a port "$TB_IF" secs=20 tx=500
check "the program is attached" attached
check "ping stays with the kernel" ping_host
check "so does a fragmented ping" ping_host -s 4000
check "ssh's port is answered by the kernel" [ "$(connect "$TB_HOST" 22 refused)" = refused ]
check "4040 is not" [ "$(connect "$TB_HOST" 4040 silent)" = silent ]
refuses "a second pyrowire" "in use by another pyrowire" "$probe" port "$TB_IF"
stop
check "we know that the kernel owns it" [ "$(value a kernel_owns)" = 1 ]
check "the SYN reached rx_burst" [ "$(value a syns)" -ge 1 ]
check "and nothing else did" [ "$(value a frames)" = "$(value a syns)" ]
check "as the program counted" [ "$(verdict a ours_tcp)" = "$(value a frames)" ]
check "ping was passed by address" [ "$(verdict a pass_address)" -ge 2 ]
check "later fragments were passed" [ "$(verdict a pass_fragment)" -ge 4 ]
check "500 frames were taken" [ "$(value a sent)" = 500 ]
rx=$(tb_exec cat "/sys/class/net/$TB_PEER_IF/statistics/rx_packets")
check "and reached the other end ($rx received)" [ "$rx" -ge 500 ]
check "no program stays attached" [ "$(attached && echo yes)" = "" ]
check "4040 is the kernel's again" [ "$(connect "$TB_HOST" 4040 refused)" = refused ]

echo "== an address of our own"
start b port "$TB_IF" addr=10.213.0.9 own secs=20
check "ping to the kernel's address works" ping_host
tb_exec ping -q -c 2 -i 0.2 -W 0.2 10.213.0.9 >/dev/null 2>&1 || true
tb_exec ip neigh replace 10.213.0.9 lladdr "$(cat "/sys/class/net/$TB_IF/address")" dev "$TB_PEER_IF"
tb_exec ping -q -c 2 -i 0.2 -W 0.2 10.213.0.9 >/dev/null 2>&1 || true
check "4040 of our address is ours" [ "$(connect 10.213.0.9 4040 silent)" = silent ]
check "4040 of the kernel's is the kernel's" [ "$(connect "$TB_HOST" 4040 refused)" = refused ]
stop
check "ARP for it reached us" [ "$(value b arps)" -ge 1 ]
check "ICMP for it reached us" [ "$(value b icmps)" -ge 2 ]
check "the SYN reached us" [ "$(value b syns)" -ge 1 ]
refuses "own address that the kernel has" "kernel has the appliance's address" \
    "$probe" port "$TB_IF" addr="$TB_HOST" own

echo "== killed"
start c port "$TB_IF" secs=20
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
check "the program stays" attached
check "it passes ping" ping_host
check "and 4040" [ "$(connect "$TB_HOST" 4040 refused)" = refused ]
start d port "$TB_IF" secs=20
check "the next start says so" grep -q "killed pyrowire left" "$out/d.log"
check "and gets 4040" [ "$(connect "$TB_HOST" 4040 silent)" = silent ]
stop
check "its SYN arrived" [ "$(value d syns)" -ge 1 ]
check "no program stays attached" [ "$(attached && echo yes)" = "" ]

echo "== ordinary pages"
rx=$(tb_exec cat "/sys/class/net/$TB_PEER_IF/statistics/rx_packets")
start e port "$TB_IF" huge=off secs=20 tx=1500 hold=12000
check "4040 is ours" [ "$(connect "$TB_HOST" 4040 silent)" = silent ]
stop
check "the SYN arrived" [ "$(value e syns)" -ge 1 ]
check "1500 frames were taken" [ "$(value e sent)" = 1500 ]
# With gaps at page borders the far end of the mempool would lie outside the umem (port.c, make_pool).
rx=$(($(tb_exec cat "/sys/class/net/$TB_PEER_IF/statistics/rx_packets") - rx))
check "from the far end of the pool they reach the other end ($rx received)" [ "$rx" -ge 1500 ]

echo "== refusals"
refuses "unknown interface" "no network interface" "$probe" port nosuchif
refuses "no hugepages" "no hugepages" "$probe" port "$TB_IF" huge=required memory=99999999
check "which leaves nothing attached" [ "$(attached && echo yes)" = "" ]
tb_exec ip link set lo mtu 1500
refuses "driver without XDP" "has no native XDP" ip netns exec "$TB_NS" "$probe" port lo
check "which leaves nothing attached" [ "$(tb_exec ip -d link show lo | grep -c xdp)" = 0 ]
cp "$probe" "$out/probe"
chmod 755 "$out" "$out/probe"
refuses "no privileges" "run as root" setpriv --reuid=65534 --regid=65534 --clear-groups \
    "$out/probe" port "$TB_IF"
rc=0
setpriv --reuid=65534 --regid=65534 --clear-groups "$out/probe" none >"$out/none" 2>&1 || rc=$?
check "without a NIC none are needed" [ "$rc $(value none ready)" = "0 1" ]
"$probe" foreign "$TB_IF"
refuses "somebody else's program" "somebody_else" "$probe" port "$TB_IF"
check "which stays" attached
ip link set dev "$TB_IF" xdp off
start s socket "$TB_IF" 20
socket_pid=$pid
refuses "somebody else's socket" "another program's AF_XDP socket" "$probe" port "$TB_IF"
check "and no program of ours stays" [ "$(attached && echo yes)" = "" ]
kill "$socket_pid"
wait "$socket_pid" 2>/dev/null || true
ip link set "$TB_IF" down
refuses "interface that is down" "is down" "$probe" port "$TB_IF"
ip link set "$TB_IF" up

ip link add pwnict8 numrxqueues 2 numtxqueues 2 type veth peer name pwnict9
tb_defer ip link del pwnict8
ethtool -L pwnict8 rx 2 tx 2 2>/dev/null || true
ip addr add 10.214.0.1/24 dev pwnict8
ip link set pwnict8 up
refuses "queues that nobody would poll" "receives on 2 queues" "$probe" port pwnict8

echo "== neighbours" # as the namespace's kernel knows them: no route of the host is touched
tb_exec ip route add default via "$TB_HOST"
tb_exec ip neigh flush dev "$TB_PEER_IF"
tb_exec "$probe" neigh "$TB_PEER_IF" "$TB_HOST" >"$out/n"
check "the kernel's neighbour" [ "$(value n mac)" = "$(cat "/sys/class/net/$TB_IF/address")" ]
check "the gateway" [ "$(value n gateway)" = "$TB_HOST" ]
tb_exec "$probe" neigh "$TB_PEER_IF" 10.213.0.77 >"$out/n"
check "nobody there" [ "$(value n mac)" = none ]
tb_exec "$probe" neigh lo "$TB_HOST" >"$out/n"
check "no gateway behind another interface" [ "$(value n gateway)" = none ]

echo "$failures failures"
[ $failures -eq 0 ]
