#!/usr/bin/env bash
# One real SDK profiles a small workload against ADDR; then the query API must give it back.
# Needs install.sh to have run; uses the network for nothing but ADDR.
#
# usage: run.sh go|python|node HOST:PORT      exit 0 when everything is right
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../../.." && pwd)/build/e2e
lang=$1 addr=$2
# A name of its own for each run: numbers of an earlier one would add to these.
service="sdk-$lang-$(date +%s)-$$"

case $lang in
go) client=("$build/go/client") ;;
python) client=("$build/python/venv/bin/python" "$here/python/client.py") ;;
node) client=(env "NODE_PATH=$build/node/node_modules" node "$here/node/client.js") ;;
*) echo "run.sh: no SDK named $lang (go, python, node)"; exit 2 ;;
esac
# Proxies of the environment are not for a private address.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

report=$build/$lang/report.json
rc=0
timeout -k 5 60 "${client[@]}" "$addr" "$service" >"$report" || rc=$?
[ $rc -eq 0 ] || { echo "run.sh: the $lang client ended with $rc"; exit 1; }
python3 "$here/check.py" "$addr" "$report"
