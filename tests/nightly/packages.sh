#!/bin/sh
# packages: scripts/release twice gives the same bytes; lintian has nothing to say but what docs/packages.md states; then, as root and with
# debootstrap, the packages go into a bare system of this release (kept in build-chroot), work there, and leave nothing behind.
set -u
cd "$GUIDED_SOURCE_DIR" || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
fail() { echo "FAIL: $1"; failed=1; }

scripts/release "$dir/one" >/dev/null && scripts/release "$dir/two" >/dev/null || exit 1
diff -r "$dir/one" "$dir/two" || fail "two releases differ"
lintian --suppress-tags initial-upload-closes-no-bugs "$dir"/one/*.deb 2>"$dir/lintian.err" | grep . && fail "lintian complains"

[ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null || { echo "packages in a bare system: passed over: needs root and debootstrap"; exit $failed; }
. /etc/os-release
root=$PWD/build-chroot
[ -d "$root/var/lib/dpkg" ] || debootstrap --variant=minbase "$VERSION_CODENAME" "$root" >"$dir/debootstrap.log" 2>&1 || { tail -5 "$dir/debootstrap.log"; exit 1; }
cp /etc/resolv.conf "$root/etc/resolv.conf"
rm -rf "$root/packages"
cp -r "$dir/one" "$root/packages"
cp tests/nightly/packages_inside.sh examples/sample.c "$root/packages/"
chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 sh /packages/packages_inside.sh || fail "in the bare system"
exit $failed
