#!/bin/sh
# Every test that has a thread, a socket or a clock, again and again: `REPEAT=20 sh tests/repeat.sh`,
# or with the names of some. Ends with the first round that fails, and says which; the output of
# each test that failed is in build/repeat.
set -eu
cd "$(dirname "$0")/.."
rounds=${REPEAT:-20}
[ $# -gt 0 ] || set -- lib behaviour faults normative sequences c_programs scale syscalls clock memory \
    secrets page sim
mkdir -p build/repeat

run() {
    case $1 in
    sim) cargo test --locked --package aliot-sim $2 ;;
    lib) cargo test --locked --package aliot --lib $2 ;;
    *) cargo test --locked --package aliot --test "$1" $2 ;;
    esac
}

for name in "$@"; do
    run "$name" --no-run
done
for round in $(seq "$rounds"); do
    for name in "$@"; do
        log=build/repeat/$name-$round.log
        began=$(date +%s)
        if run "$name" '' >"$log" 2>&1; then
            echo "round $round of $rounds: $name: $(grep -c ' ok$' "$log") tests passed in $(($(date +%s) - began)) s"
            # What passed by doing nothing: page without a browser, others without their tools.
            grep -i '^skipped' "$log" || :
            rm "$log"
        else
            echo "round $round of $rounds: $name FAILED:"
            grep -E '^test .* FAILED|panicked at' "$log" || tail -20 "$log"
            echo "see $log"
            exit 1
        fi
    done
done
echo "$rounds rounds, no failure"
