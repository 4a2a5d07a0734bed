#!/bin/sh
# SPDX-License-Identifier: MIT
# The command's manner: help, manual, completion, configuration, version, progress, recipes that run, signals, closed pipes.
set -u
. "$(dirname "$0")/expect.sh"
unset NO_COLOR GUIDED_CONFIG
same() { [ "$1" = "$2" ] || fail "$3: \"$1\", not \"$2\""; }
has() { grep -qF -- "$2" "$1" || fail "no \"$2\" in $1: $(head -c 600 "$1")"; }
verbs=$("$g" help --json | sed 's/.*"verb":"\([^"]*\)".*/\1/' | sort -u)
[ "$(echo "$verbs" | wc -l)" -ge 12 ] || fail "verbs: $verbs"

# help: on standard output, status 0, before any other check; -h fits a screen of 24 lines of 80
"$g" 2>usage.txt; same $? 2 "guided alone"
[ "$(wc -l <usage.txt)" -le 15 ] || fail "guided alone says more than 15 lines"
same "$(grep -c '^  guided ' usage.txt)" 2 "examples of guided alone"
for verb in $verbs; do
    "$g" $verb --nonsense -n nan -h >h.txt 2>err.txt; same $? 0 "$verb -h"
    [ -s err.txt ] && fail "$verb -h says something on standard error"
    [ "$(wc -l <h.txt)" -le 24 ] || fail "$verb -h: $(wc -l <h.txt) lines"
    awk 'length($0) > 80 { exit 1 }' h.txt || fail "$verb -h: lines of more than 80 characters"
    "$g" $verb --steps --help >help.txt; same $? 0 "$verb --help"
    has help.txt "guided $verb"; has help.txt "--print-config"
    sed -n 3p help.txt | grep -q '^  guided ' || fail "$verb --help does not begin with an example"
    "$g" help $verb >manual.txt; same $? 0 "help $verb"
    for part in NAME EXAMPLE SYNOPSIS OPTIONS CONFIGURATION "EXIT STATUS"; do has manual.txt "$part"; done
    "$g" help $verb --roff >page.1; has page.1 ".TH GUIDED-"
done
"$g" help smaple 2>err.txt; same $? 2 "help of an unknown verb"; has err.txt "did you mean guided sample"
"$g" sample -Z 2>err.txt; same $? 2 "an unknown letter"; has err.txt "-Z"
"$g" help sample | grep -q "from 0 to 1000" || fail "the manual tells no ranges"

# completions: as bash runs them
if command -v bash >/dev/null; then
    "$g" completion bash >complete.bash
    offer() { bash -c '. ./complete.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _guided; echo "${COMPREPLY[*]}"' - "$@"; }
    same "$(offer guided sam)" "sample" "completion of a verb"
    same "$(offer guided sample --class)" "--classifier --class --classifier_path --classifier_scale" "completion of an option"
    same "$(offer guided sample --sampler dd)" "ddpm ddim" "completion of a value"
    [ "$(offer guided sample --sampler '' | wc -w)" = "$("$g" help samplers | grep -c '(--steps')" ] || fail "completion of all samplers"
    same "$(offer guided init --preset 64x64_d)" "64x64_diffusion" "completion of a preset"
    same "$(offer guided completion z)" "zsh" "completion of a shell"
fi
for shell in bash zsh fish; do "$g" completion $shell | grep -q "train-classifier" || fail "completion $shell"; done
"$g" completion zhs 2>err.txt; same $? 2 "completion of an unknown shell"; has err.txt "did you mean zsh"

