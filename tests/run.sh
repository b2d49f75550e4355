#!/usr/bin/env bash
# The test command of README.md: installs what is missing, builds, runs every suite, and closes with
# `N passed, N failed, N skipped`. Exit 0 only when nothing failed and something passed.
#
# usage: tests/run.sh [--fast]      --fast leaves out sanitizers, fuzzing and the real SDKs
# PW_FUZZ_SECONDS=N   how long each fuzz target runs (default 5; the corpus is replayed in any case)
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
fast=${1:-}
out=$root/build/test-output
passed=0 failed=0 skipped=0
export PW_SHARED=${PW_SHARED:-$(cd ../shared 2>/dev/null && pwd || true)}

say() { printf '\n== %s\n' "$*"; }

# count <passed> <failed> <skipped>
count() {
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# Runs one command with a time limit. Exit 0 passes, 77 skips (its last line says why), else fails. A
# closing line `N passed, N failed, N skipped` in its output is what gets counted instead.
step() {
    local name=$1 limit=$2 log=$out/$1.log rc line
    shift 2
    timeout -k 10 "$limit" "$@" >"$log" 2>&1
    rc=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
    if [ $rc -eq 77 ]; then
        count 0 0 1
        echo "skip  $name: $(tail -n 1 "$log")"
    elif [ -n "$line" ]; then
        read -r p _ f _ s _ <<<"$line"
        [ $rc -ne 0 ] && [ "$f" -eq 0 ] && f=1
        count "$p" "$f" "$s"
        echo "$([ "$f" -eq 0 ] && echo ok || echo FAIL)    $name: $line"
        grep -E '^(skipped|FAIL) ' "$log" | head -n 40
    elif [ $rc -eq 0 ]; then
        count 1 0 0
        echo "ok    $name"
    else
        count 0 1 0
        echo "FAIL  $name (exit $rc$([ $rc -eq 124 ] && echo ", over $limit s")): see $log"
        tail -n 25 "$log" | sed 's/^/      /'
    fi
}

# All tests of the named meson suites of one build folder.
meson_suites() {
    local dir=$1 name=$2 rc
    shift 2
    local args=()
    for s in "$@"; do args+=(--suite "$s"); done
    meson test -C "$dir" --no-rebuild --print-errorlogs -t 3 "${args[@]}" >"$out/$name.log" 2>&1
    rc=$?
    python3 "$root/tests/meson_count.py" "$dir/meson-logs/testlog.json" >"$out/$name.count"
    local p f s
    read -r p f s <"$out/$name.count"
    [ $rc -ne 0 ] && [ "$f" -eq 0 ] && f=1
    count "$p" "$f" "$s"
    echo "$([ "$f" -eq 0 ] && echo ok || echo FAIL)    $name: $p passed, $f failed, $s skipped"
    tail -n +2 "$out/$name.count"
    if [ "$f" -ne 0 ]; then
        grep -vE '^ninja|^[0-9]+/[0-9]+ .* OK ' "$out/$name.log" | tail -n 60 | sed 's/^/      /'
    fi
}

finish() {
    printf '\n%d passed, %d failed, %d skipped\n' $passed $failed $skipped
    [ $failed -eq 0 ] && [ $passed -gt 0 ]
}

say "packages"
if ! bash nic-config/host-prepare.sh packages; then
    count 0 1 0
    finish
    exit 1
fi

say "build"
mkdir -p build
[ -f build/build.ninja ] || meson setup build >build/setup.log 2>&1 || { cat build/setup.log; count 0 1 0; finish; exit 1; }
mkdir -p "$out"
if ! ninja -C build >"$out/build.log" 2>&1; then
    tail -n 40 "$out/build.log"
    count 0 1 0
    finish
    exit 1
fi
echo "ok    build"

say "unit, dpdk and corpus tests"
meson_suites build gcc unit dpdk fuzz-replay stress

if [ "$fast" != --fast ]; then
    say "the same under clang with ASan and UBSan"
    if [ ! -f build-asan/build.ninja ]; then
        CC=clang CXX=clang++ meson setup build-asan -Db_sanitize=address,undefined -Ddcheck=true \
            -Dfuzz=true -Dbuildtype=debugoptimized >"$out/asan-setup.log" 2>&1
    fi
    if ninja -C build-asan >"$out/asan-build.log" 2>&1; then
        export LSAN_OPTIONS=suppressions=$root/tests/lsan.supp
        export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
        meson_suites build-asan asan unit dpdk fuzz-replay
        say "fuzz targets, ${PW_FUZZ_SECONDS:-5} s each"
        for target in build-asan/tests/fuzz/fuzz_*; do
            [ -x "$target" ] && [ ! -d "$target" ] || continue
            name=$(basename "$target")
            step "$name" $((${PW_FUZZ_SECONDS:-5} + 60)) bash tests/fuzz/run_one.sh "$target" "${PW_FUZZ_SECONDS:-5}"
        done
        unset ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS
    else
        count 0 1 0
        echo "FAIL  sanitizer build"
        tail -n 30 "$out/asan-build.log"
    fi
fi

say "network namespaces: steering, the kernel's TCP against ours"
meson_suites build e2e e2e

say "the appliance behind a DPDK port"
step quickstart 300 bash app/quickstart.sh --once
step replay-dpdk 900 bash tests/e2e/appliance.sh replay
step replay-dpdk-ip6 300 env IP=6 bash tests/e2e/appliance.sh replay --modes whole
step own-address-dpdk 120 bash tests/e2e/appliance.sh own-address
step cases-dpdk 300 bash tests/e2e/appliance.sh write-cases
step read-cases-dpdk 300 bash tests/e2e/appliance.sh read-cases
step allocations-dpdk 300 bash tests/e2e/appliance.sh allocations
step overload-dpdk 120 bash tests/e2e/appliance.sh overload
step attacks-dpdk 240 bash tests/e2e/appliance.sh attacks
step kill $((100 + 8 * ${PW_KILL_ROUNDS:-20})) python3 tests/e2e/kill.py build/app/pyrowire --rounds "${PW_KILL_ROUNDS:-20}"
step starts 120 python3 tests/e2e/starts.py build/app/pyrowire
step ring 300 python3 tests/e2e/ring.py build/app/pyrowire
step gossip-tls 200 python3 tests/e2e/gossip_tls.py build/app/pyrowire
step names 200 unshare -mn python3 tests/e2e/names.py build/app/pyrowire
step reads 300 python3 tests/e2e/reads.py build/app/pyrowire
step bucket 200 python3 tests/e2e/bucket.py build/app/pyrowire
step disk-full 60 unshare -m python3 tests/e2e/disk_full.py build/app/pyrowire
step loopback 600 bash tests/e2e/appliance.sh loopback
step blocks 300 bash tests/e2e/appliance.sh blocks
say "three appliances, one ring"
step targets 120 python3 tests/e2e/targets.py build/app/pyrowire
step series-limit 120 python3 tests/e2e/series_limit.py build/app/pyrowire
step cluster 300 bash app/cluster.sh --once
step cluster-kill $((120 + 20 * ${PW_CLUSTER_ROUNDS:-20})) python3 tests/e2e/cluster.py build/app/pyrowire \
    --rounds "${PW_CLUSTER_ROUNDS:-20}"
step link-port 200 python3 tests/e2e/cluster.py build/app/pyrowire --rounds 2 --link-port kernel
step link-port-own 200 python3 tests/e2e/cluster.py build/app/pyrowire --rounds 2 --link-port own
step path-mtu 200 bash tests/e2e/path_mtu.sh build/app/pyrowire
step link-port-ip6 200 python3 tests/e2e/cluster.py build/app/pyrowire --rounds 2 --link-port kernel6
if [ "$fast" != --fast ]; then
    say "real SDKs against the DPDK port"
    step sdk-go 600 bash tests/e2e/appliance.sh sdk go
    step sdk-python 600 bash tests/e2e/appliance.sh sdk python
    step sdk-node 600 bash tests/e2e/appliance.sh sdk node
    say "the same over IPv6"
    step sdk-go-ip6 600 env IP=6 bash tests/e2e/appliance.sh sdk go
    step sdk-python-ip6 600 env IP=6 bash tests/e2e/appliance.sh sdk python
    step sdk-node-ip6 600 env IP=6 bash tests/e2e/appliance.sh sdk node
fi
finish
