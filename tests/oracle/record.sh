#!/bin/bash
# Records everything anew from the real kernel, in the formats of tests/golden. Some 15 minutes on two idle cores.
# usage: record.sh FOLDER
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { sed -n 2,3p "$0" >&2; exit 2; }
mkdir -p "$1/sched"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# scenario SECONDS NAME [ARGS]: runs it; what it left is in $work/NAME.
scenario() {
    local seconds=$1 name=$2 as=${4:-$2}
    mkdir -p "$work/$as.in"
    echo "${3:-}" >"$work/$as.in/args"
    "$here/run.sh" -t "$seconds" "$here/scenarios/$name.py" "$work/$as" "$work/$as.in/args"
    local status=$?
    grep -h FAILED "$work/$as/stdout.txt" >&2 && status=1
    [ $status -eq 0 ] || { echo "oracle: $name failed; what it said:" >&2; cat "$work/$as/stderr.txt" >&2; }
    return $status
}

status=0
scenario 3000 sched "rr wrr lc wlc sed nq fo ovf" one & first=$!
scenario 3000 sched "dh sh mh lblc lblcr" other & second=$!
wait $first || status=1
wait $second || status=1
mv "$work"/one/*.jsonl "$work"/other/*.jsonl "$out/sched/" || status=1
python3 "$here/verify/verify.py" "$out"/sched/*.jsonl >"$out/sched/VERIFY.txt" || status=1
for packets in packets nat settings removed; do
    scenario 3000 $packets && cp -r "$work/$packets/packets" "$out/" || status=1
done
for facts in facts options; do
    scenario 900 $facts && cp -r "$work/$facts/facts" "$out/" || status=1
done
scenario 900 states && cp -r "$work/states/states" "$out/" || status=1
scenario 400 timers && cp -r "$work/timers/timers" "$out/" || status=1
exit $status
