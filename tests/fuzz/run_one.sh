#!/usr/bin/env bash
# usage: run_one.sh TARGET SECONDS - fuzz one target from its committed corpus; new inputs go to a
# temporary folder, a crash is kept beside the target and named.
set -euo pipefail
target=$1 seconds=$2
name=$(basename "$target")
corpus=$(cd "$(dirname "$0")" && pwd)/corpus/${name#fuzz_}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dict=$(dirname "$0")/${name#fuzz_}.dict
"$target" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
    -artifact_prefix="$(dirname "$target")/crash-$name-" $([ -f "$dict" ] && echo "-dict=$dict") \
    "$work" "$corpus"
