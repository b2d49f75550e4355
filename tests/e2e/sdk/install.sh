#!/usr/bin/env bash
# Fetches the real SDKs from their registries into build/e2e and builds their clients. Idempotent: what
# is there for these manifests already is not fetched again.
#
# usage: install.sh [go] [python] [node]      default: all; exit 1 when one could not be installed
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../../.." && pwd)/build/e2e
mkdir -p "$build"

# fresh LANG FILES...: true when build/e2e/LANG was made from these very files.
fresh() {
    local lang=$1
    shift
    want=$(cat "$@" | sha256sum)
    [ -f "$build/$lang/.stamp" ] && [ "$(cat "$build/$lang/.stamp")" = "$want" ]
}

# A tool of the distribution, where we may install it.
need() {
    local tool=$1
    shift
    command -v "$tool" >/dev/null && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "$tool is missing"
        return 1
    fi
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install "$@" >/dev/null
}

install_go() {
    cd "$here/go"
    fresh go main.go go.mod go.sum && return
    # The SDK asks for a newer Go than Debian 12 has: an installed one is used, none is fetched.
    command -v go >/dev/null || { echo "go is missing"; return 1; }
    mkdir -p "$build/go"
    go mod download && CGO_ENABLED=0 go build -mod=readonly -trimpath -o "$build/go/client" . &&
        echo "$want" >"$build/go/.stamp"
}

install_python() {
    cd "$here/python"
    fresh python requirements.txt && return
    need python3 python3 || return
    rm -rf "$build/python"
    if ! python3 -m venv "$build/python/venv" >/dev/null 2>&1; then # Debian keeps ensurepip apart
        rm -rf "$build/python"
        need no-such-tool python3-venv
        python3 -m venv "$build/python/venv" || return
    fi
    "$build/python/venv/bin/pip" install -q --only-binary :all: -r requirements.txt &&
        echo "$want" >"$build/python/.stamp"
}

install_node() {
    cd "$here/node"
    fresh node package.json package-lock.json && return
    need node nodejs && need npm npm || return
    rm -rf "$build/node"
    mkdir -p "$build/node"
    cp package.json package-lock.json "$build/node/"
    (cd "$build/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) &&
        echo "$want" >"$build/node/.stamp"
}

# The functions run left of ||, where `set -e` does not hold: each says itself when it failed.
for lang in "${@:-go python node}"; do
    for l in $lang; do
        case $l in
        go | python | node) (install_"$l") || { echo "install.sh: the $l SDK could not be installed"; exit 1; } ;;
        *) echo "install.sh: no SDK named $l (go, python, node)"; exit 1 ;;
        esac
    done
done
