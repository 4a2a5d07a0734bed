#!/bin/sh
# SPDX-License-Identifier: MIT
# Lines of the authors' scripts: every flag with its default by the verb that does the job, all of a script's defaults together, every
# command line of their two READMEs at smaller widths, and what a line leaves out (faults F02, F03, F08 to F10).
set -u
. "$(dirname "$0")/expect.sh"
export GUIDED_THREADS=1
init() { "$g" init -q "$@" 2>err.txt || fail "init $*: $(cat err.txt)"; }

# ---- Every script, every flag, its default: taken alone, given twice, and all together ----
"$g" help flags >table.txt || fail "help flags"
[ "$(grep -c ': guided ' table.txt)" = 12 ] || fail "scripts: $(grep -c ': guided ' table.txt)"
awk '/: guided / { verb = $NF; script = $1 $2; next } { line = $0; while (match(line, /--[a-z0-9_]+ [^ ]+/)) { split(substr(line, RSTART, RLENGTH), a, " "); print verb, script, a[1], a[2]; line = substr(line, RSTART + RLENGTH) } }' table.txt >flags.txt
[ "$(wc -l <flags.txt)" -gt 300 ] || fail "flags: $(wc -l <flags.txt)"
# each flag of each verb once: scripts of one verb share most of them
sort -k1,1 -k3,4 -u flags.txt >each.txt
while read -r verb script flag value; do
    case $flag in --data_dir | --base_samples | --model_path | --classifier_path) # "" is no file there either
        expect 2 "$flag \"\"" "$g" "$verb" "$flag" ""
        continue ;;
    esac
    [ "$value" = '""' ] && value=
    "$g" "$verb" "$flag" "$value" "$flag" "$value" --print-config >out.txt 2>err.txt || fail "$verb ($script) $flag '$value': $(cat err.txt)"
done <each.txt
for script in $(cut -d' ' -f2 flags.txt | sort -u); do
    verb=$(awk -v s="$script" '$2 == s { print $1; exit }' flags.txt)
    awk -v s="$script" '$2 == s { print $3; print $4 != "\"\"" ? $4 : $3 ~ /(data_dir|samples|model_path|classifier_path)$/ ? "x" : "" }' flags.txt >words.txt
    set --
    while IFS= read -r word; do set -- "$@" "$word"; done <words.txt
    "$g" "$verb" "$@" --print-config >out.txt 2>err.txt || fail "all defaults of $script: $(cat err.txt)"
done
# booleans in each of the authors' spellings
for yes in yes true t y 1 True T; do "$g" sample --use_ddim $yes --print-config >out.txt && grep -q '^use_ddim = true\|^sampler' out.txt; "$g" sample --clip_denoised $yes --print-config | grep -q 'clip-denoised = true' || fail "True as $yes"; done
for no in no false f n 0 False N; do "$g" sample --clip_denoised $no --print-config | grep -q 'clip-denoised = false' || fail "False as $no"; done

# ---- A line of theirs with all network flags makes the network of their defaults ----
expect 0 "" "$g" init --kind diffusion --num_channels 32 --num_res_blocks 1 d.safetensors
expect 0 "" "$g" info d.safetensors
grep -q "flags  *--image_size 64 --num_channels 32 --num_res_blocks 1 --num_heads 4 --num_heads_upsample -1 --num_head_channels -1 --attention_resolutions 16,8 --channel_mult 1,2,3,4" out.txt ||
    fail "the line of a network: $(grep flags out.txt)"
line=$(sed -n 's/^flags  *//p' out.txt)
# shellcheck disable=SC2086
expect 0 "" "$g" init --kind diffusion $line again.safetensors
cmp -s d.safetensors again.safetensors || fail "the line makes another network"

