#!/bin/sh
# SPDX-License-Identifier: MIT
# guided train's losses: each trains, resumes to the bit, and gives a model that is sampled; dropped labels; what is refused.
set -u
. "$(dirname "$0")/expect.sh"
make_images
t="train --data images --channels 1 --preset small32 --batch-size 4 --microbatch 2 --seed 1 --save-interval 2 --ema-rate 0.99 -q"

# trains NAME OPTIONS...: four updates in one go, or two and two, are the same parameters; 4 images are made of it
trains() {
    name=$1
    shift
    # shellcheck disable=SC2086
    {
        expect 0 "" "$g" $t "$@" --iterations 4 --out "$name"
        expect 0 "" "$g" $t "$@" --iterations 2 --out "$name-2"
        expect 0 "" "$g" train --resume "$name-2" --iterations 4 -q
    }
    [ "$(hash_of "$name")" = "$(hash_of "$name-2")" ] || fail "$name: a resumed run is another one"
    expect 0 "" "$g" sample --model "$name" --class 1 -n 1 --seed 2 -q -o "$name.png" $sample
}
sample=
trains edm --loss edm
trains cd --loss cd --teacher edm --init-from edm --scales 18
trains ct --loss ct --loss-norm l1 --loss-weight truncated-snr --target-ema 0.9
trains progdist --loss progdist --teacher edm --scales 4 --loss-weight snr+1
expect 0 "1 of 1 steps" "$g" sample --model cd --class 1 --seed 2 -o one.png --progress plain
# a teacher for discrete steps
trains taught --loss cd --teacher fashion32 --num_classes 10
sample="--steps ddim4"
trains minsnr --loss-weight min-snr --weight-gamma 3
# shellcheck disable=SC2086
expect 0 "" "$g" $t --loss-weight p2 --weight-k 2 --iterations 1 --out p2
trains v --predict_v True --noise_schedule linear-zero-snr
expect 0 "" "$g" info v
grep -q "linear-zero-snr.*predicts v" out.txt || fail "v: not in the checkpoint: $(cat out.txt)"
for sampler in ddpm dpmpp-2m heun unipc-bh2-2; do
    expect 0 "" "$g" sample --model v --class 1 --seed 2 --sampler $sampler --steps 5 -q -o "v-$sampler.png"
done
# dropped labels: one class more, which guidance takes for none
trains dropped --label-dropout 0.3
expect 0 "" "$g" info dropped
grep -q "^classes *4" out.txt || fail "dropped labels: $(grep classes out.txt)"
expect 0 "" "$g" sample --model dropped --class 1 --null-class 3 --guidance-scale 2 --steps ddim4 --seed 2 -q -o guided.png
cmp -s dropped.png guided.png && fail "guidance with the null class changes nothing"

# refused, with nothing left behind
refuse() {
    text=$1
    shift
    # shellcheck disable=SC2086
    expect "$status_wanted" "$text" "$g" $t "$@" --iterations 2 --out none
    [ ! -e none ] || fail "$*: a folder was left"
}
status_wanted=2
refuse "expected one of steps, edm" --loss mse
refuse "takes uniform, min-snr, p2" --loss-weight karras
refuse "takes uniform, snr" --loss edm --loss-weight min-snr
refuse "expected one of l2, l1" --loss edm --loss-norm lpips
refuse "needs a teacher" --loss cd
refuse "takes no teacher" --loss ct --teacher edm
refuse "--predict_v True" --noise_schedule cosine-zero-snr
refuse "predicts one of them" --predict_v True --predict_xstart True
refuse "dropped label needs one more" --label-dropout 0.1 --num_classes 3
refuse "drawn evenly" --loss cd --teacher edm --schedule-sampler loss-second-moment
status_wanted=3
refuse "has no path to teach" --loss cd --teacher cd
refuse "the student has" --loss cd --teacher fashion32
exit $((failures > 0))
