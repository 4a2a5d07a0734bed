#!/bin/sh
# packages_inside, in a bare Debian: the packages beside this script are installed, used and removed; nothing is left behind.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$(mktemp -d)" || exit 1
failed=0
fail() { echo "FAIL: $1"; failed=1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || exit 1
apt-get install -y -qq --no-install-recommends man-db bash-completion gcc libc6-dev cmake make pkg-config >log 2>&1 || { tail -5 log; exit 1; }
rm -f /etc/dpkg/dpkg.cfg.d/*excludes* # containers leave manual pages out
list() { find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/cache -o -path /var/lib -o -path /var/log -o -path "$here" \) -prune -o -print | sort; }
dpkg-query -W -f '${Package}\n' | sort >packages_before
list >before
apt-get install -y -qq --no-install-recommends "$here"/guided_*.deb "$here"/guided-data_*.deb "$here"/libguided0_*.deb "$here"/libguided-dev_*.deb \
    "$here"/guided-mpi_*.deb >log 2>&1 || { tail -5 log; exit 1; }

# the command, its models, its page, its completion; the module of MPI where it belongs
guided sample --class "ankle boot" -n 2 --steps ddim2 --seed 1 -q -o boots.png || fail "guided sample"
guided info boots.png | grep -q "guided sample" || fail "guided info"
guided models | grep -q emoji || fail "guided models"
man -P cat guided-sample | grep -q -- --steps || fail "manual page"
bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader guided; complete -p guided' | grep -q guided || fail "completion"
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PMI_SIZE=2 guided train --data nowhere --preset small32 --batch-size 4 --out none 2>mpi.txt
grep -q "each would be alone" mpi.txt || fail "the module of MPI: $(cat mpi.txt)"
[ -s /usr/share/doc/guided/docs/sampling.md ] && [ -s /usr/share/doc/libguided0/copyright ] || fail "documentation"

# programs: by pkg-config, shared and static, and by CMake
# shellcheck disable=SC2046
cc "$here/sample.c" $(pkg-config --cflags --libs guided) -o shared || fail "a program by pkg-config"
# shellcheck disable=SC2046
cc "$here/sample.c" /usr/lib/*/libguided.a $(pkg-config --static --libs guided | sed 's/-lguided//') -o static || fail "a program with the static library"
mkdir project
printf 'cmake_minimum_required(VERSION 3.20)\nproject(p C)\nfind_package(guided 0.2 REQUIRED)\nadd_executable(p %s)\ntarget_link_libraries(p guided::guided)\n' \
    "$here/sample.c" >project/CMakeLists.txt
cmake -S project -B project/build >log 2>&1 && cmake --build project/build >>log 2>&1 || { cat log; fail "a program by CMake"; }
for program in ./shared ./static project/build/p; do
    "$program" /usr/share/guided/models/fashion32/diffusion.safetensors /usr/share/guided/models/fashion32/classifier.safetensors >"$program.ppm" 2>log ||
        { cat log; fail "$program"; }
    cmp -s "$program.ppm" shared.ppm || fail "$program makes other pixels"
done

# gone without a trace
dpkg-query -W -f '${Package}\n' | sort >packages_after
# shellcheck disable=SC2046
apt-get purge -y -qq $(comm -13 packages_before packages_after) >log 2>&1 || { tail -5 log; fail "removal"; }
list >after
diff before after | grep -i guided && fail "left behind"
[ $failed = 0 ] && . /etc/os-release && echo "packages: installed, used and removed on $PRETTY_NAME"
exit $failed
