#!/usr/bin/env bash
# Sets a Debian 12 host up for pyrowire, remembers what it changed, and undoes it.
#
# usage: host-prepare.sh packages            install what is missing to build and test
#        host-prepare.sh hugepages [MIB]     have at least MIB (default 512) free in 2 MiB pages
#        host-prepare.sh check               say what is there and what is missing; exit 1 if something is
#        host-prepare.sh undo [--packages]   give back what this owner changed; packages stay unless asked
# PW_OWNER=NAME      whose changes these are (default "host"): several users reserve side by side, and
#                    each undoes its own share
# PW_STATE_DIR=DIR   where that is remembered (default /run/pyrowire)
set -euo pipefail

owner=${PW_OWNER:-host}
state_dir=${PW_STATE_DIR:-/run/pyrowire}
state=$state_dir/$owner.changes
pages_dir=/sys/kernel/mm/hugepages/hugepages-2048kB

packages=(
    build-essential pkg-config meson ninja-build clang llvm lld libclang-rt-14-dev
    libdpdk-dev dpdk dpdk-dev libnuma-dev libxdp-dev libbpf-dev libpcap-dev
    libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libhyperscan-dev libre2-dev
    liblz4-dev libsnappy-dev libisal-dev libdeflate-dev libxxhash-dev libjansson-dev libyaml-dev libssl-dev openssl
    libcurl4-openssl-dev libexpat1-dev libzstd-dev
    libcmocka-dev zlib1g-dev libelf-dev
    git python3 iproute2 iputils-ping ethtool procps curl ca-certificates
)

die() {
    echo "host-prepare: $*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "$1 needs root"
}

# Serialises those who change the host; the descriptor closes with the script.
lock() {
    mkdir -p "$state_dir"
    exec 9>"$state_dir/lock"
    flock 9
}

remember() {
    printf '%s\n' "$*" >>"$state"
}

missing_packages() {
    local p
    for p in "${packages[@]}"; do
        # A virtual or arch-qualified name is asked of dpkg as it is; anything not "installed" is missing.
        dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || echo "$p"
    done
}

do_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    if [ ${#missing[@]} -eq 0 ]; then
        echo "packages: all ${#packages[@]} are there"
        return
    fi
    need_root "installing ${missing[*]}"
    command -v apt-get >/dev/null || die "no apt-get here; install by hand: ${missing[*]}"
    lock
    export DEBIAN_FRONTEND=noninteractive
    echo "packages: installing ${missing[*]}"
    apt-get update -qq || die "apt-get update failed: is the network there?"
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get could not install ${missing[*]}"
    remember "packages ${missing[*]}"
}

# Pages that this owner reserved and has not given back.
reserved() {
    [ -f "$state" ] && awk '$1 == "hugepages" { n += $2 } END { print n + 0 }' "$state" || echo 0
}

# Other owners may have reserved what is free now and not taken it yet: then we bring our own.
others_reserve() {
    local f
    for f in "$state_dir"/*.changes; do
        [ "$f" != "$state" ] && [ -f "$f" ] && grep -q '^hugepages ' "$f" && return 0
    done
    return 1
}

do_hugepages() {
    local mib=${1:-512} want free total added now
    case $mib in '' | *[!0-9]*) die "hugepages takes a number of MiB, not '$mib'" ;; esac
    want=$(((mib + 1) / 2))
    [ -d "$pages_dir" ] || die "this kernel has no 2 MiB hugepages"
    free=$(<"$pages_dir/free_hugepages")
    if [ "$free" -ge "$want" ] && ! others_reserve; then
        echo "hugepages: $((free * 2)) MiB are free"
        return
    fi
    need_root "reserving hugepages"
    lock
    free=$(<"$pages_dir/free_hugepages")
    total=$(<"$pages_dir/nr_hugepages")
    if others_reserve; then
        added=$((want - $(reserved)))
    else
        added=$((want - free))
    fi
    added=$((added > 0 ? added : 0))
    if [ "$added" -gt 0 ]; then
        echo $((total + added)) >"$pages_dir/nr_hugepages" || die "the kernel refused $added more hugepages"
        now=$(<"$pages_dir/nr_hugepages")
        # Even a part is a change that is to be undone.
        if [ "$now" -gt "$total" ]; then
            remember "hugepages $((now - total))"
        fi
        if [ "$now" -lt $((total + added)) ]; then
            die "memory is too fragmented: got $((now - total)) of $added pages; free memory or reboot"
        fi
    fi
    echo "hugepages: $((want * 2)) MiB are free ($added pages reserved)"
}

report() {
    local ok=$1 name=$2 text=$3
    if [ "$ok" = yes ]; then
        printf 'ok       %-10s %s\n' "$name" "$text"
    else
        printf 'missing  %-10s %s\n' "$name" "$text"
        return 1
    fi
}

do_check() {
    local rc=0 missing free vfio
    missing=$(missing_packages | tr '\n' ' ')
    report "$([ -z "$missing" ] && echo yes)" packages "${missing:-all installed}" || rc=1
    report "$([ "$(id -u)" -eq 0 ] && echo yes)" root "a NIC port needs it; the loopback listener does not" || rc=1
    free=$(cat "$pages_dir/free_hugepages" 2>/dev/null || echo 0)
    report "$([ "$free" -gt 0 ] && echo yes)" hugepages "$((free * 2)) MiB free in 2 MiB pages" || rc=1
    report "$([ -e /sys/kernel/btf/vmlinux ] && echo yes)" btf "kernel type information for the steering program" || rc=1
    report "$(grep -qw bpf /proc/filesystems && echo yes)" bpf "$(uname -r)" || rc=1
    vfio=$(find /sys/kernel/iommu_groups -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)
    echo "note     vfio       $vfio IOMMU groups; only -nic.device needs one"
    return $rc
}

do_undo() {
    local what rest total gone=()
    [ -f "$state" ] || { echo "undo: nothing was changed by $owner"; return; }
    need_root "undoing changes"
    lock
    # Last change first.
    while read -r what rest; do
        case $what in
        hugepages)
            total=$(<"$pages_dir/nr_hugepages")
            echo $((total > rest ? total - rest : 0)) >"$pages_dir/nr_hugepages"
            echo "undo: $rest hugepages given back"
            ;;
        packages)
            if [ "${1:-}" = --packages ]; then
                # shellcheck disable=SC2086 # a list of names
                DEBIAN_FRONTEND=noninteractive apt-get remove -y -qq $rest >/dev/null
                echo "undo: removed $rest"
            else
                gone+=("packages $rest")
                echo "undo: these packages stay (undo --packages removes them): $rest"
            fi
            ;;
        *) die "cannot undo '$what $rest' of $state" ;;
        esac
    done < <(tac "$state")
    rm -f "$state"
    for rest in "${gone[@]}"; do remember "$rest"; done
    return 0
}

case ${1:-} in
packages | --packages) do_packages ;;
hugepages | --hugepages) do_hugepages "${2:-}" ;;
check | --check) do_check ;;
undo | --undo) do_undo "${2:-}" ;;
*)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
