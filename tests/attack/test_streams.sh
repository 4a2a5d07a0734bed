#!/bin/sh
# SPDX-License-Identifier: MIT
# Standard streams that are closed, and terminals that are: files stay whole, and training is saved.
set -u
. "$(dirname "$0")/tiny.sh"
# shellcheck disable=SC2086
{
    long="sample --model m.safetensors --steps ddim10 --seed 5 -t 1 -n 150 --resume -o r"
    expect 0 "" "$g" $long -q
    mv r/samples_150x8x8x3.npz good.npz
    for streams in "<&- 2>&-" "<&- >&- 2>&-"; do
        rm -rf r
        eval "\"$g\" $long -v $streams &" 2>/dev/null
        P=$!
        kill_when 10 150
        [ "$(head -c 16 r/samples.records)" = "guided records 1" ] || fail "$streams: the records begin otherwise"
        eval "\"$g\" $long $streams" 2>/dev/null || fail "$streams: the run cannot be gone on with"
        cmp -s good.npz r/samples_150x8x8x3.npz || fail "$streams: another result"
        rm -rf t
        eval "\"$g\" train --data images $net --batch-size 2 --seed 9 --workers 1 -t 1 --iterations 2 --save-interval 1 --log-interval 1 --out t $streams" 2>/dev/null || fail "$streams: train"
        expect 0 "" "$g" info t
        [ "$(head -c 3 t/lock)" = pid ] || fail "$streams: the lock begins otherwise"
    done
    "$g" $sample -n 1 -o - >&- 2>err.txt && fail "a picture for a closed standard output was lost without a word"

    # the terminal is closed; nohup
    rm -rf t
    "$g" $train --iterations 1000000 --save-interval 1000000 --log-interval 1 --out t &
    P=$!
    tries=0
    until [ "$(cat t/progress.csv 2>/dev/null | wc -l)" -ge 4 ] || [ $tries -ge 600 ]; do sleep 0.05; tries=$((tries + 1)); done
    kill -HUP $P
    wait $P
    [ $? = 129 ] || fail "SIGHUP: another exit status"
    ls t/checkpoint-*.safetensors >/dev/null || fail "SIGHUP: nothing was saved"
    rm -rf t
    (trap '' HUP; exec "$g" $train --iterations 60 --save-interval 1000 --log-interval 1 --out t) &
    P=$!
    tries=0
    until [ "$(cat t/progress.csv 2>/dev/null | wc -l)" -ge 4 ] || [ $tries -ge 600 ]; do sleep 0.05; tries=$((tries + 1)); done
    kill -HUP $P
    wait $P || fail "SIGHUP that was ignored ended the run"
    [ "$(step_of t)" = 60 ] || fail "SIGHUP that was ignored: step $(step_of t)"
}
finish "streams: closed ones do no harm"