# ---- F02: what the flags leave out is the authors' default, not a guess from shapes ----
flags="--image_size 64 --num_channels 32 --num_res_blocks 1 --diffusion_steps 2000 --noise_schedule linear"
# shellcheck disable=SC2086
expect 0 "" "$g" init --kind diffusion $flags --synthetic m.safetensors
expect 0 "" "$g" convert m.safetensors m.pt
short="--timestep_respacing 2 --num_samples 1 --seed 3"
# shellcheck disable=SC2086
expect 0 "" "$g" sample --model_path m.safetensors $short -o a.npz
# shellcheck disable=SC2086
expect 0 "num_heads 4 (the authors' default" "$g" sample -v --model_path m.pt $flags $short -o b.npz
cmp -s a.npz b.npz || fail "F02: other pixels"
expect 0 "" "$g" info m.pt --num_channels 32
grep -q -- "--num_heads 4 " out.txt && grep -q -- "--noise_schedule linear" out.txt || fail "defaults beside one flag: $(cat out.txt)"
expect 0 "" "$g" info m.pt --num_channels 32 --diffusion_steps 4000 --script_defaults improved-diffusion
grep -q -- "--rescale_timesteps True" out.txt || fail "improved-diffusion's defaults: $(cat out.txt)"
expect 0 "m.pt: --image_size" "$g" info m.pt -v
# improved-diffusion's 32x32 networks: widths and rescaling are its own
expect 0 "" "$g" init --kind diffusion --image_size 32 --num_channels 32 --num_res_blocks 1 --diffusion_steps 4000 i.safetensors
expect 0 "" "$g" info i.safetensors
grep -q -- "--channel_mult 1,2,2,2 .*--rescale_timesteps True --rescale_learned_sigmas True" out.txt || fail "CIFAR-10: $(cat out.txt)"

# ---- F03: flags of another kind make that kind, or are reported ----
"$g" sample -n 4 --steps ddim2 -q -o pics
expect 0 "" "$g" train --data_dir pics --labels none --large_size 64 --small_size 16 --num_channels 32 --num_res_blocks 1 --lr 1e-4 --batch_size 1 --iterations 1 --out sr
expect 0 "" "$g" info sr
grep -q "SuperResModel" out.txt || fail "F03: $(cat out.txt)"
expect 2 "give one of them" "$g" train --data_dir pics --large_size 64 --image_size 64 --out no
expect 0 "--large_size: passed over" "$g" info d.safetensors --large_size 256
expect 0 "--classifier_depth: passed over, because there is no classifier" "$g" sample --model d.safetensors --classifier_depth 4 --steps 2 --dry-run

# ---- F08: False is an answer; steps and sampler are independent in their scripts ----
one="-n 1 --class 1 --seed 1 -q"
# shellcheck disable=SC2086
{
    "$g" sample --timestep_respacing ddim5 --use_ddim False $one -o f8a.npz
    "$g" sample --steps ddim5 --sampler ddpm $one -o f8b.npz
    "$g" sample --timestep_respacing ddim5 --no-use_ddim $one -o f8c.npz
    "$g" sample --timestep_respacing ddim5 $one -o f8d.npz
    "$g" sample --steps ddim5 $one -o f8e.npz
    "$g" sample --timestep_respacing ddim5 --use_ddim True $one -o f8f.npz
}
cmp -s f8a.npz f8b.npz && cmp -s f8a.npz f8c.npz && cmp -s f8a.npz f8d.npz || fail "F08: --use_ddim False samples otherwise than ddpm"
cmp -s f8e.npz f8f.npz || fail "--steps ddim5 is not DDIM"
cmp -s f8a.npz f8e.npz && fail "ddpm and ddim are the same"
expect 2 "contradict each other" "$g" sample --sampler ddpm --use_ddim True --dry-run
"$g" sample --timestep_respacing ddim5 --class 1 --seed 1 -q -o f8.png
expect 0 "" "$g" info f8.png
grep -q -- "--timestep_respacing ddim5" out.txt || fail "the recipe's command: $(cat out.txt)"

# ---- F10: booleans, empty values, flags that change nothing ----
init --kind upsampler --large_size 64 --small_size 16 --num_channels 32 --num_res_blocks 1 up.safetensors
"$g" sample -n 2 --steps ddim2 -q -o grey.npz
/usr/bin/python3 - <<'END'
import struct, zipfile
header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 16, 16, 3), }"
header += ' ' * (63 - (len(header) + 10) % 64) + '\n'
with zipfile.ZipFile('s.npz', 'w') as z:
    z.writestr('arr_0.npy', b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode() + bytes(i % 251 for i in range(2 * 16 * 16 * 3)))
