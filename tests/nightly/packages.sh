#!/bin/sh
# packages: for Debian 12 and 13, or for the releases in PACKAGES_FOR, as root with debootstrap.  In a system with scripts/setup,
# scripts/release makes the same bytes twice and lintian reports nothing but what cmake/debian/lintian-overrides states; in a bare
# system the packages are installed, used and removed (packages_inside.sh), and the commands of Containerfile work.  Bare systems are kept in build-packages.
set -u
cd "$GUIDED_SOURCE_DIR" || exit 1
[ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null || { echo "packages: passed over: needs root and debootstrap"; exit 0; }
roots=$PWD/build-packages
mkdir -p "$roots"
failed=0
fail() { echo "FAIL: $release: $1"; failed=1; }

# inside ROOT COMMAND...: its /proc lives as long as the command
inside() {
    # shellcheck disable=SC2016
    unshare --mount sh -c 'mount -t proc proc "$1/proc"; root=$1; shift; exec chroot "$root" env -i HOME=/root LC_ALL=C.UTF-8 \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' sh "$@"
}

bare() { # the release's own system, made once
    [ -d "$roots/$release/var/lib/dpkg/info" ] && return
    debootstrap --variant=minbase "$release" "$roots/$release" >"$roots/$release.log" 2>&1 || { tail -5 "$roots/$release.log"; return 1; }
}

copy_of_bare() { # NAME
    rm -rf "${roots:?}/$1"
    cp -a "$roots/$release" "$roots/$1" && cp /etc/resolv.conf "$roots/$1/etc/resolv.conf"
}

made_twice() {
    root=$roots/$release-build
    [ -d "$root" ] || { copy_of_bare "$release-build" && inside "$root" apt-get update -qq; } || return 1
    rm -rf "$root/guided" "$root/one" "$root/two"
    git clone -q --depth 1 "file://$PWD" "$root/guided" || return 1
    inside "$root" /guided/scripts/setup --package >"$roots/$release.log" 2>&1 || { tail -5 "$roots/$release.log"; return 1; }
    for folder in one two; do
        inside "$root" /guided/scripts/release /$folder >"$roots/$release.log" || return 1
    done
    diff -r "$root/one" "$root/two" || fail "two releases differ"
    inside "$root" sh -c 'exec lintian --allow-root --display-info --pedantic /one/*.deb' >"$roots/$release.lintian"
    [ ! -s "$roots/$release.lintian" ] || { cat "$roots/$release.lintian"; fail "lintian"; }
}

used() {
    copy_of_bare "$release-use" || return 1
    cp -r "$roots/$release-build/one" "$roots/$release-use/packages"
    cp tests/nightly/packages_inside.sh examples/sample.c "$roots/$release-use/packages/"
    inside "$roots/$release-use" sh /packages/packages_inside.sh || fail "in the bare system"
    rm -rf "$roots/$release-use"
}

# The Containerfile's second stage, as far as it is one without a container
contained() {
    copy_of_bare "$release-use" || return 1
    cp -r "$roots/$release-build/one" "$roots/$release-use/packages"
    commands=$(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' Containerfile | sed -n 's/^RUN //p' | tail -1)
    inside "$roots/$release-use" sh -c "$commands" >"$roots/$release.log" 2>&1 && inside "$roots/$release-use" guided sample -n 4 --steps ddim2 -q -o /grid.png &&
        [ -s "$roots/$release-use/grid.png" ] && [ ! -e "$roots/$release-use/packages" ] || { tail -5 "$roots/$release.log"; fail "the commands of Containerfile"; }
    rm -rf "$roots/$release-use"
}

for release in ${PACKAGES_FOR:-bookworm trixie}; do
    start=$(date +%s)
    bare && made_twice && used && { ! grep -q "^FROM.*debian:$release" Containerfile || contained; } || fail "not finished"
    echo "packages: $release took $(($(date +%s) - start)) s"
done
exit $failed
