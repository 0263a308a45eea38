#!/usr/bin/env bash
# Runs every fuzz target for a while; fails on any crash, and leaves the input that caused it in fuzz/artifacts.
#
#   scripts/fuzz.sh [SECONDS PER TARGET, default 30] [TARGET...]
#
# fuzz/seeds/TARGET is checked in. What a run finds beyond it is kept in fuzz/corpus/TARGET, which is not.
# A crash becomes a seed (or a unit test) together with its fix.
# The pinned toolchain is used, told to accept the unstable flags that cargo-fuzz needs: no nightly has to be there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTC_BOOTSTRAP=1

seconds=${1:-30}
shift || true
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "installing cargo-fuzz"
  cargo install --quiet --locked cargo-fuzz --version 0.13.2
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(cargo fuzz list)
fi
if [ ${#targets[@]} -eq 0 ]; then
  echo "FAILED: no fuzz target found" >&2
  exit 1
fi

# A run of seconds is not worth the minutes that optimisation takes, nor those that AddressSanitizer does, which watches
# unsafe code: our own has next to none.
profile=()
if [ "$seconds" -lt 60 ]; then profile=(--dev --sanitizer none); fi

# Built at once, so that the time below is spent on fuzzing.
cargo fuzz build "${profile[@]}"
failed=()
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
  log=$(mktemp)
  # Inputs up to 16 KiB: twice the longest request head.
  if cargo fuzz run "${profile[@]}" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 >"$log" 2>&1; then
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz: $target: ${executed:-0} executions in $seconds s, no crash"
  else
    cat "$log" >&2
    failed+=("$target")
  fi
  rm -f "$log"
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "FAILED: ${failed[*]}; the inputs are in fuzz/artifacts" >&2
  exit 1
fi
