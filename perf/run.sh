#!/bin/bash
# Runs the figures of Tutti against the floor, in a private network namespace, and writes
# perf/REPORT.md (machine-readable figures stay in perf/out).
#
#   perf/run.sh                 the whole matrix, about 7 minutes
#   perf/run.sh burst join      only these; the report keeps what earlier runs left in perf/out
#
# Scenarios: process idle notes100 notes1000 saturate100 saturate50x20 cursors burst join shards syscalls
#
# Environment:
#   TUTTI        the server binary (default: target/release/tutti, built here); "none" runs the floor alone
#   SERVER_CPU   the server's core (default 0)      LOAD_CPU   the load tool's core (default 1)
#   IDLE_STEPS   where `idle` reads memory (default 10000,18000)
#
# Needs root (for `unshare -n`), two cores and a descriptor limit above the largest idle step. Nothing else
# should run on the machine: every figure says how long server and load side waited for their core.
set -euo pipefail
cd "$(dirname "$0")/.."

ALL="process idle notes100 notes1000 saturate100 saturate50x20 cursors burst join shards syscalls"
BIN=target/release
OUT=perf/out
PORT=9801
SERVER_CPU=${SERVER_CPU:-0}
LOAD_CPU=${LOAD_CPU:-1}
IDLE_STEPS=${IDLE_STEPS:-10000,18000}
ALLOWED=/proc/sys/net/ipv4/tcp_allowed_congestion_control

if [ "${1:-}" != --inside ]; then
    for scenario in "$@"; do
        [[ " $ALL " == *" $scenario "* ]] || { echo "no scenario $scenario; there are: $ALL" >&2; exit 2; }
    done
    packages=(-p tutti-perf)
    if [ -z "${TUTTI:-}" ]; then
        packages+=(-p tutti)
        TUTTI=$BIN/tutti
    fi
    echo "building"
    cargo build --release --quiet "${packages[@]}"
    # A namespace may only choose among the host's allowed algorithms; put the list back afterwards.
    allowed=$(cat $ALLOWED)
    if [[ " $allowed " != *" cubic "* ]]; then
        trap 'echo "$allowed" > $ALLOWED' EXIT
        echo "$allowed cubic" > $ALLOWED
    fi
    TUTTI=$TUTTI unshare -n "$0" --inside "$@"
    exit
fi
shift

ip link set lo up
# /proc/sys/net shows the namespace of the process that reads it: nothing of the host changes here.
echo cubic > /proc/sys/net/ipv4/tcp_congestion_control
echo "1024 65000" > /proc/sys/net/ipv4/ip_local_port_range
ulimit -n "$(ulimit -Hn)"
mkdir -p $OUT
SERVER_PID=
trap 'stop_server' EXIT

# start_server NAME: floor-send, floor-batch, tutti (one shard), tutti-2 (two shards on one core), or
# tutti-2-cores (two shards on two cores).
start_server() {
    local serve=(serve --listen "127.0.0.1:$PORT" --limits off --admin off --data memory)
    case $1 in
        floor-*) COMMAND=("$BIN/floor" --listen "127.0.0.1:$PORT" --mode "${1#floor-}") ;;
        tutti) COMMAND=("$TUTTI" "${serve[@]}" --shards 1 --cpus "$SERVER_CPU") ;;
        tutti-2) COMMAND=("$TUTTI" "${serve[@]}" --shards 2 --cpus "$SERVER_CPU") ;;
        tutti-2-cores) COMMAND=("$TUTTI" "${serve[@]}" --shards 2 --cpus "$SERVER_CPU,$LOAD_CPU") ;;
    esac
    local cpus=$SERVER_CPU
    [ "$1" != tutti-2-cores ] || cpus=$SERVER_CPU,$LOAD_CPU
    taskset -c "$cpus" "${COMMAND[@]}" > "$OUT/$1.log" 2>&1 &
    SERVER_PID=$!
}

stop_server() {
    [ -n "$SERVER_PID" ] || return 0
    # A server that is still saying goodbye after a second is not waited for.
    kill "$SERVER_PID" 2> /dev/null || true
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$SERVER_PID" 2> /dev/null || break
        sleep 0.1
    done
    kill -9 "$SERVER_PID" 2> /dev/null || true
    wait "$SERVER_PID" 2> /dev/null || true
    SERVER_PID=
    PORT=$((PORT + 1))
}

# measure SCENARIO SERVER CPUS LOAD-ARGUMENTS...: one figure, from a fresh server.
measure() {
    local scenario=$1 server=$2 cpus=$3
    shift 3
    if [[ $server == tutti* && $TUTTI == none ]]; then return; fi
    echo "[$((SECONDS / 60)):$(printf %02d $((SECONDS % 60)))] $scenario on $server: load $*"
    start_server "$server"
    rm -f "$OUT/$scenario.$server.json"
    if taskset -c "$cpus" "$BIN/load" --url "ws://127.0.0.1:$PORT/" --pid "$SERVER_PID" --json "$@" \
        > "$OUT/figure.json"; then
        mv "$OUT/figure.json" "$OUT/$scenario.$server.json"
        {
            echo "${COMMAND[*]/"$TUTTI"/tutti}" | sed "s|$BIN/||"
            echo "load --url ws://127.0.0.1:$PORT/ --pid PID $*"
        } > "$OUT/$scenario.$server.command"
    else
        echo "  failed; the server's last words:"
        tail -n 5 "$OUT/$server.log" | sed 's/^/    /'
    fi
    rm -f "$OUT/figure.json"
    stop_server
}

