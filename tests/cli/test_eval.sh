#!/bin/sh
# SPDX-License-Identifier: MIT
# guided eval: a set beside itself is perfect, the same report for any thread count, bad input is named.
set -u
. "$(dirname "$0")/expect.sh"
said="out.txt err.txt"
f=$GUIDED_MODELS/fashion32/classifier.safetensors
"$g" sample --model fashion32 -n 30 --class 0-9 --steps ddim2 --seed 3 -q -o a.npz || exit 1
"$g" sample --model fashion32 -n 20 --class 0-9 --steps ddim3 --seed 4 -q -o b.npz || exit 1
"$g" sample --model fashion32 -n 3 --class 0-9 --steps ddim2 --seed 4 -q -o few.npz || exit 1
"$g" sample --model "$GUIDED_MODELS/fashion32/base8.safetensors" -n 8 --steps ddim2 -q -o small.npz || exit 1

expect 0 '"precision":1.0' "$g" eval --ref a.npz --samples a.npz --features "$f" --json
grep -q '"recall":1.0' out.txt || fail "a set does not recall itself: $(cat out.txt)"
awk -F'"fid":' '{ split($2, v, ","); exit !(v[1] < 1e-6 && v[1] > -1e-6) }' out.txt || fail "a set is far from itself: $(cat out.txt)"
expect 0 "the FID is biased" "$g" eval --ref a.npz --samples b.npz --features "$f" --json
cp out.txt two.txt
expect 0 "" "$g" eval --ref a.npz --samples b.npz --features "$f" --json -t 1
cmp -s out.txt two.txt || fail "one thread reports otherwise"
expect 0 "Precision" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics pr
grep -q FID out.txt && fail "a metric that was not asked for"
expect 1 "above 0" "$g" eval --ref a.npz --samples b.npz --features "$f" --fail-above fid=0
expect 0 "" "$g" eval --ref a.npz --samples small.npz --features "$f" --pad
expect 3 "hint: --pad" "$g" eval --ref a.npz --samples small.npz --features "$f"
expect 3 "needs 4 or more" "$g" eval --ref a.npz --samples few.npz --features "$f"
expect 3 "no classifier" "$g" eval --ref a.npz --samples b.npz --features "$GUIDED_MODELS/fashion32/base8.safetensors"
expect 2 "--features" "$g" eval --ref a.npz --samples b.npz --grey
expect 2 "two sets" "$g" eval --ref a.npz
expect 2 "--metrics best" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics best
expect 2 "--fail-above" "$g" eval --ref a.npz --samples b.npz --features "$f" --fail-above is=3
expect 3 "No such file" "$g" eval --ref none --samples b.npz --features "$f"

# Other names of arrays, and arrays of no use; a stray .npz beside pictures is no set
/usr/bin/python3 - <<'EOF' || exit 1
import zipfile
with zipfile.ZipFile("a.npz") as a, zipfile.ZipFile("names.npz", "w") as b:
    for new, old in (("samples", "arr_0"), ("y", "arr_1"), ("notes", "arr_1")):
        b.writestr(new + ".npy", a.read(old + ".npy"))
EOF
expect 0 "names.npz: has no arr_0; the images are samples" "$g" eval --ref a.npz --samples names.npz --features "$f" --per-class
grep -q "names.npz: has no arr_1; labels are y" err.txt || fail "labels of another name: $(cat err.txt)"
[ "$(grep -c "names.npz: not used: notes" err.txt)" = 1 ] || fail "an array that is not used: $(cat err.txt)"
"$g" eval --ref b.npz --samples a.npz --features "$f" --json -q | sed 's/"samples":"[^"]*"//' >one.txt
"$g" eval --ref b.npz --samples names.npz --features "$f" --json -q 2>/dev/null | sed 's/"samples":"[^"]*"//' >many.txt
cmp -s one.txt many.txt || fail "other names, another report: $(cat one.txt many.txt)"
# Labels of any integer type
"$g" eval --ref a.npz --samples a.npz --features "$f" --metrics fid --per-class --json -q | sed 's/"samples":"[^"]*"//' >one.txt
grep -q '"classes"' one.txt || fail "no classes: $(cat one.txt)"
for type in '|i1' '|u1' '<i2' '<u2' '<i4' '<u4' '<i8' '<u8' '>i4' '>u2'; do
    /usr/bin/python3 - "$type" <<'EOF' || exit 1
