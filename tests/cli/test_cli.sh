#!/bin/sh
# SPDX-License-Identifier: MIT
# The command as a user runs it: exit statuses, messages, what is written and what is not, the same picture however it is made.
set -u
. "$(dirname "$0")/expect.sh"
bad=$GUIDED_SOURCE_DIR/tests/golden/cases/1050_ckpt_bad

expect 2 "usage" "$g"
expect 0 "" "$g" --help
expect 0 "" "$g" --version
for verb in sample info convert init bench; do expect 0 "" "$g" $verb --help; done
expect 2 "did you mean guided sample" "$g" smaple
expect 2 "did you mean --steps" "$g" sample --stpes 4
expect 2 "needs a value" "$g" sample --steps
expect 2 "--num 0" "$g" sample -n 0
expect 2 "steps 0" "$g" sample --steps 0
expect 2 "steps 5000" "$g" sample --steps 5000
expect 2 "ddim37" "$g" sample --steps ddim37
expect 2 "sampler" "$g" sample --sampler ddmp --steps 4
expect 2 "outside 0 to 9" "$g" sample --model fashion32 --class 10 --steps 4
expect 2 "did you mean \"trouser\"" "$g" sample --model fashion32 --class trousr --steps 4
expect 3 "No such file" "$g" info none.pt
expect 3 "a folder" "$g" info .
expect 1 "cannot be written" "$g" sample --steps 4 -o none/x.png
[ -e samples.png ] && fail "a picture after an error"

# bad files: refused with one line and status 3
for f in "$bad"/*.pt; do
    case $f in *control_good*) continue ;; esac
    expect 3 "$(basename "$f")" "$g" info "$f"
done

# the same bytes for any number of threads, batch 1 and 3, and for an image made alone
s="--model fashion32 --steps ddim10 --seed 5 --eta 0.5"
expect 0 "" "$g" sample $s -n 4 -t 1 -o one.npz
for t in 2 3 5 16 64; do
    expect 0 "" "$g" sample $s -n 4 -t $t -o threads$t.npz
    cmp -s one.npz threads$t.npz || fail "$t threads make other bytes"
done
expect 0 "" "$g" sample $s -n 4 --batch-size 3 -o batch.npz
cmp -s one.npz batch.npz || fail "batch 3 makes other bytes"
expect 0 "" "$g" sample $s -n 4 --class 7 -o run.npz
expect 0 "" "$g" sample $s -n 1 --first 3 --class 7 -o alone.npz
image=1024 # 32 x 32 bytes, grey; .npy data begins 128 bytes into its member, 38 + 9 behind the zip's start
tail -c +$((1 + 39 + 128 + 3 * image)) run.npz | head -c $image >third
tail -c +$((1 + 39 + 128)) alone.npz | head -c $image >single
cmp -s third single || fail "image 3 alone differs from image 3 of a run"
expect 0 "" "$g" sample $s -n 4 -o all --format folder
expect 0 "" "$g" info --json all/00003.png
grep -q '"seed":"5"' out.txt || fail "a picture carries no recipe"
expect 0 "" "$g" sample -n 1 --steps ddim2 --seed 18446744073709551615 -o largest.png
"$g" info --json largest.png | grep -q '"seed":"18446744073709551615"' || fail "the largest seed is not in the recipe"

# outputs are not overwritten unasked; standard output is a PNG
cp one.npz keep.npz
expect 2 "exists already" "$g" sample $s -n 1 -o one.npz
cmp -s one.npz keep.npz || fail "an existing output was changed"
expect 0 "" "$g" sample $s -n 1 -o one.npz --overwrite
"$g" sample $s -n 1 -q -o - >stdout.png
[ "$(head -c 4 stdout.png | tail -c 3)" = PNG ] || fail "standard output is no PNG"

# a full disk: no file under the final name
(ulimit -f 1; "$g" sample $s -n 4 -q -o full.npz 2>err.txt; [ $? -eq 4 ]) || fail "a full disk is not status 4: $(cat err.txt)"
[ -e full.npz ] && fail "a partial file under the final name"
ls full.npz.part-* >/dev/null 2>&1 && fail "a part file is left"

# our own files are refused when any byte is damaged, and when cut
expect 0 "" "$g" init --image_size 32 --num_channels 32 --channel_mult 1,1 --attention_resolutions 16 m.safetensors
expect 0 "" "$g" info m.safetensors
size=$(wc -c <m.safetensors)
for at in 3 100 2000 $((size / 2)) $((size - 1)); do
    cp m.safetensors d.safetensors
    printf '\125' | dd of=d.safetensors bs=1 seek=$at conv=notrunc 2>/dev/null
    cmp -s m.safetensors d.safetensors || expect 3 "d.safetensors" "$g" info d.safetensors
done
head -c $((size - 7)) m.safetensors >t.safetensors
expect 3 "t.safetensors" "$g" info t.safetensors
expect 3 "not a classifier" "$g" sample --model m.safetensors --classifier m.safetensors --steps 4 -o x.png
expect 0 "" "$g" init --kind classifier --image_size 16 --classifier_width 64 --classifier_depth 1 --classifier_channel_mult 1 \
    --classifier_attention_resolutions 8 c.safetensors
expect 3 "the classifier is for 16x16 images" "$g" sample --model m.safetensors --classifier c.safetensors --steps 4 -o x.png
[ -e x.png ] && fail "a picture after an error"

# Ctrl-C keeps what is finished
"$g" sample --steps 2 --seed 1 -n 800 --progress json -o stopped.npz 2>err.txt &
pid=$!
wait_for grep -q '"step"' err.txt # a quarter is there
kill -TERM $pid
wait $pid
[ $? -eq 143 ] || fail "SIGTERM is not status 143: $(cat err.txt)"
[ -s stopped.npz ] || fail "SIGTERM kept nothing"

[ $failures -eq 0 ] && echo "cli: all passed"
exit $failures
