#!/bin/sh
# SPDX-License-Identifier: MIT
# guided eval --features with vision networks: recognised by their keys, the same report for any batch, threads and cache, images of
# any size, and files that are refused.
set -u
. "$(dirname "$0")/expect.sh"
said="out.txt err.txt"
make_vit() { /usr/bin/python3 "$GUIDED_SOURCE_DIR/tests/cli/vit_file.py" "$@" || exit 1; }
"$g" sample --model fashion32 -n 12 --class 0-9 --steps ddim2 --seed 3 -q -o a || exit 1
"$g" sample --model fashion32 -n 10 --class 0-9 --steps ddim3 --seed 4 -q -o b || exit 1
"$g" sample --model "$GUIDED_MODELS/fashion32/base8.safetensors" -n 8 --steps ddim2 -q -o small || exit 1
for kind in dinov2 mae clip siglip2 convnextv2; do make_vit $kind $kind.safetensors; done

for kind in "dinov2:DINOv2 ViT-64/14" "mae:MAE ViT-64/16" "clip:CLIP ViT-64/16" "siglip2:SigLIP2 ViT-64/16" "convnextv2:ConvNeXt V2-24"; do
    f=${kind%:*}.safetensors
    expect 0 "(features of ${kind#*:}, $f)" "$g" eval --ref a --samples b --features "$f"
    grep -q '^FD ' out.txt || fail "no FD: $(cat out.txt)"
    grep -q 'Inception' out.txt && fail "an Inception Score of $kind"
    expect 0 '"precision":1.0' "$g" eval --ref a --samples a --features "$f" --json -q --metrics fd,kid,pr,dc
    awk -F'"fd":' '{ split($2, v, ","); exit !(v[1] < 1e-6 && v[1] > -1e-6) }' out.txt || fail "$kind: a set is far from itself: $(cat out.txt)"
    "$g" eval --ref a --samples b --features "$f" --metrics fd,kid,pr,dc --json -q -t 1 --batch 1 >one.txt || fail "$kind"
    "$g" eval --ref a --samples b --features "$f" --metrics fd,kid,pr,dc --json -q -t 3 --batch 7 --cache cache >many.txt || fail "$kind"
    cmp -s one.txt many.txt || fail "$kind: $(cat one.txt many.txt)"
    "$g" eval --ref a --samples b --features "$f" --metrics fd,kid,pr,dc --json -q --cache cache >many.txt || fail "$kind"
    cmp -s one.txt many.txt || fail "$kind from the cache: $(cat one.txt many.txt)"
done

# CMMD is of CLIP's features, and with them a default
"$g" eval --ref a --samples a --features clip.safetensors --json -q >out.txt || fail "CMMD"
awk -F'"cmmd":' '{ split($2, v, "[,}]"); exit !(NF == 2 && v[1] < 1e-3 && v[1] > -1e-3) }' out.txt || fail "CMMD of a set with itself: $(cat out.txt)"
expect 0 "CMMD" "$g" eval --ref a --samples b --features clip.safetensors --metrics cmmd
expect 1 "cmmd is" "$g" eval --ref a --samples b --features clip.safetensors --metrics cmmd --fail-above cmmd=-1
expect 2 "CLIP's features" "$g" eval --ref a --samples b --features mae.safetensors --metrics cmmd

# OpenAI's archives are TorchScript: their weights are read, float16 matrices too, and their program is not
report() { "$g" eval --ref a --samples b --metrics fd,cmmd --json -q --features "$1" | sed 's/,"guided.*//'; }
make_vit clip names.safetensors openai=1 && make_vit clip half.safetensors openai=1 half=1
for f in names half; do
    /usr/bin/python3 "$GUIDED_SOURCE_DIR/tests/nn/torchscript_file.py" $f.safetensors $f.pt || exit 1
    expect 0 "CLIP ViT-64/16" "$g" info $f.pt
    report $f.safetensors >plain.txt && report $f.pt >script.txt
    grep -q '"cmmd":' script.txt && cmp -s plain.txt script.txt || fail "$f: $(cat plain.txt script.txt)"
