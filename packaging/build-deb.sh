#!/bin/sh
# Makes the Debian package of this machine's architecture: target/debian/commonwork_VERSION_ARCH.deb.
# Needs cargo-deb (cargo install cargo-deb --locked).
set -eu

cd "$(dirname "$0")/.."
# The list of what is packed names files below ./target.
unset CARGO_TARGET_DIR
cargo build --locked --profile dist --bin commonwork
program=target/dist/commonwork
made=target/package
rm -rf "$made"
mkdir -p "$made/man" "$made/completions"
"$program" man "$made/man"
for shell in bash zsh fish; do
    "$program" completions "$shell" >"$made/completions/$shell"
done
gzip -9n "$made"/man/*
cargo deb --locked --no-build --profile dist "$@"
