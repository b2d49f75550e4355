#!/bin/sh
# Writes file $1 as a C array named $3 into header $2, so that the binary carries the program itself.
set -eu
{
    printf 'static const unsigned char %s[] = {\n' "$3"
    od -An -v -tu1 "$1" | sed -e 's/^ *//' -e 's/ *$//' -e 's/  */,/g' -e 's/$/,/'
    printf '};\n'
} >"$2"
