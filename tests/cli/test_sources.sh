#!/bin/sh
# SPDX-License-Identifier: MIT
# What a set of images is, whatever else lies beside the pictures; what its labels are; what the metrics are of. Faults F01, F04 to
# F07, F11, F12 and their relatives: a source that loses is reported, two for one role are refused, labels that are none are not
# trained on.
set -u
. "$(dirname "$0")/expect.sh"

"$g" sample -n 8 --class 0,1 --steps ddim2 --unguided --seed 3 -q -o pool || exit 1
export GUIDED_THREADS=1
train="train --preset small8 --batch-size 2 --iterations 1"
classes_of() { "$g" info "$1" --json | sed 's/.*"classes":\([0-9]*\).*/\1/'; }
zip_of() { # ARCHIVE FOLDER: the folder's contents; with a third word, under the folder's name
    /usr/bin/python3 - "$@" <<'END'
import os, sys, zipfile
root = os.path.dirname(sys.argv[2]) if len(sys.argv) > 3 else sys.argv[2]
with zipfile.ZipFile(sys.argv[1], 'w') as z:
    for folder, _, names in sorted(os.walk(sys.argv[2])):
        for name in sorted(names):
            path = os.path.join(folder, name)
            z.write(path, os.path.relpath(path, root))
END
}
image() { cp "pool/0000$1.png" "$2"; }

# ---- F01: a stray file of statistics beside pictures ----
"$g" init --preset small32_classifier --seed 1 c32.safetensors -q 2>/dev/null || "$g" init --preset small32_classifier --seed 1 c32.safetensors
feature="--features c32.safetensors --metrics fid --json"
mkdir imgs few other && for i in 0 1; do image $i imgs/$i.png; image $i few/$i.png; done && for i in 2 3 4; do image $i other/$i.png; done
expect 0 "" "$g" eval stats other --features c32.safetensors -o ref.npz
fid() { sed 's/.*"fid":\([-0-9.e]*\).*/\1/' out.txt; }
# shellcheck disable=SC2086
expect 0 "" "$g" eval --ref ref.npz --samples few $feature
clean=$(fid)
cp ref.npz imgs/fid_stats.npz
# shellcheck disable=SC2086
expect 0 "fid_stats.npz" "$g" eval --ref ref.npz --samples imgs $feature
[ "$(fid)" = "$clean" ] && [ "$clean" != 0.0 ] || fail "FID with a stray .npz: $(fid), without $clean"
mkdir mixed && cp ref.npz mixed/mu.npz && "$g" sample -n 2 --steps ddim2 -q -o mixed/z.npz
# shellcheck disable=SC2086
expect 3 "holds statistics" "$g" eval --ref ref.npz --samples mixed $feature
printf 'x' >other/data.mdb
expect 3 "other/data.mdb" "$g" eval stats other --features c32.safetensors -o o.npz
rm other/data.mdb

# Equal sets are at distance 0; the Inception Score alone needs neither a second image nor a reference
# shellcheck disable=SC2086
expect 0 "" "$g" eval --ref few --samples few $feature
[ "$(fid)" = 0.0 ] || fail "FID of a set to itself: $(fid)"
expect 0 "" "$g" eval --ref ref.npz --samples other --features c32.safetensors --metrics fid
grep -q "^FID  *0.000000" out.txt || fail "FID of a set to its own statistics: $(cat out.txt)"
expect 0 "" "$g" eval --samples imgs/0.png --features c32.safetensors --metrics is
grep -q "^Inception Score  *1.000000" out.txt || fail "score of one image: $(cat out.txt)"
expect 2 "two sets" "$g" eval --samples few --features c32.safetensors --metrics fid

# ---- F12: sets that begin with black pictures ----
/usr/bin/python3 - <<'END'
import struct, zlib
def png(path, v):
    rows = b''.join(b'\0' + bytes([v] * 96) for _ in range(32))
    chunk = lambda k, d: struct.pack('>I', len(d)) + k + d + struct.pack('>I', zlib.crc32(k + d))
    open(path, 'wb').write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 32, 32, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))