# on_all SCENARIO LOAD-ARGUMENTS...: both floors and the server with one shard.
on_all() {
    local scenario=$1 server
    shift
    for server in floor-send floor-batch tutti; do
        measure "$scenario" "$server" "$LOAD_CPU" "$@"
    done
}

# System calls of the server while notes flow: their number by perf (cheap), their kinds by strace (slow,
# so at a fifth of the rate).
count_system_calls() {
    local server=$1
    if [[ $server == tutti* && $TUTTI == none ]]; then return; fi
    local load=(taskset -c "$LOAD_CPU" "$BIN/load" --url "ws://127.0.0.1:$PORT/" --json)
    echo "[$((SECONDS / 60)):$(printf %02d $((SECONDS % 60)))] syscalls on $server"
    start_server "$server"
    if command -v perf > /dev/null; then
        "${load[@]}" notes --senders 10 --rate 20 --seconds 6 > "$OUT/figure.json" &
        local load_pid=$!
        sleep 3
        perf stat -x, -e raw_syscalls:sys_enter -p "$SERVER_PID" -o "$OUT/syscalls.perf" sleep 3 || true
        if wait "$load_pid"; then
            local calls rate
            calls=$(awk -F, '/sys_enter/ { print $1 }' "$OUT/syscalls.perf")
            rate=$(grep -o '"deliveries_per_s":[0-9.]*' "$OUT/figure.json" | cut -d: -f2)
            echo "{\"scenario\":\"syscalls\",\"system_calls_per_delivery\":$(awk "BEGIN { printf \"%.3f\", ${calls:-0} / 3 / $rate }")}" \
                > "$OUT/syscalls.$server.json"
        fi
    fi
    if command -v strace > /dev/null; then
        "${load[@]}" notes --senders 2 --rate 20 --seconds 5 > /dev/null &
        local load_pid=$!
        sleep 2.5
        timeout -s INT 2 strace -c -f -p "$SERVER_PID" -o "$OUT/syscalls.$server.txt" 2> /dev/null || true
        wait "$load_pid" || true
    fi
    rm -f "$OUT/figure.json" "$OUT/syscalls.perf"
    stop_server
}

run_scenario() {
    case $1 in
        process) measure process tutti-2 "$LOAD_CPU" process ;;
        idle)
            measure idle floor-batch "$LOAD_CPU" idle --connections "$IDLE_STEPS" --seconds 3
            measure idle tutti "$LOAD_CPU" idle --connections "$IDLE_STEPS" --seconds 30
            ;;
        notes100) on_all notes100 notes --members 100 --senders 10 --rate 20 --seconds 5 ;;
        notes1000) on_all notes1000 notes --members 1000 --senders 10 --rate 2 --seconds 5 ;;
        saturate100) on_all saturate100 saturate --members 100 --start 200000 ;;
        saturate50x20)
            local args=(saturate --channels 50 --members 20 --start 400000) server
            for server in floor-batch tutti; do
                measure saturate50x20 $server "$LOAD_CPU" "${args[@]}"
                measure saturate50x20merged $server "$LOAD_CPU" "${args[@]}" --merge
            done
            ;;
        cursors) on_all cursors cursors --members 60 --rate 20 --seconds 4 ;;
        burst) on_all burst burst --members 1000 --broadcasts 100 ;;
        join)
            on_all join join --connections 5000 --per-channel 50
            measure join tutti-2 "$LOAD_CPU" join --connections 5000 --per-channel 50
            ;;
        shards)
            # The load may use both cores both times: only the server's own CPU is compared.
            local args=(notes --channels 50 --members 20 --senders 20 --rate 2 --seconds 5)
            measure shards tutti "$SERVER_CPU,$LOAD_CPU" "${args[@]}"
            measure shards tutti-2-cores "$SERVER_CPU,$LOAD_CPU" "${args[@]}"
            ;;
        syscalls)
            count_system_calls floor-batch
            count_system_calls tutti
            ;;
    esac
}

{
    echo "machine: $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
    echo "kernel: $(uname -sr), loopback in a private network namespace, $(cat /proc/sys/net/ipv4/tcp_congestion_control)"
    echo "commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!perf/REPORT.md' || echo ' with local changes')"
    echo "date: $(date -u +%Y-%m-%d)"
    echo "cores: server $SERVER_CPU, load $LOAD_CPU"
} > $OUT/machine.txt

SECONDS=0
if [ $# -eq 0 ]; then
    rm -f $OUT/*.json $OUT/*.command $OUT/syscalls.*.txt
    # shellcheck disable=SC2086
    set -- $ALL
fi
for scenario in "$@"; do
    run_scenario "$scenario"
done
$BIN/report $OUT perf/REPORT.md
echo "done in $((SECONDS / 60)) min $((SECONDS % 60)) s"
