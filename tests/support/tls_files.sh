#!/bin/bash
# usage: tls_files.sh DIR ADDRESS... - certificates for a test, by openssl(1); exits 77 where that is not installed.
# ca.pem has signed node (the addresses and gossip.test), named (gossip.test alone); other-ca.pem has signed foreign
# (as node). locked.key is node's behind a passphrase. All good for a day.
set -euo pipefail
command -v openssl > /dev/null || { echo "openssl is not installed"; exit 77; }
cd "$1"
shift
addresses=$(printf 'IP:%s,' "$@")

authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem"
}

# NAME AUTHORITY ALTERNATIVE-NAMES
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 1 \
        -extfile <(echo "subjectAltName=$3") -out "$1.pem"
}

{
    authority ca
    authority other-ca
    certificate node ca "${addresses}DNS:gossip.test"
    certificate named ca DNS:gossip.test
    certificate foreign other-ca "${addresses}DNS:gossip.test"
    openssl pkey -in node.key -aes256 -passout pass:word -out locked.key
} 2> openssl.log || { cat openssl.log; exit 1; }