# precedence: command line, environment, file, preset
printf '# comment\n\n steps = ddim4 \nseed=11\nnum = 2\nclip-denoised = false\nimage_size = 32\n' >a.conf
value() { sed -n "s/^$1 = //p" config.txt; }
GUIDED_SEED=12 GUIDED_ETA=0.25 GUIDED_CLASS=all "$g" sample --config a.conf -n 3 --print-config >config.txt; same $? 0 "--print-config"
same "$(value steps)" ddim4 "from the file"
same "$(value seed)" 12 "the environment over the file"
same "$(value num)" 3 "the command line over the file"
same "$(value eta)" 0.25 "from the environment"
same "$(value clip-denoised)" false "a switch from the file"
same "$(value image_size)" 32 "a network flag from the file"
same "$(value output)" samples.png "the default"
has config.txt "# scale ="
"$g" sample --config config.txt --print-config >again.txt
cmp -s config.txt again.txt || fail "--print-config does not read back as it was"
GUIDED_CONFIG=a.conf GUIDED_NUM=7 "$g" sample --num_samples 5 --print-config >config.txt
same "$(value num)" 5 "the authors' name over the environment"
[ -e samples.png ] && fail "--print-config ran"
bad_line() { printf "steps = 4\n$1\n" >bad.conf; "$g" sample --config bad.conf 2>err.txt; same $? 2 "a bad line"; has err.txt "bad.conf:2"; has err.txt "$2"; }
bad_line 'stpes = 4' "did you mean --steps"
bad_line 'num = nan' "--num nan"
bad_line 'num' "expected num = value"
bad_line '= 4' "no name"
bad_line 'steps = 5' "twice"
bad_line 'config = x' "cannot be set in a configuration file"
GUIDED_ETA=2 "$g" sample 2>err.txt; same $? 2 "a bad variable"; has err.txt "GUIDED_ETA: --eta 2"
"$g" sample --config none.conf 2>err.txt; same $? 3 "no configuration file"; has err.txt "none.conf"

# version
"$g" --version >version.txt; same $? 0 "--version"
for part in compiler oneDNN ISA features; do has version.txt $part; done
"$g" --version --json >version.txt; has version.txt '"features":["fp32"'

# progress
small="sample --steps ddim4 --seed 3 -n 1 --overwrite"
"$g" $small -o p.png --progress none 2>err.txt; same "$(wc -l <err.txt | tr -d ' ')" 1 "lines with --progress none"
"$g" $small -o p.png --progress json 2>err.txt; has err.txt '{"step":4,"total":4,'
"$g" $small -o p.png --progress plain 2>err.txt; has err.txt "100 %  4 of 4 steps"
"$g" $small -o p.png --progress tty 2>err.txt; tr '\r' '\n' <err.txt | grep -q "4/4 steps" || fail "--progress tty"
"$g" $small -o p.png --progress tyt 2>err.txt; same $? 2 "--progress tyt"; has err.txt "did you mean tty"
"$g" $small -o p.png -q 2>err.txt; [ -s err.txt ] && fail "-q says something"
"$g" $small -o p.png -v 2>err.txt; has err.txt "GMACs"; has err.txt "oneDNN"
grep -q "op_\|input_blocks" err.txt && fail "-v tells every layer"
"$g" $small -o p.png -vv 2>err.txt; has err.txt "input_blocks.1.0"
"$g" $small -o p.png --verbose=2 2>err.txt; has err.txt "input_blocks.1.0"
"$g" $small -o p.png --json >out.txt 2>/dev/null; same "$(wc -l <out.txt | tr -d ' ')" 1 "lines of --json"
"$g" $small -o p.png --preview -q 2>err.txt; grep -q "$(printf '\342\226\200')" err.txt || fail "--preview shows nothing"

"$g" sample --steps ddim2 -q -o - --json >out.txt 2>err.txt; same $? 2 "two outputs on standard output"
"$g" sample --steps ddim2 -q -o - --format npz >out.txt 2>err.txt; same $? 2 "an npz on standard output"
"$g" sample --steps ddim2 -q --dry-run --labels none.txt 2>err.txt >&2; same $? 3 "labels that are not there"; has err.txt none.txt

