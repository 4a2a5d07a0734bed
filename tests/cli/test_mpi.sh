#!/bin/sh
# SPDX-License-Identifier: MIT
# guided train over several ranks: equal to one rank within rounding, to the bit from run to run and over a resume; a rank that
# is killed or stopped ends the job in time, by name, and nothing is left behind.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/ranks.sh"

# Equal within rounding, whatever is done with microbatches; to the bit from run to run and over a resume
# shellcheck disable=SC2086
{
    expect 0 "" "$g" $run --out one
    expect 0 "2 ranks on 1 host, 4 images" ranks 2 $run --out two
    expect 0 "" ranks 2 $run --out again
    expect 0 "" ranks 2 $run --microbatch 3 --schedule-sampler loss-second-moment --out two_micro
    expect 0 "" "$g" $run --microbatch 3 --schedule-sampler loss-second-moment --out one_micro
    expect 0 "" ranks 2 $begin --save-interval 4 --iterations 4 --out halves
}
expect 0 "" ranks 2 train --iterations 12 --resume halves
[ "$(hash_of two)" = "$(hash_of again)" ] || fail "two runs of two ranks differ"
[ "$(hash_of two)" = "$(hash_of halves)" ] || fail "resumed, other parameters"
for pair in "one two" "one_micro two_micro"; do
    # shellcheck disable=SC2086
    found=$(difference $pair)
    echo "$pair: parameters, largest difference: $found"
    echo "$found" | awk '{ exit !($1 > 100000 && $2 < 1e-4) }' || fail "$pair: $found"
done
[ "$(wc -l <two/progress.csv)" = "$(wc -l <one/progress.csv)" ] || fail "rows: $(cat two/progress.csv)"
expect 0 "written by 2 ranks" "$g" train --iterations 16 --resume halves
[ "$(step_of halves)" = 16 ] || fail "resumed by one rank to $(step_of halves)"

# The authors' files: written by one rank, read by all.  They do not know the heads.
# shellcheck disable=SC2086
{
    expect 0 "" ranks 2 $run --num_head_channels 32 --save-pt --out sets
    hash=$(hash_of sets)
    rm sets/checkpoint-*
    expect 0 "from step 8" ranks 2 $run --num_head_channels 32 --resume sets/model000008.pt --out onward
}
[ "$(ls sets/*.pt | wc -l)" = 9 ] || fail "authors' files: $(ls sets)"
[ "$(hash_of onward)" = "$hash" ] || fail "from the authors' files: other parameters"

# A rank that is killed or stopped: the job ends in time, the folder is whole, nothing runs on
end_one 2 KILL 1 killed 10
end_one 2 STOP 1 stopped 12
grep -q "no answer for 2 s from rank 1 (pid $pid on" err.txt || fail "not named: $(cat err.txt)"
grep -q "step [0-9]*:" err.txt || fail "no step: $(cat err.txt)"
end_one 2 STOP 0 stopped_first 12
grep -q "no answer for 2 s from rank 0 (pid $pid on" err.txt || fail "not named: $(cat err.txt)"

# ... and goes on exactly from its checkpoint
at=$(step_of killed)
expect 0 "" ranks 2 train --iterations $((at + 3)) --resume killed
# shellcheck disable=SC2086
expect 0 "" ranks 2 $begin --save-interval 4 --iterations $((at + 3)) --out unbroken
[ "$(hash_of killed)" = "$(hash_of unbroken)" ] || fail "after a kill at step $at: other parameters"

# SIGTERM to any rank: all save and end
# shellcheck disable=SC2086
ranks 2 $begin --iterations 100000 --save-interval 0 --out asked >out.txt 2>err.txt &
pid=$!
wait_for [ -s asked/progress.csv ]
kill -TERM "$(pids_of asked | tail -1)"
wait $pid
[ $? -eq 143 ] || fail "SIGTERM to a rank: not 143: $(cat err.txt)"
[ "$(grep -c "which is saved" err.txt)" = 1 ] || fail "not said once: $(cat err.txt)"
"$g" info asked >/dev/null || fail "nothing saved"

# Errors are told once, with the exit status of one rank
# shellcheck disable=SC2086
{
    expect 2 "cannot be shared equally by 3 ranks" ranks 3 $run --out x1
    expect 2 "already contains a run" ranks 2 $run --out two
    [ "$(grep -c "already contains a run" err.txt)" = 1 ] || fail "told twice: $(cat err.txt)"
    expect 3 "No such file" ranks 2 train --data nowhere $net --out x2
    expect 2 "each would be alone" env PMI_SIZE=2 "$g" $run --out x3
}
[ -e x1 ] || [ -e x2 ] || [ -e x3 ] && fail "a folder is left"
exit $((failures > 0))
