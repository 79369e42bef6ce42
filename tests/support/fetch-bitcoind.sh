#!/bin/sh
# Fetches a bitcoind for the tests from Debian, without root and without installing anything.
#
#   tests/support/fetch-bitcoind.sh FOLDER      prints the path of a bitcoind that can be started
#
# Debian has the package bitcoin-knots only in the suite sid. It is downloaded with apt into a private state (own
# lists, cache and an empty dpkg status, so that every library down to libc comes along), checked by apt against
# Debian's own archive keyring, unpacked into FOLDER and started through the libc that came with it: nothing of the
# machine's own libraries is used or changed. Takes some seconds and about 30 MB; a second call does nothing.
set -eu

folder=${1:?"usage: $0 FOLDER"}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    echo "fetch-bitcoind: $*" >&2
    exit 1
}

# The Debian archives that this machine itself uses, one URI a line. Security archives have no sid; a source that
# names another key than Debian's is not Debian.
archives() {
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] && sed -e '/^#/d' -e 's/\r$//' "$file" | awk -v RS= '
            tolower($0) ~ /(^|\n)enabled:[ \t]*no/ { next }
            /Signed-By:/ && !/debian-archive/ { next }
            { n = split($0, line, "\n")
              for (i = 1; i <= n; i++) if (sub(/^URIs:[ \t]*/, "", line[i])) print line[i] }'
    done | tr ' \t' '\n\n'
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] && sed -n 's/\r$//; /^deb[ \t]/p' "$file" | awk '
            /signed-by=/ && !/debian-archive/ { next }
            { sub(/^deb[ \t]+(\[[^]]*\][ \t]+)?/, ""); print $1 }'
    done
    true
}

private_apt() {
    apt-get -qq \
        -o Dir::State="$work/state" -o Dir::State::lists="$work/state/lists" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work/cache" -o Dir::Log="$work/log" \
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=false -o APT::Default-Release= \
        -o Acquire::Languages=none -o Acquire::Retries=3 -o Debug::NoLocking=true \
        "$@" >&2
}

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
exec 9>"$folder/lock"
flock 9

if [ ! -x "$folder/ready/bitcoind" ]; then
    for tool in apt-get dpkg-deb awk sed; do
        command -v $tool >/dev/null || fail "$tool is missing: this works on Debian only"
    done
    [ -r $keyring ] || fail "$keyring is missing: install the package debian-archive-keyring"
    uris=$(archives | grep -E '/debian/?$|^mirror\+file:.*debian\.list$' | sort -u | tr '\n' ' ')
    [ -n "$uris" ] || fail "no Debian archive is named in /etc/apt/sources.list or /etc/apt/sources.list.d"

    work=$folder/work
    rm -rf "$work" "$folder/ready"
    mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/log" "$work/sources" "$work/ready/root"
    : >"$work/status"
    printf 'Types: deb\nURIs: %s\nSuites: sid\nComponents: main\nSigned-By: %s\n' "$uris" $keyring \
        >"$work/sources/debian.sources"

    private_apt update || fail "apt-get update failed for the suite sid of $uris"
    private_apt -y --download-only install bitcoin-knots || fail "apt-get could not download bitcoin-knots"
    for package in "$work"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$work/ready/root"
    done

    cd "$work/ready/root"
    loader=$(find . -name 'ld-linux*.so.*' | sed -n '1s|^\./||p')
    program=$(find . -path '*/bin/bitcoind' | sed -n '1s|^\./||p')
    [ -n "$loader" ] && [ -n "$program" ] || fail "the packages hold no bitcoind or no dynamic loader"
    libraries=$(find . -type f -name 'lib*.so.*' -printf '%h\n' | sort -u | sed 's|^\.|$here/root|' | tr '\n' ':')
    # exec: the process that is started is bitcoind itself, and can be signalled as such.
    cat >"$work/ready/bitcoind" <<END
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
exec "\$here/root/$loader" --library-path "${libraries%:}" "\$here/root/$program" "\$@"
END
    chmod +x "$work/ready/bitcoind"
    "$work/ready/bitcoind" -version >&2 || fail "the downloaded bitcoind does not start"
    # The rename is last: a folder named ready is complete, whenever this script was interrupted.
    mv "$work/ready" "$folder/ready"
    rm -rf "$work"
fi

echo "$folder/ready/bitcoind"