done
report clip.safetensors >plain.txt && report names.pt >script.txt && cmp -s plain.txt script.txt || fail "OpenAI's names: $(cat plain.txt script.txt)"
make_vit clip no.safetensors openai=1 without=vision_model.pre_layrnorm.bias && /usr/bin/python3 "$GUIDED_SOURCE_DIR/tests/nn/torchscript_file.py" no.safetensors no.pt
expect 3 "visual.ln_pre.bias" "$g" eval --ref a --samples b --features no.pt

# The activation is in no key: the configuration beside the weights tells, where it is of this network
"$g" eval --ref a --samples b --features clip.safetensors --metrics fd --json 2>err.txt | sed 's/,"guided.*//' >quick.txt
grep -q "quick GELU is assumed" err.txt || fail "an assumption is not said: $(cat err.txt)"
mkdir model && cp clip.safetensors model/ || exit 1
for act in gelu quick_gelu; do
    echo "{\"model_type\": \"clip\", \"vision_config\": {\"hidden_act\": \"$act\", \"hidden_size\": 64, \"num_attention_heads\": 1}}" >model/config.json
    "$g" eval --ref a --samples b --features model/clip.safetensors --metrics fd --json 2>err.txt | sed 's/,"guided.*//' >$act.txt
    grep -q "assumed" err.txt && fail "assumed beside a configuration: $(cat err.txt)"
done
cmp -s quick.txt quick_gelu.txt || fail "quick_gelu of config.json: $(cat quick_gelu.txt)"
cmp -s quick.txt gelu.txt && fail "the activation of config.json is not used"
echo '{"vision_config": {"hidden_act": "gelu", "hidden_size": 512}}' >model/config.json
expect 0 "quick GELU is assumed" "$g" eval --ref a --samples b --features model/clip.safetensors --metrics fd

# Images of two sizes, a reference's statistics, any prefix
expect 0 "FD" "$g" eval --ref a --samples small --features mae.safetensors --metrics fd
"$g" eval stats a --features mae.safetensors -o ref.npz -q || fail "statistics"
"$g" eval --ref a --samples b --features mae.safetensors --metrics fd --json -q | sed 's/,"guided.*//' >one.txt
"$g" eval --ref ref.npz --samples b --features mae.safetensors --metrics fd --json -q | sed 's/,"guided.*//' >many.txt
cmp -s one.txt many.txt || fail "statistics of a file: $(cat one.txt many.txt)"
make_vit mae prefixed.safetensors prefix=module.encoder.
"$g" eval --ref a --samples b --features prefixed.safetensors --metrics fd --json -q | sed 's/,"guided.*//' >many.txt
cmp -s one.txt many.txt || fail "behind a prefix: $(cat one.txt many.txt)"
make_vit dinov2 wide.safetensors width=128 depth=2
expect 3 "statistics of another" "$g" eval --ref ref.npz --samples b --features wide.safetensors --metrics fd

# FDr^k: ratios of distances, and their mean; what each representation alone gives
"$g" sample --model fashion32 -n 11 --class 0-9 --steps ddim2 --seed 5 -q -o val || exit 1
"$g" eval --ref a --samples b --validation val --features mae.safetensors,clip.safetensors,wide.safetensors --json -q >ratio.txt || fail "FDr"
fd() { "$g" eval --ref a --samples "$1" --features "$2" --metrics fd --json -q | sed 's/{"fd":\([^,]*\),.*/\1/'; }
{ for f in mae clip wide; do fd b $f.safetensors; fd val $f.safetensors; done } >alone.txt
/usr/bin/python3 - <<'EOF' || fail "FDr is not the mean of the ratios: $(cat ratio.txt alone.txt)"
import json
report = json.load(open("ratio.txt"))
alone = [float(line) for line in open("alone.txt")]
found = [(r["fd"], r["fd_validation"]) for r in report["representations"]]
assert found == list(zip(alone[::2], alone[1::2])), found
assert abs(report["fdr"] - sum(a / b for a, b in found) / 3) < 1e-12
assert [r["network"] for r in report["representations"]] == ["MAE ViT-64/16", "CLIP ViT-64/16", "DINOv2 ViT-128/14"]
EOF
expect 0 "FDr, mean of the ratios" "$g" eval --ref a --samples b --validation val --features mae.safetensors,clip.safetensors --cache cache
"$g" eval --ref a --samples b --validation val --features mae.safetensors,clip.safetensors,wide.safetensors --json -q -t 3 --batch 5 --cache cache >again.txt
cmp -s ratio.txt again.txt || fail "FDr with a cache: $(cat again.txt)"
expect 2 "three sets" "$g" eval --samples b --validation val --features mae.safetensors
expect 2 "no representation" "$g" eval --ref a --samples b --validation val
expect 2 "without --metrics" "$g" eval --ref a --samples b --validation val --features mae.safetensors --metrics fd
expect 1 "they are the same" "$g" eval --ref a --samples b --validation a --features mae.safetensors
expect 3 "no network of features" "$g" eval --ref a --samples b --validation val --features "$GUIDED_MODELS/fashion32/classifier.safetensors"
expect 3 "none.pth" "$g" eval --ref a --samples b --validation val --features none.pth

