#!/bin/sh
# SPDX-License-Identifier: MIT
# Files as people have them: texts of other systems, downloads that went wrong, files of other programs; each is read or named.
set -u
. "$(dirname "$0")/expect.sh"

# Texts with a byte order mark and CRLF
printf '\357\273\277steps = ddim2\r\nnum = 1\r\nseed = 5\r\n' >mark.conf
expect 0 "" "$g" sample --config mark.conf --class 1 -q -o mark.npz
expect 0 "" "$g" sample --steps ddim2 -n 1 --seed 5 --class 1 -q -o plain.npz
cmp -s mark.npz plain.npz || fail "a configuration with a mark makes another image"
printf '\377\376s\0t\0' >wide.conf
expect 3 "wide.conf: text in UTF-16" "$g" sample --config wide.conf --class 1 -o wide.png
for n in 0 1 2 3 4 5 6 7 8 9; do printf 'name%s\r\n' $n; done >names
{ printf '\357\273\277'; cat names; } >names.txt
expect 0 "" "$g" sample --labels names.txt --class name0 --steps ddim2 -n 1 --seed 5 -q -o zero.npz
expect 0 "" "$g" sample --labels names.txt --class name9 --steps ddim2 -n 1 --seed 5 -q -o nine.npz
cmp -s zero.npz nine.npz && fail "names with a mark are one class"

make_images
net="--image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 --attention_resolutions 8 --class_cond True --diffusion_steps 50"
# shellcheck disable=SC2086
expect 0 "" "$g" train --data images $net --batch-size 4 --iterations 4 --save-interval 2 --log-interval 2 --seed 1 --out run
sed 's/$/\r/' run/progress.csv | { printf '\357\273\277'; cat; } >marked.csv
mv marked.csv run/progress.csv
expect 0 "" "$g" train --resume run --iterations 8
[ "$(grep -c . run/progress.csv)" = 5 ] || fail "rows: $(cat run/progress.csv)"
grep -q "$(printf '\r')" run/progress.csv && fail "CR stays in progress.csv"
head -1 run/progress.csv | grep -q '^[a-z]' || fail "the mark stays in progress.csv"

# What went wrong is named, with the remedy
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n' >pointer.pt
expect 3 "pointer.pt: a Git LFS pointer" "$g" info pointer.pt
expect 3 "pointer.pt: a Git LFS pointer" "$g" eval stats pointer.pt -o s.npz
printf '\n<!DOCTYPE html>\n<html>404</html>\n' >page.pt
expect 3 "page.pt: an HTML page" "$g" sample --model page.pt -n 1 -o page.png
cases=$GUIDED_SOURCE_DIR/tests/golden/cases
head -c 2000 "$cases/1001_ckpt_mixed/zip.pt" >cut.pt
expect 3 "cut short: make it again" "$g" info cut.pt
: >empty.pt
expect 3 "empty.pt: an empty file" "$g" info empty.pt
expect 3 "an optimiser's state, not a model" "$g" info "$cases/1021_trainloop_opt000004/opt000004.pt"
/usr/bin/python3 - <<'EOF'
import zipfile
with zipfile.ZipFile("script.pt", "w") as z:
    z.writestr("script/data.pkl", b"\x80\x02c__torch__\nNet\n)\x81.")
    z.writestr("script/code/__torch__.py", "class Net(Module):\n  pass\n")
    z.writestr("script/constants.pkl", b"\x80\x02).")
EOF
expect 3 "script.pt: a TorchScript archive" "$g" info script.pt
expect 3 "state_dict()" "$g" eval --inception script.pt --ref images --samples images

# Which flag does not fit, which folder is missing, what a range should be
expect 3 "than --num_channels 64 says: it is read without" "$g" sample --num_channels 64 -n 1 --model run/checkpoint-000000008.safetensors -o x.png
expect 3 "nowhere: no run to resume" "$g" train --resume nowhere
expect 1 "the folder above it does not exist" "$g" sample --resume -n 1 -o nowhere/deep
expect 2 "hint: --class 1-3" "$g" sample --class 3-1 -n 1 -o x.png
expect 2 "guided help metrics" "$g" eval --metrics precision --ref images --samples images

# A picture's recipe holds names, and hashes, and no folders; it is found beside the picture too
mkdir models
cp run/checkpoint-000000008.safetensors models/m.safetensors
expect 0 "" "$g" sample --model "$PWD/models/m.safetensors" --class 0 -n 1 --steps ddim2 -q -o models/p.png
expect 0 "" "$g" info --json models/p.png
grep -q '"model":"m.safetensors"' out.txt || fail "recipe: $(cat out.txt)"
grep -qF "$PWD" out.txt && fail "a folder in: $(cat out.txt)"
expect 0 "1 images made again, all equal" "$g" verify models/p.png
cp models/p.png .
expect 3 "hint: a picture's recipe names files without folders" "$g" verify p.png
expect 0 "all equal" "$g" verify --model models/m.safetensors p.png
exit $failures
