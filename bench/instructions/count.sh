#!/bin/sh
# Counts the instructions of hot paths and compares them with instructions.txt beside this script.
#
#   count.sh check HOT_PATHS CALLS     fails if one has grown by more than a tenth
#   count.sh write HOT_PATHS CALLS     writes the file
#
# HOT_PATHS and CALLS are the programs built from hot_paths.rs and calls.c. A path is run with two
# counts: what the longer run needs more, divided by how many more, is the path alone, however long
# a program takes to start. No clock is involved, so a busy machine gives the same numbers.
set -eu
cd "$(dirname "$0")"
mode=$1 hot_paths=$2 calls=$3
margin=10 # per cent
few=500 many=2500
file=instructions.txt

instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 |
        sed -n 's/^.*Collected : *\([0-9]*\).*$/\1/p'
}

# What the numbers depend on besides the code.
circumstances() {
    echo "$(rustc --version | cut -d' ' -f1-2), $(valgrind --version), $(uname -m)"
}

measure() {
    for path in publish_qos_0 publish_qos_1 receive_qos_0 receive_qos_1; do
        one "$path" "$hot_paths"
    done
    for path in credentials sign topic; do
        one "$path" "$calls"
    done
}

one() {
    low=$(instructions "$2" "$1" $few) high=$(instructions "$2" "$1" $many)
    [ -n "$low" ] && [ -n "$high" ] || { echo "$2 $1 could not be counted" >&2; exit 1; }
    echo "$1 $(((high - low) / (many - few)))"
}

if [ "$mode" = write ]; then
    {
        echo "# Instructions in user space for one message or one call: see count.sh."
        echo "# $(circumstances)"
        measure
    } >"$file"
    cat "$file"
    exit 0
fi

found=$(measure)
echo "$found" | awk -v margin=$margin -v file="$file" '
    BEGIN {
        while ((getline line < file) > 0) {
            split(line, word, " ")
            if (line !~ /^#/) known[word[1]] = word[2]
        }
    }
    {
        if (!($1 in known)) { print $1 ": " $2 ", not in the file"; bad = 1; next }
        change = 100 * ($2 - known[$1]) / known[$1]
        note = ""
        if (change > margin) { note = "  <- more than " margin " %"; bad = 1 }
        if (change < -margin) note = "  <- less: make instructions"
        printf "%-14s %6d, was %6d (%+.1f %%)%s\n", $1, $2, known[$1], change, note
    }
    END { exit bad }' && exit 0

if grep -qxF "# $(circumstances)" "$file"; then
    echo "If that is the price of something worth it: make instructions, and say so in the commit." >&2
    exit 1
fi
echo "The file was written elsewhere ($(sed -n 's/^# //p' "$file" | tail -1)): not a failure here ($(circumstances))."