END
expect 0 "" "$g" upsample --model_path up.safetensors --base_samples s.npz --batch_size 4 --num_samples 100 --timestep_respacing 250 --dry-run
expect 0 "super_res_sample.py" "$g" upsample --model_path up.safetensors --base_samples s.npz --use_ddim True --timestep_respacing ddim25 --dry-run
expect 0 "" "$g" nll --data_dir pics --batch_size 2 --num_samples 2 --dry-run --labels name --model_path d.safetensors
expect 0 "" "$g" sample --use_ddim 1 --timestep_respacing ddim2 --dry-run
expect 0 "" "$g" sample --timestep_respacing "" --dry-run
grep -q "1000\|250" out.txt || fail "all steps: $(cat out.txt)"
expect 0 "all steps" "$g" sample --model d.safetensors --num_channels 32 --dry-run
expect 0 "" "$g" train --data_dir pics --labels none --preset small8 --microbatch -1 --resume_checkpoint "" --fp16_scale_growth 1e-3 --schedule_sampler uniform \
    --channel_mult "1, 2" --attention_resolutions "8, 4" --dropout 1e-1 --iterations 1 --batch_size 1 --timestep_respacing "" --out f10
mkdir two && for c in a b; do mkdir two/$c; for i in 0 1; do cp pics/0000$i.png two/$c/; done; done
expect 0 "" "$g" train-classifier --data_dir two --preset small32 --eval_interval 10 --val_data_dir "" --schedule_sampler loss-second-moment --batch_size 1 --iterations 1 \
    --anneal_lr True --noised y --out f10c

# ---- P3: a classifier is trained with the index of the step, whatever rescale_timesteps makes of it elsewhere ----
for rescale in True False; do
    expect 0 "" "$g" train-classifier --data two --preset small32 --diffusion_steps 2000 --rescale_timesteps $rescale --seed 4 --batch_size 2 --iterations 1 --out p3_$rescale
done
[ "$(hash_of p3_True)" = "$(hash_of p3_False)" ] || fail "P3: rescale_timesteps changes what the classifier is trained with"

