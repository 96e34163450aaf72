#!/usr/bin/env bash
# Runs every fuzz target for a while, one after another, and fails on a finding. Usage: fuzz/run.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz is missing: cargo install cargo-fuzz" >&2
    exit 2
fi
if ! rustup toolchain list | grep -q '^nightly'; then
    echo "a nightly compiler is missing: rustup toolchain install nightly" >&2
    exit 2
fi

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
cargo +nightly fuzz build

failed=()
for target in "${targets[@]}"; do
    echo "=== $target, $seconds s"
    mkdir -p "fuzz/corpus-work/$target"
    # What is found goes to corpus-work, which is not committed; seeds stay as they are.
    cargo +nightly fuzz run "$target" "fuzz/corpus-work/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0 \
        || failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "findings in: ${failed[*]}; the inputs lie in fuzz/artifacts/" >&2
    exit 1
fi
echo "no findings in ${#targets[@]} targets, $seconds s each"
