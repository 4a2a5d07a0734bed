#!/bin/sh
# SPDX-License-Identifier: MIT
# packages: for Debian 12 and 13, or for the releases in PACKAGES_FOR, as root with debootstrap.  In a system with scripts/setup,
# scripts/release makes the same bytes twice and lintian reports nothing but what cmake/debian/lintian-overrides states; in a bare
# system the packages are installed, used and removed (tests/release/packages_inside.sh), and the commands of Containerfile work.
set -u
cd "$GUIDED_SOURCE_DIR" || exit 1
. tests/release/systems.sh
able || { echo "packages: passed over: needs root, git and debootstrap"; exit 0; }
failed=0
fail() { echo "FAIL: $release: $1"; failed=1; }

made_twice() {
    build_system "$release" --package || return 1
    root=$systems/$release-build
    rm -rf "$root/one" "$root/two"
    for folder in one two; do
        quiet "$systems/$release.log" inside "$root" /guided/scripts/release /$folder || return 1
    done
    diff -r "$root/one" "$root/two" || fail "two releases differ"
    inside "$root" sh -c 'exec lintian --allow-root --display-info --pedantic /one/*.deb' >"$systems/$release.lintian"
    [ ! -s "$systems/$release.lintian" ] || { cat "$systems/$release.lintian"; fail "lintian"; }
}

system_with_packages() {
    bare_copy "$release" "$release-use" || return 1
    root=$systems/$release-use
    cp -r "$systems/$release-build/one" "$root/packages"
}

used() {
    system_with_packages || return 1
    cp tests/release/packages_inside.sh examples/sample.c "$root/packages/"
    inside "$root" sh /packages/packages_inside.sh || fail "in the bare system"
    rm -rf "$root"
}

# The Containerfile's second stage, as far as it is one without a container
contained() {
    system_with_packages || return 1
    commands=$(sed -e ':a' -e '/\\$/N; s/\\\n//; ta' Containerfile | sed -n 's/^RUN //p' | tail -1)
    quiet "$systems/$release.log" inside "$root" sh -c "$commands" &&
        inside "$root" guided sample -n 4 --steps ddim2 -q -o /grid.png &&
        [ -s "$root/grid.png" ] && [ ! -e "$root/packages" ] || fail "the commands of Containerfile"
    rm -rf "$root"
}

for release in ${PACKAGES_FOR:-bookworm trixie}; do
    start=$(date +%s)
    made_twice && used && { ! grep -q "^FROM.*debian:$release" Containerfile || contained; } || fail "not finished"
    echo "packages: $release took $(($(date +%s) - start)) s"
done
exit $failed
