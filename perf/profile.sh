#!/bin/bash
# Draws a flame graph of the server under a scenario: perf/out/flame-SCENARIO.svg, to be opened in a browser.
#
#   perf/profile.sh canonical
#   perf/profile.sh saturate --rate 2000     what follows the scenario goes to tutti-loadgen
#
# The samples stay in perf/out/flame-SCENARIO.data (`perf report -i ...`), the folded stacks in .folded.
#
# Environment:
#   SERVER       another server's start command, run as `exec`, with {port}; the default is tutti with one shard,
#                built here with frame pointers. The [[peer]] entries of perf/peers/peers.toml are such commands
#   SERVER_CPU   the server's core (default 0)      LOAD_CPU   the load tool's core (default 1)
#   FREQUENCY    samples a second of CPU time (default 1999)
#
# Needs root and two cores. Installs perf with apt-get, and the tools that draw into the target folder, when they
# are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly INFERNO_VERSION=0.12.8
TARGET=${CARGO_TARGET_DIR:-target}
export PATH="$TARGET/tools/bin:$PATH"
OUT=perf/out
PORT=9791
SERVER_CPU=${SERVER_CPU:-0}
LOAD_CPU=${LOAD_CPU:-1}
FREQUENCY=${FREQUENCY:-1999}

fail() {
    echo "profile: $*" >&2
    exit 1
}

# Which event to sample: cycles where the machine counts them, else a timer. Fails when it has neither.
choose_event() {
    local event said
    for event in cycles cpu-clock; do
        said=$(LC_ALL=C perf stat -x, -e $event true 2>&1 || true)
        if [[ $said != *"not supported"* && $said == *",$event"* ]]; then
            echo $event
            return
        fi
    done
    fail "this machine gives no perf events; what perf says:
$said
A container needs CAP_PERFMON (or CAP_SYS_ADMIN) and a seccomp profile that allows perf_event_open."
}

if [ "${1:-}" != --inside ]; then
    [[ ${1:-} =~ ^[a-z0-9-]+$ ]] || { sed -n '2,5p' "$0" >&2; exit 2; }
    [ "$(id -u)" -eq 0 ] || fail "needs root, for a network namespace of its own and for the kernel's part of the stacks"
    if ! command -v perf > /dev/null; then
        echo "installing linux-perf"
        { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y linux-perf > /dev/null; } \
            || fail "there is no perf, and apt-get cannot install linux-perf; install the perf of your distribution"
    fi
    EVENT=$(choose_event)
    [ "$EVENT" = cycles ] || echo "no hardware counters here: sampling by $EVENT"
    if ! command -v inferno-flamegraph > /dev/null; then
        echo "installing inferno $INFERNO_VERSION"
        cargo install --quiet --locked --root "$TARGET/tools" --target-dir "$TARGET/tools/build-inferno" inferno --version $INFERNO_VERSION
        rm -rf "$TARGET/tools/build-inferno"
    fi
    echo "building"
    cargo build --release --quiet --locked -p tutti-loadgen
    if [ -z "${SERVER:-}" ]; then
        # A folder of its own: other flags would throw away what the usual build has compiled.
        RUSTFLAGS="-C force-frame-pointers=yes" CFLAGS="-fno-omit-frame-pointer" \
            cargo build --release --quiet --locked -p tutti --target-dir "$TARGET/profile"
        SERVER="$TARGET/profile/release/tutti serve --listen 127.0.0.1:{port} --limits off --admin off --quic off --data memory --shards 1 --cpus $SERVER_CPU"
    fi
    SERVER=$SERVER EVENT=$EVENT exec unshare -n "$0" --inside "$@"
fi
shift
SCENARIO=$1
shift

ip link set lo up
# Pacing, which the default of some machines does, would be in the picture.
[[ $(cat /proc/sys/net/ipv4/tcp_allowed_congestion_control) != *cubic* ]] \
    || echo cubic > /proc/sys/net/ipv4/tcp_congestion_control
echo "1024 65000" > /proc/sys/net/ipv4/ip_local_port_range
ulimit -n "$(ulimit -Hn)"
mkdir -p $OUT
FLAME=$OUT/flame-$SCENARIO

taskset -c "$SERVER_CPU" sh -c "exec ${SERVER//\{port\}/$PORT}" > "$FLAME.log" 2>&1 &
PID=$!
trap 'kill $PID 2> /dev/null || true; wait $PID 2> /dev/null || true' EXIT
for _ in {1..100}; do
    if (: < "/dev/tcp/127.0.0.1/$PORT") 2> /dev/null; then break; fi
    kill -0 $PID 2> /dev/null || fail "the server ended; its last words: $(tail -n 5 "$FLAME.log")"
    sleep 0.1
done


LOAD=("$TARGET/release/tutti-loadgen" "$SCENARIO" --url "ws://127.0.0.1:$PORT/" --pid "$PID" --cpus "$LOAD_CPU" "$@")


# perf samples the server for as long as the load runs.
perf record --quiet --event "$EVENT" --freq "$FREQUENCY" --call-graph fp --pid $PID --output "$FLAME.data" \
    -- "${LOAD[@]}" || fail "the run failed; the server's last words: $(tail -n 5 "$FLAME.log")"

# Without --no-inline perf starts one addr2line a frame, which takes minutes.
perf script --no-inline --input "$FLAME.data" 2> /dev/null | inferno-collapse-perf > "$FLAME.folded"
[ -s "$FLAME.folded" ] || fail "the server used no CPU time that $EVENT saw; nothing to draw"
# A sample weighs what passed since the last one: cycles, or nanoseconds of the timer.
[ "$EVENT" = cycles ] && unit=cycles || unit=ns
inferno-flamegraph --title "$(basename "${SERVER%% *}"): $SCENARIO $*" --subtitle "$EVENT, $FREQUENCY samples a second" \
    --countname $unit --colors rust < "$FLAME.folded" > "$FLAME.svg"
echo "$FLAME.svg is drawn"