# guided info
expect 0 "DINOv2 ViT-128/14, for guided eval" "$g" info wide.safetensors
expect 0 '"network":"CLIP ViT-64/16"' "$g" info clip.safetensors --json

expect 0 "ConvNeXt V2-24, for guided eval" "$g" info convnextv2.safetensors
expect 0 '"features":24' "$g" info convnextv2.safetensors --json

# What cannot be
expect 3 "dinov2_vitl14_pretrain.pth" "$g" eval --ref a --samples b --features dinov2.pth
grep -q "No such file" err.txt || fail "a missing file is not named: $(cat err.txt)"
expect 2 "has no classes" "$g" eval --ref a --samples b --features mae.safetensors --metrics is
expect 2 "no spatial features" "$g" eval --ref a --samples b --features mae.safetensors --metrics sfid
make_vit mae learned.safetensors learned=1
expect 3 "its positions were learned" "$g" eval --ref a --samples b --features learned.safetensors
make_vit dinov2 odd.safetensors width=72
expect 3 "how many heads" "$g" eval --ref a --samples b --features odd.safetensors
make_vit dinov2 missing.safetensors without=blocks.0.mlp.fc2.bias
expect 3 "blocks.0.mlp.fc2.bias" "$g" eval --ref a --samples b --features missing.safetensors
make_vit siglip2 headless.safetensors without=vision_model.head.probe
expect 3 "vision_model.head.probe" "$g" eval --ref a --samples b --features headless.safetensors
make_vit clip nan.safetensors nan=vision_model.encoder.layers.0.mlp.fc1.weight
expect 3 "is not finite" "$g" eval --ref a --samples b --features nan.safetensors
make_vit clip tower.safetensors without=visual_projection.weight
expect 3 "visual_projection" "$g" eval --ref a --samples b --features tower.safetensors
for key in blocks.0.mlp.fc1.weight pos_embed cls_token patch_embed.proj.weight; do
    make_vit dinov2 empty.safetensors empty=$key
    expect 3 "empty.safetensors: " "$g" eval --ref a --samples b --features empty.safetensors
done
make_vit clip empty.safetensors empty=visual_projection.weight
expect 3 "visual_projection" "$g" eval --ref a --samples b --features empty.safetensors
make_vit convnextv2 empty.safetensors empty=stages.1.0.dwconv.bias
expect 3 "stage 1 is missing" "$g" eval --ref a --samples b --features empty.safetensors
make_vit mae twice.safetensors twice=1
expect 3 "2 Vision Transformers side by side" "$g" eval --ref a --samples b --features twice.safetensors
make_vit siglip2 words1.safetensors words=32000
expect 3 "SigLIP's first version" "$g" eval --ref a --samples b --features words1.safetensors
make_vit siglip2 words2.safetensors words=256000
expect 0 "SigLIP2" "$g" info words2.safetensors
make_vit convnextv2 first.safetensors first=1
expect 3 "its first version" "$g" eval --ref a --samples b --features first.safetensors
make_vit convnextv2 hole.safetensors without=stages.2.0.pwconv1.weight
expect 3 "stages.2.0.pwconv1.weight" "$g" eval --ref a --samples b --features hole.safetensors
make_vit convnextv2 short.safetensors without=stages.3.0.dwconv.bias
expect 3 "stage 3 is missing" "$g" eval --ref a --samples b --features short.safetensors
[ $failures -eq 0 ] || exit 1
echo "features: all fine"