# ---- Every command line of the two READMEs, narrower: 256 and 192 channels are 64, a head has 64, classifiers have 64 for 128 ----
sample_flags="--batch_size 4 --num_samples 100 --timestep_respacing 250"
common="--diffusion_steps 1000 --learn_sigma True --resblock_updown True --use_scale_shift_norm True"
narrow() { # NAME KIND FLAGS...: a .pt of this network without any configuration
    name=$1 kind=$2
    shift 2
    # shellcheck disable=SC2086
    init --kind "$kind" "$@" "$name.safetensors" && expect 0 "" "$g" convert "$name.safetensors" "$name.pt"
    rm -f "$name.safetensors"
}
paste() { # VERB FLAGS...: taken, and nothing is left to a guess or passed over
    verb=$1
    shift
    # shellcheck disable=SC2086
    "$g" $verb "$@" --dry-run >out.txt 2>err.txt || fail "$verb $*: $(cat err.txt)"
    grep -q "assumed\|passed over" err.txt && fail "$verb $*: $(cat err.txt)"
}
c64="--classifier_width 64"
m64="--attention_resolutions 32,16,8 --class_cond True --image_size 64 $common --dropout 0.1 --noise_schedule cosine --num_channels 64 --num_head_channels 64 --num_res_blocks 3 --use_new_attention_order True --use_fp16 True"
m128="--attention_resolutions 32,16,8 --class_cond True --image_size 128 $common --noise_schedule linear --num_channels 64 --num_heads 4 --num_res_blocks 2 --use_fp16 True"
m256="--attention_resolutions 32,16,8 --class_cond True --image_size 256 $common --noise_schedule linear --num_channels 64 --num_head_channels 64 --num_res_blocks 2 --use_fp16 True"
m512="--attention_resolutions 32,16,8 --class_cond True --image_size 512 $common --noise_schedule linear --num_channels 64 --num_head_channels 64 --num_res_blocks 2 --use_fp16 False"
lsun="--attention_resolutions 32,16,8 --class_cond False --image_size 256 $common --dropout 0.1 --noise_schedule linear --num_channels 64 --num_head_channels 64 --num_res_blocks 2 --use_fp16 True"
# shellcheck disable=SC2086
{
    narrow m64 diffusion $m64; narrow c64 classifier --image_size 64 --classifier_depth 4 $c64
    paste sample $m64 --classifier_scale 1.0 --classifier_path c64.pt --classifier_depth 4 --model_path m64.pt $sample_flags
    narrow m128 diffusion $m128; narrow c128 classifier --image_size 128 $c64
    paste sample $m128 --classifier_scale 0.5 --classifier_path c128.pt --model_path m128.pt $sample_flags
    train_classifier="--image_size 128 --classifier_attention_resolutions 32,16,8 --classifier_depth 2 --classifier_width 64 --classifier_pool attention --classifier_resblock_updown True --classifier_use_scale_shift_norm True"
    # F09: image_size is in both groups of the last command
    paste sample --model_path m128.pt --classifier_path c128.pt $m128 $train_classifier --classifier_scale 1.0 --classifier_use_fp16 True --batch_size 4 --num_samples 50000 --timestep_respacing ddim25 --use_ddim True
    paste sample --model_path m128.pt --classifier_path c128.pt $m128 $train_classifier --classifier_scale 1.0 --classifier_use_fp16 True --batch_size 4 --num_samples 50000 --timestep_respacing 250 --use_ddim False
    narrow m256 diffusion $m256; narrow c256 classifier --image_size 256 $c64
    paste sample $m256 --classifier_scale 1.0 --classifier_path c256.pt --model_path m256.pt $sample_flags
    narrow u256 diffusion $lsun
    paste sample ${lsun%--use_fp16*} --classifier_scale 10.0 --classifier_path c256.pt --model_path u256.pt $sample_flags
    paste sample $lsun --model_path u256.pt $sample_flags
    paste sample $lsun --dropout 0.0 --model_path u256.pt --batch_size 4 --num_samples 100 --timestep_respacing 1000
    narrow m512 diffusion $m512; narrow c512 classifier --image_size 512 $c64
    paste sample $m512 --classifier_scale 4.0 --classifier_path c512.pt --model_path m512.pt $sample_flags
    up256="--attention_resolutions 32,16,8 --class_cond True --large_size 256 --small_size 64 $common --noise_schedule linear --num_channels 64 --num_heads 4 --num_res_blocks 2 --use_fp16 True"
    up512="--attention_resolutions 32,16 --class_cond True --large_size 512 --small_size 128 $common --noise_schedule linear --num_channels 64 --num_head_channels 64 --num_res_blocks 2 --use_fp16 True"
    narrow up256 upsampler $up256; narrow up512 upsampler $up512
    paste "upsample --class 0" $up256 --model_path up256.pt --base_samples s.npz $sample_flags
    paste "upsample --class 0" $up512 --model_path up512.pt $sample_flags --base_samples s.npz

    # trained for one update at 8 channels a group would not do: --iterations 1 of ours, a quarter of the widths, 1 image
    one="--iterations 1 --batch_size 1 --random-flip"
    trains() { rm -rf run; "$g" "$@" --out run >out.txt 2>err.txt || fail "$*: $(cat err.txt)"; grep -q "passed over" err.txt && fail "$*: $(cat err.txt)"; }
    trains train-classifier --data_dir two --iterations 300000 --anneal_lr True --batch_size 256 --lr 3e-4 --save_interval 10000 --weight_decay 0.05 $train_classifier --image_size 64 --classifier_depth 1 --batch_size 1 --iterations 1
    for m in "--image_size 64 --num_channels 32 --num_res_blocks 3" "--image_size 64 --num_channels 32 --num_res_blocks 3 --learn_sigma True" \
        "--image_size 32 --num_channels 32 --num_res_blocks 3 --learn_sigma True --dropout 0.3"; do
        for d in "--diffusion_steps 4000 --noise_schedule linear" "--diffusion_steps 4000 --noise_schedule cosine --use_kl True" \
            "--diffusion_steps 4000 --noise_schedule cosine --rescale_learned_sigmas False --rescale_timesteps False"; do
            "$g" init --kind diffusion $m $d --overwrite -q line.safetensors 2>err.txt || fail "$m $d: $(cat err.txt)"
        done
    done
    trains train --data_dir pics --image_size 32 --num_channels 32 --num_res_blocks 3 --learn_sigma True --dropout 0.3 --diffusion_steps 4000 --noise_schedule cosine --use_kl True \
        --lr 1e-4 --batch_size 128 --schedule_sampler loss-second-moment --microbatch 1 --batch_size 1 --iterations 1 --num_res_blocks 1
    # use_scale_shift_norm is in both groups of improved-diffusion's LSUN line
    narrow lsun diffusion --image_size 256 --num_channels 32 --num_res_blocks 2 --num_heads 1 --learn_sigma True --use_scale_shift_norm False --attention_resolutions 16
    paste sample --image_size 256 --num_channels 128 --num_res_blocks 2 --num_heads 1 --learn_sigma True --use_scale_shift_norm False --attention_resolutions 16 --diffusion_steps 1000 \
        --noise_schedule linear --rescale_learned_sigmas False --rescale_timesteps False --use_scale_shift_norm False --num_channels 32 --model_path lsun.pt
}
[ $failures -eq 0 ] || exit 1
echo "flags of the authors' scripts: ok"
