#!/usr/bin/env bash
# Two appliances, two replicas, and between them two routers with a link of 1,300 bytes, narrower than either end knows:
# the link learns it while it begins, so no push of several packets is lost to it.
# usage: path_mtu.sh PYROWIRE [NAME]        NAME: of the namespaces, up to 4 letters
set -u
bin=$(readlink -f "$1")
name=${2:-mtu}
work=$(mktemp -d /tmp/pyrowire-mtu.XXXXXX)
pids=()
[ "$(id -u)" -eq 0 ] || { echo "skip: network namespaces need root"; exit 77; }

clean() {
    local p n
    for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null; done
    wait 2>/dev/null
    for n in a r s b; do ip netns del "$name-$n" 2>/dev/null; done
    rm -rf "$work"
}
trap clean EXIT

# cable NAMESPACE DEVICE CIDR NAMESPACE DEVICE CIDR MTU
cable() {
    ip -n "$name-$1" link add "$2" numrxqueues 1 numtxqueues 1 mtu "$7" type veth \
        peer name "$5" numrxqueues 1 numtxqueues 1 mtu "$7" netns "$name-$4"
    ip -n "$name-$1" addr add "$3" dev "$2"
    ip -n "$name-$4" addr add "$6" dev "$5"
    for end in "$1 $2" "$4 $5"; do
        ip netns exec "$name-${end% *}" ethtool -K "${end#* }" tx off rx off tso off gso off gro off >/dev/null 2>&1
        ip -n "$name-${end% *}" link set "${end#* }" up
    done
}

for n in a r s b; do
    ip netns add "$name-$n" || { echo "skip: no network namespaces here"; exit 77; }
    ip -n "$name-$n" link set lo up
done
cable a v0 10.61.1.1/24 r v0 10.61.1.254/24 1500
cable r v1 10.61.3.1/24 s v1 10.61.3.2/24 1300
cable s v0 10.61.2.254/24 b v0 10.61.2.1/24 1500
for n in r s; do ip netns exec "$name-$n" sysctl -qw net.ipv4.ip_forward=1; done
ip -n "$name-a" route add default via 10.61.1.254
ip -n "$name-b" route add default via 10.61.2.254
ip -n "$name-r" route add 10.61.2.0/24 via 10.61.3.2
ip -n "$name-s" route add 10.61.1.0/24 via 10.61.3.1

(umask 077 && head -c 32 /dev/urandom >"$work/secret")
start() {
    ip netns exec "$name-$1" "$bin" -nic.netdev=v0 -nic.hugepages=off -dataplane.rx-buffer-bytes=8MiB \
        -dataplane.connections-max=256 -pyroscopedb.data-path="$work/$1" -ingester.head.max-bytes=128MiB \
        -ingester.head.prefault-bytes=0 -ingester.wal.segment-bytes=4MiB -query.threads=1 \
        -distributor.replication-factor=2 -link.secret-file="$work/secret" -link.silence=10s \
        -ingester.lifecycler.ID="$1" -distributor.ring.instance-id="$1" -ingester.lifecycler.addr="$2" \
        -memberlist.bind-addr="$2" -memberlist.advertise-addr="$2" -memberlist.join=10.61.1.1:7946 \
        -memberlist.join=10.61.2.1:7946 -ingester.min-ready-duration=0s 2>"$work/$1.log" &
    pids+=($!)
}
start a 10.61.1.1
start b 10.61.2.1

cd "$(dirname "$0")"
timeout 150 ip netns exec "$name-r" python3 - <<'P'
import http.client, sys, time
from small import PUSH, noise, profile, push_body


def ask(method, path, body=None):
    c = http.client.HTTPConnection('10.61.1.1', 4040, timeout=60)
    c.request(method, path, body, {'Content-Type': 'application/json'} if body else {})
    r = c.getresponse()
    return r.status, r.read().decode()


def metric(name):
    try:
        return sum(float(l.split()[-1]) for l in ask('GET', '/metrics')[1].splitlines() if l.startswith(name))
    except OSError:
        return None


until = time.time() + 60
while metric('pyrowire_replica_peers_up ') != 1:
    if time.time() > until:
        sys.exit('the appliances do not see each other')
    time.sleep(0.1)
bad = []
for i in range(8):
    status, text = ask('POST', PUSH, push_body(profile(['f%d' % i], noise(200)), service_name='mtu'))
    if status != 200:
        bad.append((i, status, text[:200]))
cut = metric('pyrowire_link_too_big_total{link="0"}')
print('%d of 8 pushes of several packets acknowledged by both, told too big: %d times' % (8 - len(bad), cut))
sys.exit(1 if bad or cut < 1 else 0)
P
rc=$?
[ $rc -eq 0 ] || tail -n 8 "$work"/*.log
exit $rc
