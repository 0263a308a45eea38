#!/bin/bash
# Measures Tutti against the floor and the peers, in a private network namespace, and writes perf/REPORT.md,
# perf/SCALING.md and the plots in perf/plots. Results stay in perf/out, one JSON file of tutti-loadgen a run.
#
#   perf/run.sh                  the whole matrix, about half an hour
#   perf/run.sh joins cursors    only these; the reports keep what earlier runs left in perf/out
#   perf/run.sh --report         only the reports, from what is in perf/out
#
# Rows: idle notes100 notes1000 spread cursors joins saturate100 saturate50x20 members channels shards mixed syscalls
#       tcp-chat tcp-idle storage quic-handshakes quic-room quic-flood quic-idle
#
# Environment:
#   TUTTI        the server binary (default: target/release/tutti, built here); "none" leaves it out
#   PEERS        peers of perf/peers/peers.toml by name, with spaces between (default: all); "none" leaves them out
#   SERVER_CPU   the server's core (default 0)      LOAD_CPU   the load side's core (default 1)
#
# Needs root (for `unshare -n`), two cores, and descriptors for the largest idle row (20,000). Nothing else should run
# on the machine: every figure says how long server and load side waited for their core.
set -euo pipefail
cd "$(dirname "$0")/.."

ALL="idle notes100 notes1000 spread cursors joins saturate100 saturate50x20 members channels shards mixed syscalls
tcp-chat tcp-idle storage quic-handshakes quic-room quic-flood quic-idle"
ALL=${ALL//$'\n'/ }
BIN=${CARGO_TARGET_DIR:-target}/release
OUT=perf/out
PORT=9801
SERVER_CPU=${SERVER_CPU:-0}
LOAD_CPU=${LOAD_CPU:-1}
ALLOWED=/proc/sys/net/ipv4/tcp_allowed_congestion_control

report() {
    "$BIN/report" $OUT perf
}

if [ "${1:-}" != --inside ]; then
    for row in "$@"; do
        [[ " $ALL --report " == *" $row "* ]] || { echo "there is no row $row; there are: $ALL" >&2; exit 2; }
    done
    packages=(-p tutti-perf -p tutti-loadgen)
    if [ -z "${TUTTI:-}" ]; then
        packages+=(-p tutti)
        TUTTI=$BIN/tutti
    fi
    echo "building"
    cargo build --release --quiet --locked "${packages[@]}"
    if [ "${1:-}" = --report ]; then
        report
        exit
    fi
    PEERS=${PEERS:-$("$BIN/report" --peers | cut -f1 | tr '\n' ' ')}
    [ "$PEERS" != none ] || PEERS=
    for peer in $PEERS; do
        build=$("$BIN/report" --peers | awk -F'\t' -v name="$peer" '$1 == name { print $2 }')
        [ -n "$build" ] || { echo "there is no peer $peer in perf/peers/peers.toml" >&2; exit 2; }
        sh -c "$build" > /dev/null || { echo "the peer $peer cannot be built (PEERS=none leaves peers out): $build" >&2; exit 1; }
    done
    speaking() {
        "$BIN/report" --peers | awk -F'\t' -v names=" $PEERS " -v speaks="$1" \
            '$4 == speaks && index(names, " " $1 " ") { printf "%s ", $1 }'
    }
    QUIC_PEERS=$(speaking quic)
    PEERS=$(speaking mpp)
    # A namespace may only choose among the host's allowed algorithms; put the list back afterwards.
    allowed=$(cat $ALLOWED)
    if [[ " $allowed " != *" cubic "* ]]; then
        trap 'echo "$allowed" > $ALLOWED' EXIT
        echo "$allowed cubic" > $ALLOWED
    fi
    TUTTI=$TUTTI PEERS=$PEERS QUIC_PEERS=$QUIC_PEERS unshare -n "$0" --inside "$@"
    exit
fi
shift

ip link set lo up
# /proc/sys/net shows the namespace of the process that reads it: nothing of the host changes here.
echo cubic > /proc/sys/net/ipv4/tcp_congestion_control
echo "1024 65000" > /proc/sys/net/ipv4/ip_local_port_range
ulimit -n "$(ulimit -Hn)"
mkdir -p $OUT perf/plots
SERVER_PID=
# The data folder of a server that keeps one: fresh for each, and on a disk.
DATA=$OUT/data
FAILED=()
trap 'stop_server' EXIT

# What is spoken to servers (ws, tcp for the line chat, or quic), settings of Tutti as environment variables, and its limits (off or default); a row may set them.
WIRE=ws
SETTINGS=
LIMITS=off

# start_server NAME: floor-send, floor-batch, tutti (one shard), tutti-data (the same with a data folder), tutti-2 (two
# shards on one core), tutti-2-cores (two shards on two cores), or a peer.
start_server() {
    local doors="--listen 127.0.0.1:$PORT --quic off" lines="" cpus=$SERVER_CPU
    if [ $WIRE = tcp ]; then
        doors="--listen 127.0.0.1:$((PORT + 1000)) --tcp 127.0.0.1:$PORT --quic off" lines=--lines
    elif [ $WIRE = quic ]; then
        doors="--listen 127.0.0.1:$((PORT + 1000)) --quic 127.0.0.1:$PORT"
    fi
    local tutti="exec env $SETTINGS $TUTTI serve $doors --limits $LIMITS --admin ${ADMIN:-off}"
    case $1 in
        floor-*) COMMAND="exec $BIN/floor --listen 127.0.0.1:$PORT --mode ${1#floor-} $lines" ;;
        tutti-data) COMMAND="$tutti --data $DATA --shards 1 --cpus $SERVER_CPU" ;;
        tutti) COMMAND="$tutti --data memory --shards 1 --cpus $SERVER_CPU" ;;
        tutti-2) COMMAND="$tutti --data memory --shards 2 --cpus $SERVER_CPU" ;;
        tutti-2-cores) COMMAND="$tutti --data memory --shards 2 --cpus $SERVER_CPU,$LOAD_CPU" cpus=$SERVER_CPU,$LOAD_CPU ;;
        *)
            COMMAND="exec $("$BIN/report" --peers | awk -F'\t' -v name="$1" '$1 == name { print $3 }')"
            COMMAND=${COMMAND//\{port\}/$PORT}
            COMMAND=${COMMAND//\{cpu\}/$SERVER_CPU}
            ;;
    esac
    taskset -c "$cpus" sh -c "$COMMAND" > "$OUT/$1.log" 2>&1 &
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
    rm -rf "$DATA"
}

say() {
    echo "[$((SECONDS / 60)):$(printf %02d $((SECONDS % 60)))] $*"
}

# measure ROW SERVER CPUS LOAD-ARGUMENTS...: one run, against a fresh server.
measure() {
    local row=$1 server=$2 cpus=$3
    shift 3
    if [[ $server == tutti* && $TUTTI == none ]]; then return; fi
    say "$row on $server: tutti-loadgen $*"
    start_server "$server"
    rm -f "$OUT/$row.$server.json"
    local status=0
    "$BIN/tutti-loadgen" "$@" --quiet --url "$WIRE://127.0.0.1:$PORT/" --pid "$SERVER_PID" --cpus "$cpus" --name "$server" \
        --json "$OUT/$row.$server.json" > "$OUT/$row.$server.txt" 2>&1 || status=$?
    if [ $status -ne 0 ]; then
        FAILED+=("$row.$server")
        tail -n 3 "$OUT/$row.$server.txt" | sed 's/^/    /'
        echo "    the server's last words:"
        tail -n 3 "$OUT/$server.log" | sed 's/^/    /'
    fi
    stop_server
}

# on SERVERS ROW LOAD-ARGUMENTS...
on() {
    local servers=$1 row=$2 server
    shift 2
    for server in $servers; do measure "$row" "$server" "$LOAD_CPU" "$@"; done
}

# System calls of the server while notes flow: their number by perf (cheap), their kinds by strace (slow, so at a fifth
# of the rate). Both are left out where they are not installed.
count_system_calls() {
    local server=$1 pid
    if [[ $server == tutti* && $TUTTI == none ]]; then return; fi
    say "syscalls on $server"
    start_server "$server"
    local load=("$BIN/tutti-loadgen" canonical --quiet --url "ws://127.0.0.1:$PORT/" --cpus "$LOAD_CPU" --name "$server")
    if command -v perf > /dev/null; then
        "${load[@]}" --seconds 6 --json "$OUT/syscalls.$server.json" > /dev/null &
        pid=$!
        sleep 3
        perf stat -x, -e raw_syscalls:sys_enter -p "$SERVER_PID" -o "$OUT/syscalls.perf" sleep 3 > /dev/null 2>&1 || true
        wait $pid || true
        awk -F, '/sys_enter/ { print $1 / 3 }' "$OUT/syscalls.perf" > "$OUT/syscalls.$server.per_s"
    fi
    if command -v strace > /dev/null; then
        "${load[@]}" --senders 2 --seconds 5 > /dev/null &
        pid=$!
        sleep 2.5
        timeout -s INT 2 strace -c -f -p "$SERVER_PID" -o "$OUT/syscalls.$server.kinds" > /dev/null 2>&1 || true
        wait $pid || true
    fi
    rm -f "$OUT/syscalls.perf"
    stop_server
}

# Calls of the server that sent or received datagrams, for each message that it sent, in the middle of a run at 50,000
# deliveries a second; by its own counters. Left out where there is no curl.
count_datagram_calls() {
    if [[ $TUTTI == none ]] || ! command -v curl > /dev/null; then return; fi
    local admin=127.0.0.1:$((PORT + 2000)) pid
    counters() {
        curl -s "http://$admin/metrics" | awk '
            /^tutti_quic_(send|receive)_calls_total/ { calls += $2 }
            /^tutti_messages_sent_total/ { messages += $2 }
            END { print calls, messages }'
    }
    say "datagram calls on tutti"
    WIRE=quic ADMIN=$admin start_server tutti
    "$BIN/tutti-loadgen" quic-room --rate 20 --seconds 8 --quiet --url "quic://127.0.0.1:$PORT/" --cpus "$LOAD_CPU" \
        > "$OUT/quic-calls.txt" &
    pid=$!
    sleep 4
    { counters; sleep 4; counters; } | awk 'NR == 1 { calls = $1; messages = $2 }
        NR == 2 && $2 > messages { print ($1 - calls) / ($2 - messages) }' > "$OUT/quic-calls.per_message"
    wait $pid || FAILED+=(quic-calls)
    stop_server
}

# The same row with storage and without, by turns, so that what else the machine does meets both alike.
compare_storage() {
    local n
    for n in 1 2 3 4 5; do
        measure "storage-$n" tutti "$LOAD_CPU" canonical --seconds 6
        measure "storage-$n" tutti-data "$LOAD_CPU" canonical --seconds 6
    done
    # Ten thousand people of as many addresses: in production mode each is a user that is looked up and kept.
    SETTINGS="TUTTI_MODE=production TUTTI_TRUSTED_PROXIES=127.0.0.0/8" on "tutti tutti-data" storage-hi joins \
        --members 100 --forwarded-for
}

# The conditions under which a rate counts as held.
HOLDS="p99<50ms,lost=0,repeated=0,reordered=0"
FLOORS="floor-send floor-batch"

run_row() {
    local n
    case $1 in
        idle)
            on tutti-2 process idle --members 1 --channels 1 --set 'memory_at=[]' --seconds 0.5
            on "floor-batch tutti $PEERS" idle idle --set 'memory_at=[500,1000,2000,5000,10000]' \
                --set arrivals_per_s=4000 --seconds 5
            on "tutti" idle30s idle --set arrivals_per_s=4000 --seconds 30
            on "floor-batch tutti" idle18000 idle --channels 360 --set 'memory_at=[1000,2000,5000,10000,14000,18000]' \
                --set arrivals_per_s=4000 --seconds 3
            ;;
        notes100) on "$FLOORS tutti tutti-2 $PEERS" notes100 canonical --seconds 6 ;;
        notes1000) on "$FLOORS tutti $PEERS" notes1000 canonical --members 1000 --rate 2 --seconds 6 ;;
        spread)
            on "$FLOORS tutti $PEERS" spread canonical --members 1000 --senders 1 --rate 10 --set probes=1.0 \
                --set turn_us=0 --seconds 6
            ;;
        cursors) on "$FLOORS tutti $PEERS" cursors cursors --seconds 5 ;;
        joins) on "$FLOORS tutti tutti-2 $PEERS" joins joins ;;
        saturate100)
            on "floor-batch tutti bun" saturate100 saturate --seconds 2 --rate 100 --find-max "$HOLDS"
            on "floor-send tokio node" saturate100 saturate --seconds 2 --rate 10 --find-max "$HOLDS"
            ;;
        saturate50x20)
            on "floor-batch tutti bun" saturate50x20 saturate --channels 50 --members 20 --seconds 2 --rate 100 \
                --find-max "$HOLDS"
            on "tokio node" saturate50x20 saturate --channels 50 --members 20 --seconds 2 --rate 2 --find-max "$HOLDS"
            ;;
        members)
            for n in 10 30 100 300 1000 3000 10000; do
                on "floor-send tutti bun" "members-$n" canonical --members $n --senders 5 --seconds 4 \
                    --rate "$(awk "BEGIN { printf \"%.3f\", 4000 / ($n - 1) }")"
            done
            ;;
        channels)
            for n in 10 100 1000 10000; do
                on tutti "channels-$n" perf/curves/directory.toml --set "crowd.channels=$n"
            done
            ;;
        shards)
            # The load may use both cores both times: only the server's own CPU is compared.
            measure shards tutti "$SERVER_CPU,$LOAD_CPU" fanout --senders 20 --rate 2 --seconds 6
            measure shards tutti-2-cores "$SERVER_CPU,$LOAD_CPU" fanout --senders 20 --rate 2 --seconds 6
            ;;
        mixed) on "tutti" mixed mixed ;;
        tcp-chat) WIRE=tcp on "$FLOORS tutti tutti-2" tcp-chat tcp-chat ;;
        tcp-idle)
            WIRE=tcp on "floor-batch tutti" tcp-idle tcp-idle --set arrivals_per_s=2000 --seconds 5
            WIRE=tcp on "$FLOORS tutti tutti-2" tcp-joins tcp-joins
            ;;
        storage) compare_storage ;;
        # With the limits on: without them all who log in meet in one lobby, and everybody is told of everybody.
        quic-handshakes)
            LIMITS=default SETTINGS=TUTTI_QUIC_CONNECTIONS_PER_ADDRESS=unlimited WIRE=quic \
                on "tutti $QUIC_PEERS" quic-handshakes quic-handshakes
            ;;
        quic-room)
            WIRE=quic on "tutti $QUIC_PEERS" quic-room quic-room
            WIRE=quic on "tutti $QUIC_PEERS" quic-most quic-room --rate 20 --seconds 2 --find-max "$HOLDS"
            count_datagram_calls
            ;;
        quic-flood)
            WIRE=quic on tutti quic-alone quic-flood --set flooders.abuse.rate=0.01
            WIRE=quic on tutti quic-flood quic-flood
            ;;
        quic-idle) WIRE=quic on "tutti $QUIC_PEERS" quic-idle quic-idle --seconds 5 ;;
        syscalls)
            count_system_calls floor-send
            count_system_calls tutti
            ;;
    esac
}

{
    echo "machine: $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
    echo "kernel: $(uname -sr), loopback in a private network namespace, $(cat /proc/sys/net/ipv4/tcp_congestion_control)"
    echo "commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!perf' || echo ' with local changes')"
    echo "date: $(date -u +%Y-%m-%d)"
    echo "cores: server $SERVER_CPU, load $LOAD_CPU"
} > $OUT/machine.txt

SECONDS=0
if [ $# -eq 0 ]; then
    find $OUT -maxdepth 1 -type f ! -name machine.txt ! -name 'flame-*' -delete
    # shellcheck disable=SC2086
    set -- $ALL
fi
for row in "$@"; do
    run_row "$row"
done
report
say "done"
[ ${#FAILED[@]} -eq 0 ] || { echo "these runs failed: ${FAILED[*]}"; exit 1; }
