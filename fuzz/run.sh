#!/usr/bin/env bash
# Fuzzes every decoder of what strangers send: ten minutes each, or as many seconds as the first argument says; further
# arguments name the targets. Needs a nightly compiler and cargo-fuzz (`cargo install cargo-fuzz`).
# Without a sanitizer: the project forbids unsafe code, so that panics, overflows, hangs and memory are what there is to find,
# and both the build and the runs are some times faster.
# New inputs go to target/fuzz-corpus, so that the corpora in the tree stay small; a finding stays in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-600}"
[ $# -gt 0 ] && shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cd fuzz/fuzz_targets && ls -- *.rs | sed 's/\.rs$//')
fi
for target in "${targets[@]}"; do
    printf '\n== %s, %s s\n' "$target" "$seconds"
    grown="target/fuzz-corpus/$target"
    mkdir -p "$grown"
    cargo +nightly fuzz run --sanitizer none "$target" "$grown" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=262144 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
