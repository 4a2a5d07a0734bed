# SPDX-License-Identifier: MIT
# Debian's releases as systems of their own, in build-systems: for tests/nightly/packages.sh and scripts/matrix, which source this as root
# with debootstrap, at the top of the repository.  Each function fails by its status, with the last lines of what failed.
systems=$PWD/build-systems
mkdir -p "$systems"

able() { [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null && command -v git >/dev/null; }

# inside ROOT COMMAND...: /proc is there as long as the command runs
inside() {
    # shellcheck disable=SC2016
    unshare --mount sh -c 'mount -t proc proc "$1/proc"; root=$1; shift; exec chroot "$root" env -i HOME=/root LC_ALL=C.UTF-8 \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' sh "$@"
}

quiet() { # LOG COMMAND...
    quiet_log=$1
    shift
    "$@" >"$quiet_log" 2>&1 || { tail -20 "$quiet_log"; return 1; }
}

# bare_copy RELEASE NAME: a new copy of what debootstrap makes, as build-systems/NAME; the first one is kept as build-systems/RELEASE
bare_copy() {
    [ -e "$systems/$1/complete" ] || {
        rm -rf "${systems:?}/$1"
        quiet "$systems/$1.log" debootstrap --variant=minbase "$1" "$systems/$1" && : >"$systems/$1/complete" || return 1
    }
    rm -rf "${systems:?}/$2"
    cp -a "$systems/$1" "$systems/$2" && rm "$systems/$2/complete" && cp /etc/resolv.conf "$systems/$2/etc/resolv.conf" || return 1
    echo force-unsafe-io >"$systems/$2/etc/dpkg/dpkg.cfg.d/fast" # a system that is thrown away
}

# build_system RELEASE SETUP...: build-systems/RELEASE-build with scripts/setup SETUP for each, and a clone of the last commit as /guided
build_system() {
    release=$1
    shift
    root=$systems/$release-build
    [ -d "$root" ] || { bare_copy "$release" "$release-build" && quiet "$systems/$release.log" inside "$root" apt-get update -qq; } || return 1
    rm -rf "$root/guided"
    git clone -q --depth 1 "file://$PWD" "$root/guided" || return 1
    for kind; do
        quiet "$systems/$release.log" inside "$root" /guided/scripts/setup "$kind" || return 1
    done
}
