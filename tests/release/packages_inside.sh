#!/bin/sh
# SPDX-License-Identifier: MIT
# packages_inside, in a bare Debian: the packages beside this script are installed, used and removed; nothing is left behind.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ "$here" = /packages ] || { echo "packages_inside: purges packages; tests/nightly/packages.sh runs it where that is meant" >&2; exit 2; }
cd "$(mktemp -d)" || exit 1
failed=0
fail() { echo "FAIL: $1"; failed=1; }
install() { apt-get install -y -qq --no-install-recommends "$@" >log 2>&1 || { tail -5 log; exit 1; }; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || exit 1
install man-db bash-completion gcc libc6-dev cmake make pkg-config
# every file but those of the kernel, of apt, dpkg and man themselves, of what runs, and of this test; /etc/*- are
# copies of passwd and its like, /etc/hosts is netbase's, which comes with Open MPI and leaves it
list() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/log -o -path /var/lib/apt -o -path /var/lib/dpkg \
        -o -path /var/cache/apt -o -path /var/cache/debconf -o -path /var/cache/man -o -path /run -o -path '/etc/*-' -o -path /etc/hosts -o -path "$here" \) -prune -o -print | sort
}
names() { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sort; }
names >names_before
list >before

# python3-guided brings the library alone: its own numbers, no models
install "$here"/python3-guided_*.deb "$here"/libguided0_*.deb
cd /
version=$(dpkg-query -W -f '${source:Upstream-Version}' libguided0)
python3 -c "import guided; assert guided.version() == '$version'" ||
    fail "the module without the command"
cd - >/dev/null || exit 1
install "$here"/*.deb

# the command, its models, its documents
guided sample --class "ankle boot" -n 2 --steps ddim2 --seed 1 -q -o boots.npz || fail "guided sample"
guided sample --class "ankle boot" -n 2 --steps ddim2 --seed 1 -q -o boots.png || fail "guided sample to a picture"
guided info boots.png | grep -q "guided sample" || fail "guided info"
guided models | grep -q emoji || fail "guided models"
for verb in sample serve train; do
    man -P cat guided-$verb 2>&1 | grep -q "^ENVIRONMENT" || fail "manual page of $verb"
done
man -P cat guided | grep -q "sample" || fail "manual page"
bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader guided; complete -p guided' | grep -q guided || fail "completion"
for file in zsh/site-functions/_guided fish/vendor_completions.d/guided.fish doc/guided/docs/sampling.md doc/guided/docs/garments.png doc/guided/README.md doc/libguided-dev/examples/train.c; do
    [ -s "/usr/share/$file" ] || fail "no $file"
done
for package in guided guided-data guided-mpi libguided0 libguided-dev python3-guided; do
    [ -s "/usr/share/doc/$package/copyright" ] && [ -s "/usr/share/doc/$package/changelog.Debian.gz" ] || fail "$package has no licence or changelog"
    dpkg --verify "$package" | grep . && fail "$package: files differ from its sums"
done

# what is loaded at run time: a hint without it, work with it
guided serve --port 18080 --state served 2>serve.txt && fail "guided serve without its library"
grep -q "Debian: libmicrohttpd12" serve.txt || fail "guided serve without its library: $(cat serve.txt)"
apt-get install -y -qq --no-install-recommends libmicrohttpd12 libopenblas0 openmpi-bin >log 2>&1 || { tail -5 log; fail "what is recommended"; }
guided serve --port 18080 --state served >serve.txt 2>&1 &
server=$!
cat >page.py <<'PY'
import time, urllib.request
for _ in range(100):
    try:
        page = urllib.request.urlopen("http://127.0.0.1:18080/").read()
        break
    except OSError:
        time.sleep(0.1)
assert b"<html" in page.lower() or b"<!doctype html" in page.lower(), page[:200]
PY
python3 page.py || fail "the page: $(cat serve.txt)"
kill $server && wait $server
guided sample --class 0,1,2 -n 24 --steps ddim2 --seed 2 -q -o a.npz && guided sample --class 0,1,2 -n 24 --steps ddim2 --seed 3 -q -o b.npz &&
    guided eval --ref a.npz --samples b.npz --metrics fid --features /usr/share/guided/models/fashion32/classifier.safetensors >eval.txt 2>&1
grep -qi "fid" eval.txt || fail "guided eval: $(cat eval.txt)"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
mpiexec -n 2 guided train --data a.npz --preset small32 --batch-size 2 --iterations 1 --seed 1 --out run >mpi.txt 2>&1 || fail "two ranks: $(cat mpi.txt)"

# the Python module: the command's pixels, with the installed models
cat >same.py <<'PY'
import guided, numpy
m = guided.models()[0]
model, classifier = guided.open(m["model"]), guided.open(m["classifier"])
assert m["model"].startswith("/usr/share/guided/"), m
pixels = model.sample(2, "ankle boot", steps="ddim2", seed=1, classifier=classifier)
assert (pixels == numpy.load("boots.npz")["arr_0"]).all()
PY
python3 same.py || fail "the Python module"

# programs: by pkg-config, shared and static, and by CMake
# shellcheck disable=SC2046
cc "$here/sample.c" $(pkg-config --cflags --libs guided) -o shared || fail "a program by pkg-config"
# shellcheck disable=SC2046
cc "$here/sample.c" /usr/lib/*/libguided.a $(pkg-config --static --libs guided | sed 's/-lguided//') -o static || fail "a program with the static library"
mkdir project
printf 'cmake_minimum_required(VERSION 3.20)\nproject(p C)\nfind_package(guided %s REQUIRED)\nadd_executable(p %s)\ntarget_link_libraries(p guided::guided)\n' \
    "${version%.*}" "$here/sample.c" >project/CMakeLists.txt
cmake -S project -B project/build >log 2>&1 && cmake --build project/build >>log 2>&1 || { cat log; fail "a program by CMake"; }
models=/usr/share/guided/models/fashion32
for program in shared static project/build/p; do
    "./$program" $models/diffusion.safetensors $models/classifier.safetensors >"$program.ppm" 2>log || { cat log; fail "$program"; }
    cmp -s "$program.ppm" shared.ppm || fail "$program makes other pixels"
done
readelf -d shared | grep -q 'NEEDED.*libguided\.so\.0' || fail "another soname"

# gone without a trace: of guided's packages first, then of all that came with them
apt-get purge -y -qq guided guided-data guided-mpi libguided0 libguided-dev python3-guided >log 2>&1 || { tail -5 log; fail "removal"; }
list | grep -i guided && fail "left behind"
names >names_after
# shellcheck disable=SC2046
apt-get purge -y -qq $(comm -13 names_before names_after | awk '{ print $NF }') >log 2>&1 || { tail -5 log; fail "removal of dependencies"; }
list >after
diff before after | grep '^[<>]' >left
[ ! -s left ] || { cat left; fail "other files than before"; }
[ $failed = 0 ] && . /etc/os-release && echo "packages: installed, used and removed on $PRETTY_NAME"
exit $failed
