#!/usr/bin/env bash
# Runs autobahntestsuite against examples/ws_echo.rs and compares with expected.json.
#
#   tests/autobahn/run.sh            exit 0: as expected, or SKIPPED; exit 1: differences
#   tests/autobahn/run.sh --update   writes what was seen into expected.json instead
#
# AUTOBAHN_CACHE    where the suite is installed, to be kept (default: a temporary folder, removed at the end)
# AUTOBAHN_REPORTS  where the suite's HTML reports go (default: a temporary folder, removed at the end)
# AUTOBAHN_CASES    the cases, as a JSON list (default: all that do not need compression); a part of the cases
#                   is compared with that part of expected.json
set -euo pipefail

readonly version=25.10.1
readonly cases=${AUTOBAHN_CASES:-'["1.*","2.*","3.*","4.*","5.*","6.*","7.*","9.*","10.*"]'}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

# The suite is Python 2 only. A shim of pyenv may be on the path and still refuse to run, so it is asked.
runs() { "$@" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1; }
python=()
for candidate in python2.7 python2; do
  if runs "$candidate"; then
    python=("$candidate")
    break
  fi
done
if [ ${#python[@]} -eq 0 ] && command -v pyenv >/dev/null; then
  installed=$(pyenv versions --bare | grep -E '^2\.7\.[0-9]+$' | tail -n 1 || true)
  if [ -n "$installed" ] && runs env PYENV_VERSION="$installed" python2.7; then
    python=(env PYENV_VERSION="$installed" python2.7)
  fi
fi
if [ ${#python[@]} -eq 0 ]; then
  echo "SKIPPED: autobahn needs a Python 2.7, and none runs here"
  exit 0
fi

scratch=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
  rm -rf "$scratch"
}
trap cleanup EXIT

# A user base and not a target folder: the namespace package zope does not survive the latter.
PYTHONUSERBASE=${AUTOBAHN_CACHE:-$scratch/python}
export PYTHONUSERBASE
wstest=$PYTHONUSERBASE/bin/wstest
if ! [ -x "$wstest" ] || ! "${python[@]}" "$wstest" --help >/dev/null 2>&1; then
  mkdir -p "$PYTHONUSERBASE"
  if ! "${python[@]}" -m pip install --user --quiet --disable-pip-version-check \
    --no-warn-script-location "autobahntestsuite==$version" >"$scratch/pip" 2>&1; then
    cat "$scratch/pip" >&2
    echo "FAILED: autobahntestsuite $version could not be installed" >&2
    exit 1
  fi
fi

# The dev profile: it is there after the tests, and its overflow checks are on.
cargo build --quiet --manifest-path "$root/Cargo.toml" -p tutti --example ws_echo
target=$(cargo metadata --manifest-path "$root/Cargo.toml" --no-deps --format-version 1 |
  "${python[@]}" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
"$target/debug/examples/ws_echo" 127.0.0.1:0 >"$scratch/server" &
server=$!
for _ in $(seq 100); do
  address=$(sed -n 's/^listening on //p' "$scratch/server")
  if [ -n "$address" ]; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then
    echo "FAILED: ws_echo did not start" >&2
    exit 1
  fi
  sleep 0.1
done
: "${address:?ws_echo named no address within 10 s}"

reports=${AUTOBAHN_REPORTS:-$scratch/reports}
mkdir -p "$reports"
cat >"$scratch/spec.json" <<JSON
{"outdir": "$reports", "servers": [{"agent": "tutti", "url": "ws://$address"}],
 "cases": $cases, "exclude-cases": [], "exclude-agent-cases": {}}
JSON
if ! (cd "$scratch" && timeout 900 "${python[@]}" "$wstest" -m fuzzingclient -s spec.json) \
  >"$scratch/log" 2>&1; then
  tail -n 40 "$scratch/log" >&2
  echo "FAILED: the suite did not finish" >&2
  exit 1
fi
"${python[@]}" "$here/compare.py" "$reports/index.json" "$here/expected.json" "$@" \
  ${AUTOBAHN_CASES:+--part}