import os
os.mkdir('slices'); os.mkdir('black'); os.mkdir('cast')
for i in range(70): png('slices/%03d.png' % i, 0 if i < 66 else 40 * (i - 65))
for i in range(3): png('black/%d.png' % i, 0); png('cast/%d.png' % i, i % 2)
END
# shellcheck disable=SC2086
expect 0 "black" "$g" eval --ref ref.npz --samples slices $feature
# shellcheck disable=SC2086
expect 0 "black" "$g" eval --ref ref.npz --samples black $feature
# shellcheck disable=SC2086
expect 3 "floats in [0,1]" "$g" eval --ref ref.npz --samples cast $feature

# ---- F04: names that say no class ----
mkdir celeba && for i in 1 2 3 4 5 6 7; do image $i celeba/00000$i.png; done
# shellcheck disable=SC2086
expect 3 "--labels none" "$g" $train --data celeba --out run1
[ -e run1 ] && fail "a run of no classes was begun"
# shellcheck disable=SC2086
expect 3 "give no classes" "$g" $train --data pool --out run1
# shellcheck disable=SC2086
expect 0 "0 classes" "$g" $train --data celeba --labels none --out run1
[ "$(classes_of run1)" = 0 ] || fail "--labels none: $(classes_of run1) classes"
# shellcheck disable=SC2086
expect 0 "0 classes" "$g" $train --data celeba --class_cond False --out run2
# shellcheck disable=SC2086
expect 3 "no labels" "$g" $train --data celeba --labels none --class_cond True --out run3
mkdir one && for i in 1 2 3; do image $i one/img_$i.png; done
# shellcheck disable=SC2086
expect 0 "all 3 pictures have one class, img" "$g" $train --data one --out run3

# ---- F05: dataset.json in a folder as in its zip ----
mkdir -p cifar/00000 cifar/00001 && for i in 0 1 2; do image $i cifar/00000/img$i.png; image $((i + 3)) cifar/00001/img$((i + 3)).png; done
printf '{"labels":[["00000/img0.png",3],["00000/img1.png",1],["00000/img2.png",0],["00001/img3.png",2],["00001/img4.png",3],["00001/img5.png",1]]}' >cifar/dataset.json
zip_of cifar.zip cifar
zip_of wrapped.zip cifar named
for d in cifar cifar.zip wrapped.zip; do
    # shellcheck disable=SC2086
    expect 0 "6 images, 4 classes" "$g" $train --data $d --seed 5 --out run_$d
    [ "$(hash_of run_$d)" = "$(hash_of run_cifar)" ] || fail "$d is another set than the folder"
done
# shellcheck disable=SC2086
expect 0 "dataset.json passed over" "$g" $train --data cifar.zip --labels folder --out run4
"$g" info run4 --classes >out.txt
printf '0\t00000\n1\t00001\n' | cmp -s - out.txt || fail "classes by folder of a zip: $(cat out.txt)"
printf '{"labels":null}' >cifar/dataset.json
# shellcheck disable=SC2086
expect 3 "no labels" "$g" $train --data cifar --out run5

# ---- F06: hidden and system files; what else lies there is reported ----
mkdir -p pets/cat/.ipynb_checkpoints pets/dog pets/.ipynb_checkpoints pets/__MACOSX/cat
for i in 0 1 2; do image $i pets/cat/$i.png; image $((i + 3)) pets/dog/$i.png; done
image 0 pets/.ipynb_checkpoints/0-checkpoint.png && image 0 pets/cat/.ipynb_checkpoints/0-checkpoint.png
printf 'no picture' >pets/cat/._0.png && printf 'x' >pets/__MACOSX/cat/0.png && printf 'x' >pets/Thumbs.db && printf 'x' >pets/cat/Desktop.ini
zip_of pets.zip pets
zip_of named.zip pets named
for d in pets pets.zip named.zip; do
    # shellcheck disable=SC2086
    expect 0 "6 images, 2 classes" "$g" $train --data $d --labels folder --seed 5 --out run_$d
    grep -q "passed over" err.txt && fail "$d: system files are reported: $(cat err.txt)"
    [ "$(hash_of run_$d)" = "$(hash_of run_pets)" ] || fail "$d is another set than the folder"
    expect 0 "" "$g" eval stats $d --features c32.safetensors -o stats_$d.npz
    cmp -s stats_$d.npz stats_pets.npz || fail "$d: other statistics than the folder"