import sys, zipfile
type = sys.argv[1]
header = ("{'descr': '%s', 'fortran_order': False, 'shape': (30,), }" % type).ljust(117) + "\n"
data = b"".join((i % 10).to_bytes(int(type[2]), "big" if type[0] == ">" else "little") for i in range(30))
with zipfile.ZipFile("a.npz") as a, zipfile.ZipFile("wide.npz", "w") as b:
    b.writestr("arr_0.npy", a.read("arr_0.npy"))
    b.writestr("arr_1.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data)
EOF
    "$g" eval --ref a.npz --samples wide.npz --features "$f" --metrics fid --per-class --json -q | sed 's/"samples":"[^"]*"//' >many.txt
    cmp -s one.txt many.txt || fail "labels of type $type: $(cat many.txt)"
done

"$g" sample --model fashion32 -n 20 --class 0-9 --steps ddim3 --seed 4 -q -o stray || exit 1
"$g" eval --ref a.npz --samples stray --features "$f" --json -q | sed 's/"samples":"[^"]*"//' >one.txt
cp a.npz stray/samples_30x32x32x1.npz
expect 0 "1 file passed over, no picture by name: .npz" "$g" eval --ref a.npz --samples stray --features "$f"
"$g" eval --ref a.npz --samples stray --features "$f" --json -q 2>/dev/null | sed 's/"samples":"[^"]*"//' >many.txt
cmp -s one.txt many.txt || fail "an .npz beside pictures counts: $(cat one.txt many.txt)"

# Memorisation beside images that were not trained on
"$g" sample --model fashion32 -n 30 --class 0-9 --steps ddim2 --seed 9 -q -o held.npz || exit 1
memorised() { "$g" eval --ref b.npz --samples a.npz --features "$f" --metrics memorization --json -q "$@" || fail "memorization $*"; }
memorised --held-out held.npz -t 1 --batch 3 >one.txt
memorised --held-out held.npz -t 2 --cache held >many.txt
grep -q '"held_out_nearer":.*"held_out":"held.npz","held_out_images":30' one.txt && cmp -s one.txt many.txt || fail "held-out images: $(cat one.txt many.txt)"
memorised --held-out b.npz >out.txt
grep -q '"held_out_nearer":0.0,"held_out_ratio":1.0' out.txt || fail "a held-out set that is the reference: $(cat out.txt)"
expect 0 "nearer to a reference image than to a held-out one" "$g" eval --ref a.npz --samples a.npz --features "$f" --metrics memorization --held-out held.npz
expect 2 "only --metrics memorization" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics fid --held-out held.npz
expect 2 "only a comparison" "$g" eval stats a.npz --features "$f" -o x.npz --held-out held.npz
expect 3 "none.npz" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics memorization --held-out none.npz

# One report whatever the shards, the containers, the batch: only the names of the files differ.
values() { sed 's/"reference":"[^"]*"//; s/"samples":"[^"]*"//; s/"reference_statistics":"[^"]*"//; s/"reference_features":[0-9]*//'; }
all="--metrics is,fid,pr,kid,dc"
"$g" sample --model fashion32 -n 12 --class 0-9 --steps ddim2 --seed 3 -q -o s0.npz || exit 1
mkdir shards && cp s0.npz shards/0.npz && "$g" sample --model fashion32 -n 18 --first 12 --class 0-9 --steps ddim2 --seed 3 -q -o shards/1.npz || exit 1
"$g" sample --model fashion32 -n 30 --class 0-9 --steps ddim2 --seed 3 -q -o pictures || exit 1
# shellcheck disable=SC2086
"$g" eval --ref b.npz --samples a.npz --features "$f" $all --json -q >one.txt || fail "eval of one file"
for samples in s0.npz,shards/1.npz shards pictures; do
    for run in "-t 1 --batch 1" "-t 2 --batch 7" "-t 3 --batch 64"; do
        # shellcheck disable=SC2086
        "$g" eval --ref b.npz --samples $samples --features "$f" $all $run --json -q >many.txt || fail "eval of $samples"
        [ "$(values <one.txt)" = "$(values <many.txt)" ] || fail "$samples, $run: $(cat one.txt many.txt)"
    done
done
# ... nor by which of its variants a system has OpenBLAS, and whatever threads they would take
for blas in /usr/lib/*/openblas-*/libopenblas.so.0; do
    [ -e "$blas" ] || continue
    # shellcheck disable=SC2086
    for threads in 1 3; do
        LD_LIBRARY_PATH=${blas%/*} OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=4 "$g" eval --ref b.npz --samples a.npz --features "$f" $all \
            --json -q >many.txt || fail "eval with $blas"
        cmp -s one.txt many.txt || fail "$blas, $threads threads: $(cat one.txt many.txt)"
    done
done
"$g" eval b.npz a.npz --features "$f" --metrics is,fid,pr,kid,dc --json words.json -q >/dev/null || fail "the authors' words"
cmp -s words.json one.txt || fail "words: $(cat words.json)"
expect 2 "words.json exists already" "$g" eval b.npz a.npz --features "$f" --json words.json
expect 0 "FID" "$g" eval b.npz a.npz --features "$f" --json words.json --overwrite

# The cache: no image is seen twice, and a killed run goes on from where it was.
cached() { "$g" eval --ref b.npz --samples a.npz --features "$f" --metrics is,fid,pr,kid,dc --cache cache --json -q "$@"; }
cached >cached.txt || fail "eval with a cache"
cmp -s cached.txt one.txt || fail "a cache changes the report: $(cat cached.txt)"
[ "$(find cache -type f | wc -l)" = 2 ] && [ "$(find cache -name '*.rows' | wc -l)" = 0 ] || fail "cache: $(ls cache)"
cached >cached.txt && cmp -s cached.txt one.txt || fail "read from the cache"
for file in cache/*.safetensors; do # killed in one set, then in the other
    rows=cache2/${file##*/}
    rows=${rows%.safetensors}.rows
    rm -rf cache2
    "$g" eval --ref b.npz --samples a.npz --features "$f" --cache cache2 --batch 1 -q >/dev/null 2>&1 &
    pid=$!
    wait_for [ -s "$rows" ]
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    "$g" eval --ref b.npz --samples a.npz --features "$f" --metrics is,fid,pr,kid,dc --cache cache2 --json -q >again.txt || fail "eval after a kill"
    cmp -s again.txt one.txt || fail "a killed run goes on to another report: $(cat again.txt)"
    cmp -s "$file" "cache2/${file##*/}" || fail "$file: other rows after a kill"
done

# Statistics: the same FID as of the images themselves, nothing overwritten, no network where none is needed.
expect 0 "30 images, 10 of them kept" "$g" eval stats a.npz --features "$f" -o stats.npz --images 10
expect 2 "exists already" "$g" eval stats a.npz --features "$f" -o stats.npz
"$g" eval --ref a.npz --samples b.npz --features "$f" --metrics fid --json -q | values >one.txt
"$g" eval --ref stats.npz --samples b.npz --features "$f" --metrics fid --json -q | values | sed 's/"reference_images":10/"reference_images":30/' >many.txt
cmp -s one.txt many.txt || fail "stored statistics: $(cat one.txt many.txt)"
"$g" eval stats b.npz --features "$f" -o only.npz --images 0 -q || fail "statistics alone"
expect 3 "statistics and no images" "$g" eval --ref stats.npz --samples only.npz --features "$f"
expect 0 "FID" "$g" eval --ref stats.npz --samples only.npz --features "$f" --metrics fid
expect 3 "statistics of another network" env -u GUIDED_INCEPTION XDG_DATA_HOME="$dir" "$g" eval --ref stats.npz --samples only.npz --metrics fid --grey
expect 3 "holds statistics already" "$g" eval stats stats.npz --features "$f" -o new.npz
expect 2 "no output" "$g" eval stats a.npz --features "$f"

# Which network, which limits, error bars
expect 2 "classify_image_graph_def.pb" env -u GUIDED_INCEPTION XDG_DATA_HOME="$dir" "$g" eval --ref a.npz --samples b.npz --grey
expect 2 "no spatial features" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics sfid
expect 2 "is not among --metrics" "$g" eval --ref a.npz --samples b.npz --features "$f" --fail-above kid=1
expect 1 "kid is" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics fid,kid --fail-above fid=1e9,kid=-5
expect 0 "fid_deviation" "$g" eval --ref a.npz --samples b.npz --features "$f" --bootstrap 5 --json -t 1
cp out.txt one.txt
expect 0 "" "$g" eval --ref a.npz --samples b.npz --features "$f" --bootstrap 5 --json -t 2
cmp -s out.txt one.txt || fail "error bars depend on threads: $(cat one.txt out.txt)"

# FID of the first samples as they come: that of a set of so many, and the last as without anybody who watches
"$g" sample --model fashion32 -n 24 --steps ddim2 --seed 5 -q -o all.npz
"$g" sample --model fashion32 -n 12 --steps ddim2 --seed 5 -q -o half.npz
field() { tr ',{}' '\n\n\n' | sed -n "s/^\"$1\"://p"; }
expect 0 "" "$g" eval --ref a.npz --samples half.npz --features "$f" --metrics fid --bootstrap 5 --json -q
cp out.txt half.txt
expect 0 "" "$g" eval --ref a.npz --samples all.npz --features "$f" --metrics fid --bootstrap 5 --json --progress none
cp out.txt all.txt
for threads in 1 2; do
    expect 0 "" "$g" eval --ref a.npz --samples all.npz --features "$f" --metrics fid --bootstrap 5 --json --progress json --batch $((3 * threads)) -t $threads
    [ "$(field fid <out.txt)" = "$(field fid <all.txt)" ] || fail "a watched FID: $(cat out.txt all.txt)"
    grep '"metric":"fid"' err.txt >parts.txt
    [ "$(field samples <parts.txt | tr '\n' ' ')" = "3 6 12 18 " ] || fail "parts of the samples: $(cat parts.txt)"
    python3 - half.txt parts.txt <<'EOF' || fail "FID of the first half: $(cat half.txt parts.txt)"
import json, sys
whole, part = json.load(open(sys.argv[1])), [json.loads(line) for line in open(sys.argv[2])][2]
sys.exit(abs(part["value"] - whole["fid"]) > 1e-8 * whole["fid"] or abs(part["deviation"] - whole["fid_deviation"]) > 1e-5 * whole["fid_deviation"])
EOF
done

# Beyond the suite: the distance at infinity, memorisation, diversity, classes; the same for any number of threads
more="--metrics fid,fid-inf,memorization,vendi --per-class"
# shellcheck disable=SC2086
expect 0 '"fid_infinity"' "$g" eval --ref a.npz --samples b.npz --features "$f" $more --json -t 1
cp out.txt one.txt
# shellcheck disable=SC2086
expect 0 '"class":9' "$g" eval --ref a.npz --samples b.npz --features "$f" $more --json -t 2 --batch 3
cmp -s out.txt one.txt || fail "depends on threads: $(cat one.txt out.txt)"
expect 0 '"authenticity":0.0' "$g" eval --ref a.npz --samples a.npz --features "$f" --metrics memorization --json
expect 3 "has no labels" "$g" eval --ref a.npz --samples s0.npz,shards/1.npz --features "$f" --per-class

# The card is one file without a request to anybody, beside its JSON; two of them are compared
expect 0 "" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics is,fid,pr,memorization,fid-inf --bootstrap 4 --card b.html
"$g" eval --ref a.npz --samples a.npz --features "$f" --metrics is,fid,pr --bootstrap 4 --card a.html -q >/dev/null || fail "a card"
grep -q "Evaluation card" b.html || fail "b.html: no card"
grep -E -q '(src|href)="?(https?:|//)|@import|url\(' b.html && fail "b.html asks somebody else"
expect 0 "exceeds the error bars" "$g" eval compare a.json b.json
expect 0 '"exceeds":' "$g" eval compare a.json b.json --json
expect 2 "exists already" "$g" eval --ref a.npz --samples b.npz --features "$f" --card b.html
expect 2 "ends in .html" "$g" eval --ref a.npz --samples b.npz --features "$f" --card b
expect 2 "two reports" "$g" eval compare a.json
echo '{"a": 1}' >none.json
expect 3 "no report of guided eval" "$g" eval compare a.json "$dir/none.json"

# A published reference is known by its name and shape; classifiers' features have none
"$g" eval stats b.npz --features "$f" -o VIRTUAL_imagenet64_labeled.npz -q || fail "stats"
"$g" eval --ref VIRTUAL_imagenet64_labeled.npz --samples a.npz --features "$f" --metrics fid --json >out.txt 2>&1 || fail "named as published"
grep -q known_as out.txt && fail "not in these features: $(cat out.txt)"

# Lint: warnings, no refusal
mkdir twice && cp pictures/*.png twice && cp "$(find pictures -name '*.png' | head -1)" twice/copy.png || fail "twice"
expect 0 "0 warnings" "$g" eval lint a.npz --ref b.npz
expect 0 '"code":"duplicates"' "$g" eval lint twice --json
expect 2 "one set" "$g" eval lint
expect 2 "expected one of adm, pytorch-fid" "$g" eval --ref a.npz --samples b.npz --dialect best
expect 2 "is there twice" "$g" eval --ref a.npz --samples b.npz --dialect adm,adm

# Bad input is named, and nothing is written.
echo "no archive" >text.npz
head -c 20000 a.npz >cut.npz
expect 3 "text.npz" "$g" eval --ref a.npz --samples text.npz --features "$f" --json bad.json
expect 3 "cut.npz" "$g" eval --ref a.npz --samples cut.npz --features "$f" --json bad.json
expect 3 "few.npz: 3 images" "$g" eval --ref few.npz --samples b.npz --features "$f" --json bad.json
expect 3 "density (k = 5) needs 6 or more" "$g" eval --ref few.npz --samples b.npz --features "$f" --metrics dc --json bad.json
expect 3 "cut.npz" "$g" eval stats cut.npz --features "$f" -o bad.npz
[ ! -e bad.json ] && [ ! -e bad.npz ] && [ "$(find . -name '*.part-*' | wc -l)" = 0 ] || fail "something was written: $(ls)"
exit $((failures > 0))
