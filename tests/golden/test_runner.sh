#!/bin/sh
# SPDX-License-Identifier: MIT
# golden-runner tells a wrong result from a right one: cases that were tampered with fail, by name.
set -u
cases=$GUIDED_SOURCE_DIR/tests/golden/cases
runner=$(dirname "$GUIDED_BINARY")/tests/golden-runner
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
status=0

# fresh CASE: a copy to tamper with, as $tree/c
fresh() {
    rm -rf "$tree/c"
    cp -R "$cases/$1" "$tree/c"
    chmod -R u+w "$tree/c"
}

# expect STATUS TEXT: the runner's exit status, and a line it prints
expect() {
    output=$("$runner" "$tree/c" 2>&1)
    found=$?
    if [ $found != "$1" ] || ! echo "$output" | grep -q -- "$2"; then
        echo "expected status $1 and '$2', found status $found and: $output"
        status=1
    fi
}

# overwrite OFFSET-FROM-END BYTES: in the tensors' data
overwrite() {
    size=$(wc -c <"$tree/c/tensors.safetensors")
    printf "$2" | dd of="$tree/c/tensors.safetensors" bs=1 seek=$((size - $1)) conv=notrunc 2>/dev/null
}

fresh 504_schedule_cosine_50
expect 0 "1 passed, 0 failed, 0 not yet"
overwrite 3 '\001' # a bit of the last table's last number
expect 1 "FAIL .* is off by"
fresh 504_schedule_cosine_50
overwrite 8 '\000\000\000\000\000\000\370\177' # NaN
expect 1 "FAIL .* is off by inf"
fresh 504_schedule_cosine_50
sed -i 's/"cosine"/"linear"/' "$tree/c/case.json"
expect 1 "FAIL"
fresh 504_schedule_cosine_50
sed -i 's/"kind": "schedule"/"kind": "shedule"/' "$tree/c/case.json"
expect 1 "kind shedule is not known"
fresh 504_schedule_cosine_50
sed -i 's/out.betas/out.bytes/' "$tree/c/tensors.safetensors"
expect 1 "no tensor out.betas"
fresh 106_updown
sed -i 's/"grad.in.x.0"/"grad.in.z.0"/' "$tree/c/tensors.safetensors"
expect 1 "grad.in.z.0 was not compared"
fresh 106_updown
sed -i 's/"seed": 1151/"seed": 1152/' "$tree/c/case.json"
expect 1 "FAIL"
# Nothing of a case is passed over: members, inputs, kinds of values
fresh 504_schedule_cosine_50
sed -i 's/"spaced": false/"spaced": false, "sloped": true/' "$tree/c/case.json"
expect 1 "case.config.sloped is not read by kind schedule"
fresh 504_schedule_cosine_50
sed -i 's/"format": 1/"format": 1, "step_size": 3/' "$tree/c/case.json"
expect 1 "case.step_size is not read"
fresh 504_schedule_cosine_50
sed -i 's/"spaced": false/"spaced": "no"/' "$tree/c/case.json"
expect 1 "spaced is not a boolean"
fresh 181_resblock_conv_skip
sed -i 's/"use_conv": true/"use_convs": true/' "$tree/c/case.json"
expect 1 "FAIL"
fresh 882_train_whole_batch
sed -i 's/"microbatch": -1/"microbatch": 1/' "$tree/c/case.json"
expect 1 "FAIL"
fresh 884_classifier_train_clean
sed -i 's/"noised": false/"noised": true/' "$tree/c/case.json"
expect 1 "FAIL"
fresh 682_reverse_etas_start_x
sed -i 's/ddim_sample.eta0.1/ddim_sample.eta0.2/g' "$tree/c/tensors.safetensors"
expect 1 "ddim_sample.eta0.2 is off"
fresh 1050_ckpt_bad
cp "$tree/c/control_good_zip.pt" "$tree/c/empty.pt"
expect 1 "empty.pt is not refused"
rm -rf "$tree/c"
expect 1 "0 passed"
GUIDED_CONV=fast expect 2 "fast"
exit $status
