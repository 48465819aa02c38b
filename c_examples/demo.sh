#!/usr/bin/env bash
# The examples at work against the simulated platform, on this machine alone:
#
#   c_examples/demo.sh DIRECTORY_OF_EXAMPLES SIMULATOR
#
# Fails if any of the steps it tells about did not happen. `make demo` builds what it needs.
set -euo pipefail

programs=$1 simulator=$2
patience=20 # seconds for one step; each takes well under two
product=a1Demo
work=$(mktemp -d)
declare -A shown # how many lines of each program have been shown

clean_up() {
    local status=$?
    if [ "$status" -ne 0 ] && [ "$status" -ne 130 ]; then
        printf '\nthe demo failed; the end of what the programs said:\n' >&2
        tail -n 15 "$work"/*.log >&2 || true
    fi
    jobs -pr | xargs -r kill
    wait
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

give_up() {
    printf 'demo: %s\n' "$1" >&2
    exit 1
}

step() {
    printf '\n%s\n' "$1"
}

# Starts a program that ends by itself if this script cannot end it. Sets $pid.
start() { # NAME COMMAND...
    local name=$1
    shift
    shown[$name]=0
    : >"$work/$name.log"
    timeout --kill-after=5 $((6 * patience)) "$@" >"$work/$name.log" 2>&1 &
    pid=$!
}

# Waits until a program has said PATTERN so many times.
hear() { # NAME PATTERN [TIMES]
    local deadline=$((SECONDS + patience))
    until [ "$(grep -c -- "$2" "$work/$1.log")" -ge "${3:-1}" ]; do
        [ "$SECONDS" -lt "$deadline" ] || give_up "$1 never said: $2"
        sleep 0.05
    done
}

# Waits likewise, and shows what the program said.
expect() { # NAME PATTERN [TIMES]
    hear "$@"
    show "$1"
}

# Shows what a program has said since the last time.
show() { # NAME
    local lines
    lines=$(wc -l <"$work/$1.log")
    sed -n "$((shown[$1] + 1)),${lines}s/^/    $1 | /p" "$work/$1.log"
    shown[$1]=$lines
}

expect_success() { # NAME PID
    local status=0
    wait "$2" || status=$?
    show "$1"
    [ "$status" -eq 0 ] || give_up "$1 ended with status $status"
}

# One request to the platform's control port.
control() { # REQUEST
    local answer
    exec 3<>"/dev/tcp/127.0.0.1/$control_port"
    printf '%s\n' "$1" >&3
    IFS= read -r -t "$patience" answer <&3 || give_up "no answer to: $1"
    exec 3>&-
    case $answer in
    ok*) ;;
    *) give_up "$1: $answer" ;;
    esac
}

ready() { # NAME
    sed -n "s/^$1=//p" "$work/ready"
}

printf 'Everything below runs on this machine; no account is needed.\n'

step '1. The platform starts: TLS, with a certificate authority made for this run.'
touch "$work/ready"
start platform "$simulator" --tls 127.0.0.1:0 --tcp 127.0.0.1:0 --control 127.0.0.1:0 \
    --dir "$work" --ready-file "$work/ready" \
    --device "$product,lamp,lamp-secret" --device "$product,thermometer,thermometer-secret"
deadline=$((SECONDS + patience))
until [ -n "$(ready TLS_PORT)" ] && [ -n "$(ready CONTROL_PORT)" ] && [ -s "$(ready CA_FILE)" ]; do
    kill -0 "$pid" 2>/dev/null || give_up 'the platform did not start'
    [ "$SECONDS" -lt "$deadline" ] || give_up 'the platform is not ready'
    sleep 0.05
done
control_port=$(ready CONTROL_PORT)
export ALIOT_PRODUCT_KEY=$product ALIOT_HOST=127.0.0.1
ALIOT_PORT=$(ready TLS_PORT) ALIOT_CA_FILE=$(ready CA_FILE)
export ALIOT_PORT ALIOT_CA_FILE
# Whatever else example.h reads would lead the programs elsewhere.
unset ALIOT_REGION ALIOT_INSTANCE ALIOT_SERVER_NAME ALIOT_HTTP_PROXY ALIOT_SOCKS_PROXY \
    ALIOT_WEBSOCKET ALIOT_CERTIFICATE_FILE ALIOT_KEY_FILE
printf '    listening on 127.0.0.1:%s\n' "$ALIOT_PORT"

step '2. A lamp (commands.c) signs in with its device secret, and subscribes to its commands.'
export ALIOT_DEVICE_NAME=lamp ALIOT_DEVICE_SECRET=lamp-secret
start lamp "$programs/commands"
lamp=$pid
expect lamp '^connected'
expect lamp 'acknowledged$'

step '3. The platform sends a command; the lamp carries it out and answers.'
control "publish1 $product lamp user/get on"
expect lamp '^command: on'
expect lamp 'acknowledged$' 2

step '4. The connection is cut. The lamp notices, and comes back by itself.'
control "cut $product lamp"
expect lamp '^disconnected'
expect lamp '^connected' 2

step '5. Its subscription has come back with it: the next command arrives.'
hear platform '\bsubscribed .*user/get' 2
control "publish1 $product lamp user/get off"
expect lamp '^command: off'
expect lamp 'acknowledged$' 3

step '6. A last command: the lamp answers, unsubscribes and says goodbye.'
control "publish1 $product lamp user/get goodbye"
expect lamp '^lamp released'
expect lamp '^goodbye'
expect_success lamp "$lamp"

step '7. A thermometer (telemetry.c) reports ten readings, and is cut off on the way.'
export ALIOT_DEVICE_NAME=thermometer ALIOT_DEVICE_SECRET=thermometer-secret
start thermometer "$programs/telemetry" 10 200
thermometer=$pid
expect thermometer '^connected'
control "cut $product thermometer"
expect thermometer '^disconnected'
expect thermometer '^connected' 2
expect thermometer '^10 readings acknowledged, 0 lost'
expect_success thermometer "$thermometer"

printf '\nAll seven steps happened: signed in, answered, cut off twice, nothing lost.\n'