# --dry-run: what it would take; nothing is made
"$g" sample --steps ddim4 -n 4 -o dry.png --dry-run >dry.txt 2>err.txt; same $? 0 "--dry-run"
for part in parameters memory "about"; do has dry.txt "$part"; done
[ -e dry.png ] && fail "--dry-run ran"

# a picture says the command that makes it again, and the command works
again() { # PICTURE: the printed command makes the same pixels
    command=$("$g" info "$1") || fail "no command in $1"
    (PATH=$(dirname "$g"):$PATH; eval "$command" -q) || fail "does not run: $command"
    cmp -s "$1" "${1%.png}-again.png" || fail "another picture: $command"
}
mkdir "it's here"
"$g" sample --steps ddim4 -n 3 --class '2, 7' --eta 0.5 --no-clip-denoised -q -o "it's here/a b.png"
again "it's here/a b.png"
GUIDED_STEPS=ddim2 "$g" sample --classifier_scale 2 --image_size 32 -n 2 -q -o env.png
"$g" info env.png | grep -q -- "--steps ddim2 --scale 2\|--scale 2 --steps ddim2" || fail "options of the environment are not in the command: $("$g" info env.png)"
again env.png
"$g" sample --steps ddim4 -n 3 --first 5 --seed 4 -q -o many --format folder
"$g" info many/00006.png | grep -q -- "-n 1 --first 6" || fail "a picture of a folder is not made alone"
"$g" sample --steps ddim4 -n 1 --first 6 --seed 4 -q -o six.png
again six.png
(PATH=$(dirname "$g"):$PATH; eval "$("$g" info many/00006.png) -q") || fail "the command of a picture of a folder does not run"
cmp -s six.png many/00006-again.png || fail "the command of a picture of a folder makes another"
"$g" info --json six.png >six.json; has six.json '"seed":"4"'

# the authors' own line, word for word but for the paths
m=$GUIDED_MODELS/fashion32
"$g" sample --image_size 32 --class_cond True --learn_sigma True --use_fp16 False --model_path "$m/diffusion.safetensors" \
    --classifier_path "$m/classifier.safetensors" --classifier_scale 1.0 --classifier_depth 1 --batch_size 2 --num_samples 2 \
    --timestep_respacing ddim2 --use_ddim True -q -o authors.npz 2>err.txt; same $? 0 "the authors' flags: $(cat err.txt)"

part_of() { ls "$1".part-* >/dev/null; }

# the first signal stops and keeps, also while weights are written; the second stops at once
stop() { # NAME SIGNAL STATUS FILE COMMAND...: the status of a command that gets the signal once it has begun to write FILE
    name=$1 signal=$2 status=$3 file=$4
    shift 4
    "$@" 2>err.txt & pid=$!
    wait_for part_of "$file"
    kill -"$signal" $pid
    wait $pid; same $? "$status" "$name"
}
stop "a signal while weights are written" TERM 143 big.safetensors "$g" init --preset 64x64_diffusion big.safetensors
ls big.safetensors* >/dev/null 2>&1 && fail "init left a part"
"$g" sample --steps 250 -n 100000 -v -o twice.npz 2>err.txt & pid=$!
wait_for grep -q "ready after" err.txt
kill -TERM $pid; kill -TERM $pid
wait $pid; same $? 143 "two signals"
[ -e twice.npz ] && [ ! -s twice.npz ] && fail "an empty file after two signals"

# a reader that leaves is no crash and no message; a full device is said
("$g" sample --help; echo $? >status) | true
[ "$(cat status)" -le 1 ] || fail "a closed pipe is status $(cat status)"
if [ -e /dev/full ]; then
    "$g" info "$m/diffusion.safetensors" >/dev/full 2>err.txt; same $? 4 "a full device"; has err.txt "standard output"
    "$g" $small -q -o - >/dev/full 2>err.txt; same $? 4 "a picture on a full device"; has err.txt "standard output"
fi

[ $failures -eq 0 ] && echo "manner: all passed"
exit $failures
