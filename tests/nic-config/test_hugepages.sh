#!/bin/bash
# Three processes start at once where hugepages are left for two: two take them, the third takes ordinary pages and says so.
# usage: test_hugepages.sh PYROWIRE
set -u
bin=$1
pool=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
work=$(mktemp -d)
before=
pids=

skip() {
    echo "skip: $1"
    exit 77
}
clean() {
    [ -z "$pids" ] || kill $pids 2>/dev/null
    wait
    [ -z "$before" ] || echo "$before" >$pool
    rm -rf "$work"
}
trap clean EXIT
[ "$(id -u)" = 0 ] || skip "needs root for hugepages"
[ -w $pool ] || skip "no hugepages of 2 MiB here"
before=$(cat $pool)
[ "$before" = 0 ] || skip "hugepages are reserved here, and others may use them"
echo 250 >$pool
[ "$(cat $pool)" = 250 ] || skip "500 MiB of hugepages cannot be reserved here"

for round in 1 2 3; do
    pids=
    for i in 1 2 3; do
        "$bin" -server.http-listen-address=127.0.26.$i -memberlist.bind-addr=127.0.26.$i -memberlist.advertise-addr=127.0.26.$i \
            -pyroscopedb.data-path="$work/$i" -dataplane.rx-buffer-bytes=8MiB -ingester.head.prefault-bytes=0 \
            -ingester.lifecycler.ID=huge$i -query.threads=1 >"$work/$i.log" 2>&1 &
        pids="$pids $!"
    done
    for _ in $(seq 600); do # a hang limit
        [ "$(cat "$work"/?.log | grep -c 'EAL started\|did not start')" = 3 ] && break
        sleep 0.1
    done
    kill $pids
    wait $pids
    pids=
    if [ "$(cat "$work"/?.log | grep -c 'EAL started" hugepages=yes')" != 2 ] ||
        [ "$(cat "$work"/?.log | grep -c 'EAL started" hugepages=no')" != 1 ] ||
        ! cat "$work"/?.log | grep -q 'too few hugepages are free, ordinary pages are taken" needed_mb='; then
        echo "round $round: not two with hugepages and one that says it has none"
        tail -n 4 "$work"/?.log
        exit 1
    fi
done
echo "three rounds: two with hugepages, one with ordinary pages"
