#!/usr/bin/env bash
# Runs every test, installing what it lacks; fails when any of them does.
#
#   scripts/test.sh             all steps
#   scripts/test.sh STEP...     only these, in this order
#   scripts/test.sh --list      the steps
#
# It needs Linux with io_uring, Rust as rust-toolchain.toml pins it, and Node.js 20. Where it runs as root on a Debian,
# it installs a C compiler, valgrind, a browser, and what the deployment files are for (nginx, HAProxy, Prometheus,
# systemd) with apt-get if there are none; without them those steps are skipped.
# cargo-deny and cargo-fuzz go into the target folder unless they are on the path.
#
# CARGO_TARGET_DIR    where everything is built (default: target)
# FUZZ_SECONDS        how long each fuzz target runs (default: 5); scripts/fuzz.sh runs them for longer
# CRASH_ROUNDS        how often the server is killed under load in the step `test` (default: 20)
# SIM_SEEDS           seeds of the simulator's own step, beyond those of `test` (default: 1000)
# The last line is `N passed, N failed, N skipped`, counting steps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

readonly cargo_deny_version=0.20.2
readonly cargo_fuzz_version=0.13.2
readonly steps=(fmt clippy doc test instructions sim npm browser quic autobahn deploy fuzz deny advisories)

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
case $CARGO_TARGET_DIR in
  /*) ;;
  *) export CARGO_TARGET_DIR=$root/$CARGO_TARGET_DIR ;;
esac
export PATH="$CARGO_TARGET_DIR/tools/bin:$PATH"
export CARGO_INCREMENTAL=0
# Most tests wait for a server of theirs, so more are run at once than there are cores.
RUST_TEST_THREADS=$(nproc)
if [ "$RUST_TEST_THREADS" -lt 6 ]; then RUST_TEST_THREADS=6; fi
export RUST_TEST_THREADS
# What an operator has set for a server of theirs is not meant for the tests' servers.
unset SALT1 SALT2 NODE_ENV WS_PORT RUST_LOG
for name in $(compgen -e | grep '^TUTTI_' | grep -v '^TUTTI_SEED$' || true); do unset "$name"; done

# --- what may be missing -------------------------------------------------------------------------------------------

updated=
apt_install() {
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
  export DEBIAN_FRONTEND=noninteractive
  if [ -z "$updated" ]; then
    apt-get -qq update || return 1
    updated=yes
  fi
  apt-get -qq install --no-install-recommends --yes "$@" >/dev/null
}

# mimalloc and libFuzzer are C and C++.
need_compiler() {
  if command -v cc >/dev/null && command -v c++ >/dev/null; then return; fi
  echo "installing a C++ compiler"
  apt_install g++ libc6-dev || { echo "there is no C++ compiler (cc, c++); install one" >&2; return 1; }
}

need_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "Node.js 20 with npm has to be installed (https://nodejs.org)" >&2
    return 1
  fi
  local major
  major=$(node --print 'process.versions.node.split(".")[0]')
  if [ "$major" -lt 20 ]; then
    echo "Node.js $(node --version) is too old: 20 is needed" >&2
    return 1
  fi
}

find_browser() {
  local candidate
  for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

# A tool is built without optimisation: that takes a third of the time, and it runs for seconds.
need_tool() {
  local tool=$1 version=$2
  shift 2
  if command -v "$tool" >/dev/null; then return; fi
  echo "installing $tool $version"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64 \
    cargo install --quiet --locked --root "$CARGO_TARGET_DIR/tools" \
    --target-dir "$CARGO_TARGET_DIR/tools/build" "$@" "$tool" --version "$version"
  rm -rf "$CARGO_TARGET_DIR/tools/build"
}

build_server() {
  need_compiler
  cargo build --quiet --locked -p tutti --bin tutti
  export TUTTI_BIN=$CARGO_TARGET_DIR/debug/tutti
}

# --- the steps -----------------------------------------------------------------------------------------------------
# Each runs in a shell of its own that ends at the first command that fails.
# A step that prints a line beginning with SKIPPED and ends well counts as skipped.

step_fmt() {
  cargo fmt --all --check
  cargo fmt --manifest-path fuzz/Cargo.toml --check
}

step_clippy() {
  need_compiler
  cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
}

step_doc() {
  need_compiler
  RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps
}

# Unit tests, properties, doc examples, the tidy test, the simulator's seeds, and the black-box tests with 1, 2 and 5
# shards against the server that this builds.
step_test() {
  need_compiler
  # What people chat with: their tests are left out where they are not there.
  for program in nc telnet; do
    if ! command -v "$program" >/dev/null; then
      apt_install netcat-openbsd telnet || echo "SKIPPED in part: cannot install nc and telnet"
      break
    fi
  done
  cargo test --quiet --locked --workspace --no-fail-fast
}

# Counts the instructions of the hot paths against benches/instructions.toml.
step_instructions() {
  need_compiler
  if ! command -v valgrind >/dev/null; then
    echo "installing valgrind"
    if ! apt_install valgrind; then
      echo "SKIPPED: there is no valgrind, and it cannot be installed"
      return
    fi
  fi
  cargo bench --quiet --locked -p tutti --bench instructions
}

step_sim() {
  if ! [ -x scripts/sim ]; then
    echo "SKIPPED: there is no scripts/sim"
    return
  fi
  # Not those that `test` runs.
  scripts/sim --from 1000000 --seeds "${SIM_SEEDS:-1000}"
}

step_npm() {
  need_node
  build_server
  cd tests/npm
  npm ci --no-audit --no-fund --loglevel=error
  node --test
}

step_browser() {
  if ! [ -d tests/browser ]; then
    echo "SKIPPED: there is no tests/browser"
    return
  fi
  need_node
  if ! CHROMIUM=$(find_browser); then
    echo "installing chromium"
    if ! apt_install chromium || ! CHROMIUM=$(find_browser); then
      echo "SKIPPED: there is no Chromium, and it cannot be installed"
      return
    fi
  fi
  export CHROMIUM
  build_server
  cd tests/browser
  npm ci --no-audit --no-fund --loglevel=error
  npm test --silent
}

# The QUIC door with an independent client: statements of the protocol page, bad networks, and tutti-chat.
step_quic() {
  local venv="$CARGO_TARGET_DIR/quic-venv"
  if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import aioquic' 2>/dev/null; then
    echo "installing aioquic"
    if ! python3 -c 'import ensurepip' 2>/dev/null; then apt_install python3 python3-venv; fi
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/quic/requirements.txt
  fi
  build_server
  cargo build --quiet --locked -p tutti-chat
  export TUTTI_CHAT_BIN=$CARGO_TARGET_DIR/debug/tutti-chat
  if command -v nc >/dev/null; then
    python3 scripts/one-room >/dev/null
  else
    echo "SKIPPED: scripts/one-room needs nc"
  fi
  cd tests/quic
  PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" run.py
}

step_autobahn() {
  tests/autobahn/run.sh
}

# The files in deploy/ with the programs that they are for, `tutti tune` on real settings, and the units under a real
# systemd: in a network namespace with addresses for the clients, and what changes more in namespaces of its own.
step_deploy() {
  need_node
  local package missing=()
  for package in nginx haproxy prometheus systemd ethtool openssl iproute2 python3-seccomp; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    # They are only run by the tests; none is started as a service.
    RUNLEVEL=1 apt_install "${missing[@]}" || echo "SKIPPED in part: cannot install ${missing[*]}"
  fi
  if ! unshare --net --mount true 2>/dev/null; then
    echo "SKIPPED: namespaces cannot be made here"
    return
  fi
  build_server
  cargo test --quiet --locked -p tutti-tests --test deploy --test blackbox --no-run
  unshare --net sh -euc '
    ip link set lo up
    ip address add 192.0.2.7/32 dev lo
    ip address add 192.0.2.8/32 dev lo
    DEPLOY_TESTS=1 cargo test --quiet --offline --locked -p tutti-tests --test deploy -- --nocapture'
  under_seccomp
}

# The server under the profile for containers: it is fit, it serves, and without io_uring it says what refuses it.
under_seccomp() {
  local filter="$root/tests/deploy/under_seccomp.py" profile="$root/deploy/docker/seccomp.json" dir status
  if ! /usr/bin/python3 -c 'import seccomp' 2>/dev/null; then
    echo "SKIPPED: there is no python3-seccomp"
    return
  fi
  for refused in "mount -t tmpfs none /mnt" "unshare --user true" "unshare --net true"; do
    # shellcheck disable=SC2086
    if /usr/bin/python3 "$filter" "$profile" /usr/bin/$refused 2>/dev/null; then
      echo "the profile lets through: $refused" >&2
      return 1
    fi
  done
  status=0
  /usr/bin/python3 "$filter" --without io_uring_setup "$profile" "$TUTTI_BIN" check >/dev/null || status=$?
  [ "$status" -eq 2 ] || { echo "without io_uring \`tutti check\` ends with $status" >&2; return 1; }
  dir=$(mktemp -d)
  printf '#!/bin/sh\nexec /usr/bin/python3 "%s" "%s" "%s" "$@"\n' "$filter" "$profile" "$TUTTI_BIN" >"$dir/tutti"
  chmod +x "$dir/tutti"
  status=0
  # What is skipped is about milliseconds between two signals and says nothing of system calls.
  TUTTI_BIN="$dir/tutti" cargo test --quiet --locked -p tutti-tests --test blackbox -- \
    --skip a_second_signal process:: pages:: handover:: chat:: service:: || status=$?
  rm -rf "$dir"
  return "$status"
}

step_fuzz() {
  need_compiler
  need_tool cargo-fuzz "$cargo_fuzz_version"
  scripts/fuzz.sh "${FUZZ_SECONDS:-5}"
}

# Licences, sources and banned crates.
step_deny() {
  need_compiler
  need_tool cargo-deny "$cargo_deny_version"
  cargo deny --workspace --locked check --hide-inclusion-graph licenses sources bans
}

# Known faults of crates. The database is a git repository elsewhere.
step_advisories() {
  need_compiler
  need_tool cargo-deny "$cargo_deny_version"
  local log
  log=$(mktemp)
  if ! timeout 120 cargo deny --locked fetch db >"$log" 2>&1; then
    tail -n 2 "$log"
    rm -f "$log"
    echo "SKIPPED: the advisory database cannot be reached"
    return
  fi
  rm -f "$log"
  cargo deny --workspace --locked check --disable-fetch advisories
}

# --- running them --------------------------------------------------------------------------------------------------

if [ "${1:-}" = --list ]; then
  printf '%s\n' "${steps[@]}"
  exit 0
fi
chosen=("$@")
if [ ${#chosen[@]} -eq 0 ]; then chosen=("${steps[@]}"); fi
for step in "${chosen[@]}"; do
  if ! declare -F "step_$step" >/dev/null; then
    echo "there is no step \`$step\`; these are: ${steps[*]}" >&2
    exit 2
  fi
done

exec </dev/null
begin=$SECONDS
clock() { printf '%d:%02d' $((($1) / 60)) $((($1) % 60)); }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=()
skipped=()
for step in "${chosen[@]}"; do
  started=$SECONDS
  echo "== $step, $(clock $((SECONDS - begin))) after the start"
  set +e
  (
    set -euo pipefail
    "step_$step"
  ) 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  set -e
  took=$(clock $((SECONDS - started)))
  if [ "$status" -ne 0 ]; then
    failed+=("$step")
    echo "== $step FAILED after $took"
  elif grep -q '^SKIPPED' "$log"; then
    skipped+=("$step")
    echo "== $step SKIPPED after $took"
  else
    passed=$((passed + 1))
    echo "== $step passed in $took"
  fi
done
echo "all steps took $(clock $((SECONDS - begin)))"
if [ ${#skipped[@]} -gt 0 ]; then echo "skipped: ${skipped[*]}"; fi
if [ ${#failed[@]} -gt 0 ]; then echo "failed: ${failed[*]}"; fi
echo "$passed passed, ${#failed[@]} failed, ${#skipped[@]} skipped"
[ ${#failed[@]} -eq 0 ]
