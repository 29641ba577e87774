#!/bin/bash
# Differential fuzzing: random mixes of services, servers, edits, packets and fragments, and random scheduler decisions, recorded of
# the real kernel and replayed at once by the director. The same seed is the same mix.
# usage: fuzz.sh FIRST COUNT [STEPS]      seeds FIRST, FIRST + 1, …; each a case of so many steps (150), and ten times as many decisions
# What they made stays in target/oracle (ORACLE_OUT): a case that differs is kept with verify/cut.py, or copied to tests/golden.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || { sed -n 2,6p "$0" >&2; exit 2; }
out=${ORACLE_OUT:-$here/../../target/oracle}/fuzz-$1
rm -rf "$out"
mkdir -p "$out"
echo "$1 $2 ${3:-150}" >"$out/args"
for scenario in mix decisions; do
    "$here/run.sh" -t $((60 + $2 * ${3:-150} / 10)) "$here/scenarios/$scenario.py" "$out" "$out/args"
    if grep FAILED "$out/stdout.txt"; then
        cat "$out/stderr.txt" >&2
        exit 1
    fi
done
cd "$here/../.."
GOLDEN_DIR=$out ${CARGO:-cargo} test --release --test golden