done
printf 'x' >pets/cat/a.svg && printf 'x' >pets/notes.txt && printf 'x' >pets/b.svg
# shellcheck disable=SC2086
expect 0 "3 files passed over, no picture by name: .svg .txt" "$g" $train --data pets --out run6

# ---- Class names are whole paths; --class takes names before numbers (F07) ----
mkdir -p deep/train/cat deep/train/dog && for i in 0 1; do image $i deep/train/cat/$i.png; image $((i + 2)) deep/train/dog/$i.png; done
# shellcheck disable=SC2086
expect 0 "2 classes" "$g" $train --data deep --out run7
"$g" info run7 --classes >out.txt
printf '0\ttrain/cat\n1\ttrain/dog\n' | cmp -s - out.txt || fail "classes: $(cat out.txt)"
expect 0 "" "$g" info run7
grep -q "classes  *2: train/cat, train/dog" out.txt || fail "info: $(cat out.txt)"

for n in 0 1 2 10 11; do mkdir -p ages/$n && image 0 ages/$n/a.png && image 1 ages/$n/b.png; done
# shellcheck disable=SC2086
expect 0 "5 classes" "$g" $train --data ages --out run8
make() { "$g" sample --model run8 --class "$1" --steps ddim2 --seed 1 -q -o - --format grid >"$2" 2>err.txt; }
made() { # CLASS INDEX
    "$g" sample --model run8 --class "$1" --steps ddim2 --seed 1 -q --overwrite -o y.npz && /usr/bin/python3 - "$2" <<'END' || fail "--class $1 is not index $2"
import struct, sys, zipfile
label = zipfile.ZipFile('y.npz').read('arr_1.npy')
sys.exit(struct.unpack('<q', label[-8:])[0] != int(sys.argv[1]))
END
}
made 2 4 && made 10 2 && made '#2' 2 && made '#4' 4 && made 0 0
expect 2 "#3" "$g" sample --model run8 --class 3 --steps ddim2 -o z.npz
expect 2 "#0-2" "$g" sample --model run8 --class 0-2 --steps ddim2 -o z.npz
expect 2 "outside 0 to 4" "$g" sample --model run8 --class '#7' --steps ddim2 -o z.npz
expect 0 "" "$g" sample --model run8 --class '#0-2' -n 3 --steps ddim2 -o z.npz
printf 'missile\nshell, bomb\nmissile\nbomb, case\n4\n' >names.txt
expect 2 "#0 or #2" "$g" sample --model run8 --labels names.txt --class missile --steps ddim2 -o w.npz
expect 2 "#1 or #3" "$g" sample --model run8 --labels names.txt --class bomb --steps ddim2 -o w.npz

# A label is a class by its name, in what goes on and in what is measured
mkdir -p young && cp -r ages/10 ages/2 young/
expect 0 "from step 1" "$g" train --resume run8 --data young --iterations 2
[ "$(classes_of run8)" = 5 ] || fail "a run that goes on with fewer classes has $(classes_of run8)"
expect 0 "" "$g" nll --model run8 --data young -s ddim2 -o young.csv
cut -d, -f3 young.csv | tail -n +2 | sort -u | tr '\n' ' ' | grep -q "2 4" || fail "labels of a part of the classes: $(cat young.csv)"
mkdir -p strange/99 && image 0 strange/99/a.png
expect 3 "class 99 is not among" "$g" nll --model run8 --data strange -s ddim2

# ---- F11: the authors' files of labelled data go on with the preset they were begun with ----
# shellcheck disable=SC2086
expect 0 "" "$g" train --data ages --preset small8 --batch-size 2 --iterations 2 --save-interval 1 --save-pt --out r1
expect 0 "from step 2" "$g" train --resume r1/model000002.pt --data ages --preset small8 --batch-size 2 --iterations 3 --out r2

[ $failures -eq 0 ] || exit 1
echo "sources, labels and classes: ok"
