#!/bin/sh
# SPDX-License-Identifier: MIT
# package_files TREE PACKAGE VERSION MAINTAINER: completes the tree of one package (package_files.cmake).  SOURCE_DATE_EPOCH is
# the time of everything in it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$1 package=$2 version=$3 maintainer=$4
doc=$tree/usr/share/doc/$package
mkdir -p "$doc"
cp "$here/copyright" "$doc/copyright"
if grep -q "^$package: " "$here/lintian-overrides"; then
    mkdir -p "$tree/usr/share/lintian/overrides"
    grep "^$package: " "$here/lintian-overrides" >"$tree/usr/share/lintian/overrides/$package"
fi
gzip -9nc "$here/../../CHANGELOG.md" >"$doc/changelog.gz"
printf '%s (%s) unstable; urgency=medium\n\n  * CHANGELOG.md has what is new.\n\n -- %s  %s\n' "guided" "$version" "$maintainer" \
    "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9nc >"$doc/changelog.Debian.gz"
rm -f "$doc/CHANGELOG.md" "$doc/LICENSE" # as changelog.gz and copyright
if [ "$package" = libguided-dev ]; then
    mv "$tree/usr/share/doc/guided/examples" "$doc/examples"
    rmdir "$tree/usr/share/doc/guided"
fi
find "$tree" -name '*.1' -exec gzip -9n {} +
find "$tree" -name '*.a' -exec strip --strip-debug -R .comment --enable-deterministic-archives {} +
find "$tree" \( -path '*/bin/*' -o -name '*.so*' \) -type f -exec strip -R .comment -R .note {} +
find "$tree" -type f -exec chmod u=rw,go=r {} +
[ ! -d "$tree/usr/bin" ] || chmod 755 "$tree"/usr/bin/*
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
