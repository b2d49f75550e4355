#!/usr/bin/env bash
# Builds one stress program and what it tests with clang's ThreadSanitizer, and runs it for a while.
# DPDK is not instrumented and only linked: without EAL a lane takes its memory from mmap.
#
# usage: tests/stress/tsan.sh bell|lane|head|rotate|snapshot <source root> <output folder> [milliseconds]
set -eu
what=$1 root=$2 out=$3 ms=${4:-2000}
command -v clang >/dev/null || { echo "no clang"; exit 77; }
cd "$root"
case $what in
bell) src="tests/stress/bell_stress.c dataplane/loop.c base/bell.c base/clock.c base/text.c base/utf8.c base/fiber.c base/check.c base/trace.c" ;;
lane) src="tests/stress/lane_stress.c ring/lane.c ring/lane_mem.c base/check.c base/trace.c" ;;
snapshot) src="tests/stress/snapshot_stress.c ring/snapshot.c ring/desc.c ring/view.c base/hash.c base/check.c base/trace.c" ;;
head | rotate) src="tests/stress/${what}_stress.c tests/support/record_build.c ingester/head.c
    base/bell.c ingester/activity.c ingester/catalog.c ingester/head_set.c ingester/head_view.c ingester/htab.c ingester/region.c ingester/samples.c ingester/series_index.c
    ingester/share.c
    ingester/symbols.c pprof/labels.c pprof/packed.c pprof/record_read.c base/check.c base/fiber.c base/hash.c base/scratch.c base/text.c base/trace.c
    base/utf8.c" ;;
*) echo "unknown: $what"; exit 2 ;;
esac
mkdir -p "$out"
# shellcheck disable=SC2046,SC2086
clang -std=gnu11 -D_GNU_SOURCE -O1 -g -fsanitize=thread -fno-strict-aliasing -DPW_DCHECK_ON -I. \
    $(pkg-config --cflags libdpdk) $src -o "$out/${what}_tsan" \
    -Wl,--as-needed $(pkg-config --libs libdpdk) -lcmocka -lxxhash -lpthread -lm
TSAN_OPTIONS=halt_on_error=1 exec "$out/${what}_tsan" "$ms"
